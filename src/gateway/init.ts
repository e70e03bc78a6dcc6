/**
 * `coffer init`: makes an installation: storage, keys under a seal, the authority, the API's
 * certificate and the owner. What it returns is shown once and kept nowhere.
 */
import { isFault } from '../base/fault.ts';
import { parseName, parsePathPattern } from '../model/name.ts';
import { gatewayPrincipal } from '../model/principal.ts';
import type { AuditEntry } from './audit/audit.ts';
import { authorityFile, makeApiCertificate } from './certificates.ts';
import type { GatewayConfig } from './config.ts';
import { type Core, openCore } from './core.ts';
import { makeDataDirectory, sealContext, storePath } from './data-directory.ts';
import type { GatewayContext } from './gateway.ts';
import { openPhysical, removeStore } from './physical/physical.ts';
import type { SealRequest } from './seal/seal.ts';

export interface Initialised {
  readonly installation: string;
  readonly ownerToken: string;
  /** What a context pins: the key of the installation's authority. */
  readonly pin: string;
  /** The authority's certificate, for clients that take no pin. */
  readonly authorityFile: string;
  /** One per keeper; the caller shows and wipes them. Empty unless the seal is shares. */
  readonly shares: readonly Buffer[];
}

/** @throws Fault `barrier.initialised`, `seal.*`, `storage.*` */
export async function initialise(
  config: GatewayConfig,
  request: SealRequest,
  context: GatewayContext,
): Promise<Initialised> {
  makeDataDirectory(config);
  const path = storePath(config);
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'create' });
  const fresh = (await physical.revision()) === 0;
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
    const { shares } = await core.barrier.initialise(request);
    const ownerToken = await makeOwner(core);
    const api = makeApiCertificate(core.identity.authorityForGateway(), config, context);
    const { installation } = core.barrier;
    core.audit.close();
    await physical.close();
    return { installation, ownerToken, pin: api.pin, authorityFile: authorityFile(config), shares };
  } catch (error) {
    await physical.close();
    // Half an installation is none: the next attempt starts from nothing. One that was there stays.
    if (fresh && !isFault(error, 'barrier.initialised')) removeStore(path);
    throw error;
  }
}

/** There is no default token and no default password (V24). @returns the owner's token */
export async function makeOwner(core: Core): Promise<string> {
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
    await core.audit.commit({
      writes,
      expectations: [...authority.expectations, ...owner.expectations],
      entries: [entry('system.init', authority.detail), entry('principal.create', owner.detail)],
    });
  } finally {
    for (const write of writes) write.bytes?.fill(0);
  }
  return owner.token;
}
