/**
 * The gateway without its ports: every room, wired over one storage. Programs put ports around it;
 * the simulator and the benches drive it as it is.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import { Audit, type AuditOptions } from './audit/audit.ts';
import { Barrier, type Projection } from './barrier/barrier.ts';
import { Delivery, type DeliveryOptions } from './delivery/delivery.ts';
import { RequestHandler } from './handle-request.ts';
import { createHandlers, type PresenceReader, type SystemControl } from './handlers/handlers.ts';
import { Identity, type NodeSettings } from './identity/identity.ts';
import type { Physical } from './physical/physical.ts';
import { Policy } from './policy/policy.ts';
import { Secrets, SecretValues } from './secrets/secrets.ts';

export interface CoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly physical: Physical;
  readonly seal: { readonly keyFile?: string; readonly dataPath?: string };
  readonly settings: () => NodeSettings;
  /** For grants that name no lease of their own. */
  readonly leaseMs: number;
  /** For metrics. */
  readonly measured?: Pick<DeliveryOptions, 'acknowledged'> & Pick<AuditOptions, 'committed'>;
}

/** What the ports know and the core asks: given after the core is made, because it needs the core. */
export interface CorePorts {
  readonly presence: PresenceReader;
  readonly system: SystemControl;
}

export interface Core {
  readonly barrier: Barrier;
  readonly audit: Audit;
  readonly secrets: Secrets;
  readonly policy: Policy;
  readonly identity: Identity;
  readonly delivery: Delivery;
  /** Makes the one way in. */
  connect(ports: CorePorts): RequestHandler;
}

/** @throws Fault `seal.corrupt`, `seal.key-file`, `storage.*` */
export async function openCore(options: CoreOptions): Promise<Core> {
  const { clock, random, log, physical, seal, settings, measured = {} } = options;
  const { acknowledged, committed } = measured;
  // Filled below and read at unseal: rooms need views of the barrier, and it needs their projections.
  const projections: Projection[] = [];
  const barrier = await Barrier.open({ physical, clock, random, log, projections, seal });
  const audit = new Audit({ barrier, clock, random, log, ...(committed ? { committed } : {}) });
  const values = barrier.view('value');
  const secrets = new Secrets({ secrets: barrier.view('secret'), values, clock, random });
  const policy = new Policy({
    groups: barrier.view('group'),
    grants: barrier.view('grant'),
    secretExists: (name) => secrets.reader.find(name) !== undefined,
    leaseMsDefault: options.leaseMs,
    clock,
  });
  const identity = new Identity({
    views: {
      principal: barrier.view('principal'),
      credential: barrier.view('credential'),
      node: barrier.view('node'),
      'join-token': barrier.view('join-token'),
      authority: barrier.view('authority'),
    },
    clock,
    random,
    settings,
  });
  const delivery = new Delivery({
    clock,
    log,
    audit,
    entitlements: policy.entitlements,
    secrets: secrets.reader,
    changes: secrets.changes,
    values: new SecretValues(values, secrets.reader),
    ...(acknowledged ? { acknowledged } : {}),
  });
  projections.push(secrets.projection, ...policy.projections, ...identity.projections);
  return {
    barrier,
    audit,
    secrets,
    policy,
    identity,
    delivery,
    connect({ presence, system }) {
      const idempotency = barrier.view('idempotency');
      const handlers = createHandlers({
        secrets,
        policy,
        identity,
        settings,
        audit,
        holdings: delivery,
        presence,
        system,
        keyed: idempotency,
        clock,
        random,
      });
      const bindingsOf = identity.bindingsOf.bind(identity);
      const requests = new RequestHandler({ handlers, audit, bindingsOf, idempotency, clock, log });
      projections.push(requests.projection);
      return requests;
    },
  };
}
