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
  'gateway.bug': {
    status: 500,
    exit: 1,
    retry: 'never',
    hint: 'This is a defect of Cofferdam. Look up the request id in the gateway log and report it.',
  },
  'limit.exceeded': {
    status: 413,
    exit: 2,
    retry: 'after-change',
    hint: 'Make it smaller. The limits stand in docs/FORMATS.md#limits.',
  },
  'name.invalid': {
    status: 400,
    exit: 2,
    retry: 'after-change',
    hint: 'Names are lower-case a-z, 0-9, dot, dash and underscore, up to 64 per segment, with single slashes between segments.',
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
} as const satisfies Record<string, FaultSpec>;

export type FaultCode = keyof typeof faults;
