/**
 * `coffer init`: makes an installation: storage, keys under a seal, the authority, the API's
 * certificate and the owner. What it returns is shown once and kept nowhere.
 */
import { existsSync, lstatSync, rmSync } from 'node:fs';
import { wipe } from '../base/bytes.ts';
import { Fault, isFault } from '../base/fault.ts';
import type { Authority } from '../crypto/x509.ts';
import { parseName, parsePathPattern } from '../model/name.ts';
import { gatewayPrincipal } from '../model/principal.ts';
import type { AuditEntry } from './audit/audit.ts';
import { authorityFile, loadApiCertificate, makeApiCertificate } from './certificates.ts';
import type { GatewayConfig } from './config.ts';
import { type Core, openCore } from './core.ts';
import { makeDataDirectory, sealContext, storePath } from './data-directory.ts';
import type { GatewayContext } from './gateway.ts';
import { openPhysical, type Physical, removeStore } from './physical/physical.ts';
import type { SealRequest } from './seal/seal.ts';

export interface Initialised {
  readonly installation: string;
  readonly ownerToken: string;
  /** What a context pins: the key of the installation's authority, or of a certificate of one's own. */
  readonly pin: string;
  /** The authority's certificate, for clients that take no pin; only if the API's certificate is of it. */
  readonly authorityFile?: string;
  /** One per keeper; the caller shows and wipes them. Empty unless the seal is shares. */
  readonly shares: readonly Buffer[];
}

type Show = (made: Initialised) => Promise<void>;

/**
 * Nothing is in storage until the last step, the one commit: an init that ends before it, however it
 * does, has made nothing, and the next one goes on from what it left.
 *
 * @param show - Is given what is shown once while there is still no installation, so that none can be
 *   made whose token and shares nobody saw.
 * @throws Fault `barrier.initialised`, `barrier.tampered`, `gateway.certificate-unreadable`, `seal.*`,
 *   `storage.*`
 */
export async function initialise(
  config: GatewayConfig,
  request: SealRequest,
  context: GatewayContext,
  show: Show = async () => {},
): Promise<Initialised> {
  // Before anything is made: what clients are to pin is in it.
  const ownPin = config.tls && loadApiCertificate(config).pin;
  makeDataDirectory(config);
  const path = storePath(config);
  const wasInterrupted = existsSync(path);
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'create' });
  const core = await openEmpty(config, context, physical);
  const { keyFile } = config;
  const seal = wasInterrupted ? goingOn(request, keyFile) : request;
  const makesKeyFile =
    keyFile !== undefined && seal.kind === 'keyfile' && !seal.existing && !existsSync(keyFile);
  let shares: readonly Buffer[] = [];
  try {
    ({ shares } = await core.barrier.initialise(seal));
    const made = Promise.withResolvers<Initialised>();
    await makeOwner(core, async (authority, ownerToken) => {
      const { pin } = makeApiCertificate(authority, config, context);
      const { installation } = core.barrier;
      const trust =
        ownPin === undefined ? { pin, authorityFile: authorityFile(config) } : { pin: ownPin };
      const shown = { installation, ownerToken, ...trust, shares };
      await show(shown);
      made.resolve(shown);
    });
    core.audit.close();
    await physical.close();
    return await made.promise;
  } catch (error) {
    await physical.close();
    shares.forEach(wipe);
    removeStore(path);
    // Of this attempt; where the seal refused there was one already.
    if (makesKeyFile && !isFault(error, 'seal.key-file')) rmSync(keyFile, { force: true });
    throw error;
  }
}

/** @throws Fault `barrier.initialised` if there is anything in the store; it is then left as it is */
async function openEmpty(
  config: GatewayConfig,
  context: GatewayContext,
  physical: Physical,
): Promise<Core> {
  try {
    const core = await openCore({
      ...context,
      physical,
      seal: sealContext(config),
      leaseMs: config.leaseMs,
      settings: () => ({
        address: config.advertise,
        pin: '',
        streamAddress: config.nodeAdvertise,
        trustDomain: config.trustDomain,
      }),
    });
    if (core.barrier.state !== 'empty') throw new Fault('barrier.initialised');
    return core;
  } catch (error) {
    await physical.close();
    throw error;
  }
}

/**
 * An init was interrupted here. The key file that it may have made is used: it opens nothing yet. One that
 * it had no time to write is made anew.
 */
function goingOn(request: SealRequest, keyFile: string | undefined): SealRequest {
  if (request.kind !== 'keyfile' || keyFile === undefined) return request;
  const there = lstatSync(keyFile, { throwIfNoEntry: false });
  if (there?.isFile() === true && there.size === 0) rmSync(keyFile);
  else if (there) return { ...request, existing: true };
  return request;
}

/**
 * The one commit of a new installation: keyring, authority and owner. There is no default token and no
 * default password (V24).
 *
 * @param before - Is given the authority and the owner's token while nothing of them is in storage.
 */
export async function makeOwner(
  core: Core,
  before: (authority: Authority, ownerToken: string) => Promise<void> = async () => {},
): Promise<string> {
  const owner = core.identity.planPrincipal({
    kind: 'user',
    name: parseName('owner'),
    bindings: [{ role: parseName('owner'), paths: [parsePathPattern('**')] }],
  });
  const authority = core.identity.planAuthority();
  const entry = (action: string, detail: AuditEntry['detail']): AuditEntry => ({
    principal: gatewayPrincipal,
    action,
    resource: 'system',
    outcome: 'ok',
    rule: '',
    requestId: '',
    detail,
  });
  const writes = [...authority.writes, ...owner.writes];
  try {
    await before(authority.authority, owner.token);
    await core.audit.commit({
      writes,
      expectations: [...authority.expectations, ...owner.expectations],
      entries: [entry('system.init', authority.detail), entry('principal.create', owner.detail)],
    });
    return owner.token;
  } finally {
    for (const write of writes) write.bytes?.fill(0);
  }
}
