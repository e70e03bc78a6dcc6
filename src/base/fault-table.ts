/**
 * Every operating fault there is, in one table: what HTTP says, how the CLI exits, whether to try
 * again, and what to do next. docs/FAULTS.md is this table as a page (a test keeps them equal).
 *
 * Exit statuses: 1 general, 2 usage, 3 not found, 4 not permitted, 5 not authenticated, 6 conflict,
 * 7 server or network unavailable, 8 sealed, 10 differences found.
 *
 * Rows are in alphabetical order, so that two people adding rows rarely meet.
 */

export interface FaultSpec {
  readonly status: number;
  readonly exit: number;
  readonly retry: 'never' | 'later' | 'after-change';
  readonly hint: string;
}

export const faults = {
  'attest.gone': {
    status: 410,
    exit: 1,
    retry: 'never',
    hint: 'The container stopped while it was looked at. Nothing was delivered to it.',
  },
  'attest.mismatch': {
    status: 409,
    exit: 1,
    retry: 'later',
    hint: 'What the container engine says does not fit what the kernel shows. If it lasts, look at that engine.',
  },
  'auth.required': {
    status: 401,
    exit: 5,
    retry: 'after-change',
    hint: 'Send a token: COFFER_TOKEN, COFFER_TOKEN_FILE, or a context made with `coffer context add`.',
  },
  'backup.exists': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'A backup never overwrites. Name a file that does not exist yet.',
  },
  'backup.failed': {
    status: 500,
    exit: 7,
    retry: 'after-change',
    hint: 'No backup was made, and the store is untouched. Check that the directory exists, is writable by the gateway alone and has space.',
  },
  'barrier.corrupt': {
    status: 500,
    exit: 1,
    retry: 'never',
    hint: 'A stored record is not what this gateway wrote. Look for tampering, or restore a backup.',
  },
  'barrier.sealed': {
    status: 503,
    exit: 8,
    retry: 'later',
    hint: 'An operator must unseal this gateway: `coffer operator unseal`.',
  },
  'enforcer.not-joined': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'This node has no certificate yet. Make a token with `coffer node token NAME` and start with --join-token-file.',
  },
  'enforcer.state-unsafe': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'The state directory must be a directory of this user with mode 0700.',
  },
  'gateway.address-in-use': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'Another program listens there, or the address is not of this machine. Stop it, or choose another address.',
  },
  'gateway.bug': {
    status: 500,
    exit: 1,
    retry: 'never',
    hint: 'This is a defect of Cofferdam. Look up the request id in the gateway log and report it.',
  },
  'gateway.impostor': {
    status: 502,
    exit: 7,
    retry: 'never',
    hint: 'What answers is not the gateway that this node joined: another key or another name. Check the address; nothing was sent.',
  },
  'grant.file-collision': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'Two grants put different secrets into one file. Give one of them another `file` or `target`; `coffer explain` names both.',
  },
  'group.in-use': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'A grant uses this group. Delete the grant first: that withdraws what it gave.',
  },
  'group.unknown': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'There is no group of this name. Create it first, or apply both documents together.',
  },
  'limit.exceeded': {
    status: 413,
    exit: 2,
    retry: 'after-change',
    hint: 'Make it smaller. The limits stand in docs/FORMATS.md#limits.',
  },
  'mount.covered': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'Something inside the container covered or removed the mount. A container with CAP_SYS_ADMIN can do that.',
  },
  'mount.failed': {
    status: 500,
    exit: 7,
    retry: 'later',
    hint: 'The kernel refused. The call and errno are named; see the enforcer log.',
  },
  'mount.foreign': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'Something in the container pretends to be a mount of ours. Look into that container.',
  },
  'mount.full': {
    status: 507,
    exit: 7,
    retry: 'later',
    hint: 'No memory is left for the files on this node. The set that was in place is unchanged.',
  },
  'mount.keep-unknown': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'A file was to be kept that is not in place. Send its content.',
  },
  'mount.namespace-changed': {
    status: 409,
    exit: 6,
    retry: 'later',
    hint: 'The process is in another mount namespace than when it was attested. It is attested again.',
  },
  'mount.namespace-own': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The process shares the mount namespace of the enforcer. Give it one of its own: `coffer run -- …`.',
  },
  'mount.owner-unmapped': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The owner has no number outside the user namespace of the container. Choose a uid and gid that it maps.',
  },
  'mount.process-gone': {
    status: 410,
    exit: 6,
    retry: 'never',
    hint: 'The container has ended. Its next start is a new workload.',
  },
  'mount.set-invalid': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'File names: letters, digits, dot, dash and underscore, no leading dot, up to 253, each once. Modes up to 0777.',
  },
  'mount.stale': {
    status: 409,
    exit: 6,
    retry: 'never',
    hint: 'A later revision is in place already.',
  },
  'mount.swappable': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'This kernel cannot keep files in memory out of swap. Use Linux 6.4 or later, or turn swap off.',
  },
  'mount.target-invalid': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'The target must be an absolute, canonical directory at or below an allowed prefix, such as /run/secrets.',
  },
  'mount.target-missing': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The directory cannot be made on a read-only root. Make it in the image, or mount an empty tmpfs on /run.',
  },
  'mount.target-occupied': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The directory is not empty, and a mount would hide what is in it. Choose another target, such as /run/coffer.',
  },
  'mount.target-shared': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'A mount there would spread to other namespaces. Mount the volume with private or slave propagation.',
  },
  'mount.target-symlink': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'A part of the path is a symbolic link, and links of a container are not followed. Name the real directory: /run, not /var/run.',
  },
  'name.invalid': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'Names are lower-case a-z, 0-9, dot, dash and underscore, up to 64 per segment, with single slashes between segments.',
  },
  'node.refused': {
    status: 403,
    exit: 4,
    retry: 'after-change',
    hint: 'This node is unknown, revoked, or shows an old certificate. Make a new token with `coffer node token` and join again.',
  },
  'node.token-malformed': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'Pass the whole line that `coffer node token` printed; it begins with coffer-join-.',
  },
  'policy.denied': {
    status: 403,
    exit: 4,
    retry: 'after-change',
    hint: 'Ask an owner for a role that allows this action on this resource; `coffer explain` shows why.',
  },
  'request.conflict': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'Somebody changed it in between. Read it again and repeat the change.',
  },
  'request.invalid': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'Correct the fields that are named and send it again.',
  },
  'request.stale': {
    status: 412,
    exit: 6,
    retry: 'after-change',
    hint: 'It changed since you read it. Read it again, look at what changed, and repeat.',
  },
  'resource.unknown': {
    status: 404,
    exit: 3,
    retry: 'after-change',
    hint: 'Check the spelling with the matching `list` command. What you may not see is reported as unknown too.',
  },
  'runtime.invalid': {
    status: 502,
    exit: 1,
    retry: 'later',
    hint: 'The container engine answered with something else than its API promises. Check its version.',
  },
  'runtime.refused': {
    status: 502,
    exit: 1,
    retry: 'after-change',
    hint: 'The container engine refused. Its own log says why.',
  },
  'runtime.unreachable': {
    status: 503,
    exit: 7,
    retry: 'later',
    hint: 'Is the container engine running, and may the enforcer open its socket? See `runtime` in its configuration.',
  },
  'runtime.unsupported': {
    status: 501,
    exit: 1,
    retry: 'after-change',
    hint: 'This container engine is too old or runs elsewhere. Docker 20.10 or Podman 4 on this host is needed.',
  },
  'seal.busy': {
    status: 503,
    exit: 7,
    retry: 'later',
    hint: 'Another passphrase is being tried at this moment. Try again in a second.',
  },
  'seal.corrupt': {
    status: 500,
    exit: 8,
    retry: 'after-change',
    hint: 'The stored seal record was changed or damaged. Restore the newest backup; the material itself may be right.',
  },
  'seal.key-file': {
    status: 503,
    exit: 8,
    retry: 'after-change',
    hint: 'The key file must be the one this store was sealed with: a plain file, no symbolic link, mode 0600, owned by the gateway user or root. A new one is never written over an old one.',
  },
  'seal.share-foreign': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'This share belongs to another set, perhaps from before the seal was changed. The shares given so far stay.',
  },
  'seal.share-repeated': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'This share was given already. Another keeper must give the next one.',
  },
  'seal.share-unreadable': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'This is not a share, or it was mistyped. It begins with coffer-share-1- and has twelve groups of six characters.',
  },
  'seal.wrong-material': {
    status: 403,
    exit: 8,
    retry: 'after-change',
    hint: 'The passphrase, key file or shares do not belong to this store. Shares given so far were forgotten: begin again.',
  },
  'secret.deleted': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The secret is deleted. `coffer secret restore` brings it back, and then it can be changed.',
  },
  'secret.exists': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'There is a secret of this name already. Leave out create-only to give it a new version.',
  },
  'secret.nothing-pending': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'No version is pending. Put one with stage pending first.',
  },
  'secret.version-current': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'This version is current. Put another one, roll back, or revoke it first.',
  },
  'secret.version-not-stored': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'This version was revoked or destroyed and is never delivered again. Choose a stored one.',
  },
  'storage.corrupt': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'Keep the damaged file for inspection, and start from the newest backup in its place (without the old `-wal` file beside it).',
  },
  'storage.failed': {
    status: 503,
    exit: 7,
    retry: 'later',
    hint: 'The disk reported an error; nothing was acknowledged. Look at the kernel log and replace the disk if it repeats. The gateway reopens the store by itself.',
  },
  'storage.foreign': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'This file is not a Cofferdam store and was left as it is. Correct the path of the store.',
  },
  'storage.full': {
    status: 507,
    exit: 7,
    retry: 'later',
    hint: 'Nothing was written. Free space on the disk of the store; the gateway goes on by itself then.',
  },
  'storage.locked': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'Another gateway is using this store. Stop it first; one file serves one gateway, and several gateways need PostgreSQL.',
  },
  'storage.missing': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'There is no store at this path. Check that its volume is mounted, or initialise a new store.',
  },
  'storage.newer': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'A newer Cofferdam wrote this store. Start that version or a newer one; the file was left as it is.',
  },
  'storage.unsafe': {
    status: 503,
    exit: 7,
    retry: 'after-change',
    hint: 'The store would not be safe here. Mend what `reason` names: owner, mode (directory 0700, file 0600), kind of file or file system.',
  },
  'stream.malformed': {
    status: 400,
    exit: 7,
    retry: 'never',
    hint: 'The peer sent what this version does not understand. Compare `coffer version` on both sides.',
  },
  'stream.version': {
    status: 426,
    exit: 7,
    retry: 'never',
    hint: 'Gateway and enforcer speak different protocols. Upgrade the older one.',
  },
  'witness.alarm': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'This node saw the audit log rolled back or forked, and takes no new secrets. Find out why; then join the node again.',
  },
  'witness.other-key': {
    status: 409,
    exit: 6,
    retry: 'after-change',
    hint: 'The gateway signs its audit log with another key than before. If it was set up anew on purpose, join this node again.',
  },
  'workload.elsewhere': {
    status: 409,
    exit: 1,
    retry: 'never',
    hint: 'Another node reported this workload already. If neither is being replaced, treat both nodes as suspect.',
  },
} as const satisfies Record<string, FaultSpec>;

export type FaultCode = keyof typeof faults;
