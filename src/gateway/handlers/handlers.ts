/**
 * Handlers: what each operation does, as a function from input to plan. The face of the room.
 *
 * Promises
 *   - There is a handler for every operation of the table; leaving one out does not compile.
 *   - A handler decides nothing, records nothing and writes nothing: it is given no way to.
 *   - No answer holds a secret value. Tokens and certificates are answered once, after the commit.
 *
 * The readers below are what handlers need of the rest of the gateway; whoever wires it provides them.
 */
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Principal } from '../../model/principal.ts';
import type { SecretValue } from '../../model/secret-value.ts';
import type { EventOperation, FileOperation } from '../../protocol/event-cursor.ts';
import type {
  OperationInput,
  OperationName,
  OperationOutput,
  Operations,
} from '../../protocol/operations.ts';
import type { Audit } from '../audit/audit.ts';
import type { Maintenance, View } from '../barrier/barrier.ts';
import type { HoldingsAsked, HoldingStatus } from '../delivery/delivery.ts';
import type { Identity, NodeSettings } from '../identity/identity.ts';
import type { Policy } from '../policy/policy.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { accessHandlers } from './access-handlers.ts';
import { auditHandlers } from './audit-handlers.ts';
import { nodeHandlers } from './node-handlers.ts';
import { Paging } from './paging.ts';
import type { Plan } from './plan.ts';
import { policyHandlers } from './policy-handlers.ts';
import { secretHandlers } from './secret-handlers.ts';
import { systemHandlers } from './system-handlers.ts';
import { tokenHandlers } from './token-handlers.ts';

export type { Done, Plan } from './plan.ts';

/**
 * What the handler of an operation answers. Ending an iterator early (`return`) ends a pending `next`.
 */
export type HandlerOutput<Name extends OperationName> = Name extends EventOperation
  ? AsyncIterable<OperationOutput<Name>>
  : Name extends FileOperation
    ? AsyncIterable<Uint8Array>
    : OperationOutput<Name>;

export interface HandlerContext {
  readonly principal: Principal;
  readonly requestId: string;
  /** The body of operations that take one. Lent: `handle-request` wipes it. */
  readonly value: SecretValue | undefined;
  /** Whether the caller may do this with a resource: for lists, which show only what may be seen. */
  readonly permits: (action: OperationName) => (resource: string) => boolean;
}

export type Handler<Name extends OperationName> = (
  input: OperationInput<Name>,
  context: HandlerContext,
) => Plan<HandlerOutput<Name>> | Promise<Plan<HandlerOutput<Name>>>;

export type Handlers = { readonly [Name in OperationName]: Handler<Name> };
/** The handlers of some operations. */
export type HandlersOf<Table extends Partial<Operations>> = Pick<
  Handlers,
  keyof Table & OperationName
>;

/** What is known of a node beyond its record: what its stream shows, or last showed. */
export interface SeenNode {
  readonly connected: boolean;
  /** Of its enforcer; empty if it did not say. */
  readonly version: string;
  readonly lastSeenAtMs?: number;
  readonly weakenings: readonly string[];
}

export interface PresenceReader {
  of(node: string): SeenNode | undefined;
  readonly connected: number;
}

export interface HoldingsReader {
  /** Workload by workload, in order of ids; what is not asked for may be among it. */
  holdings(asked: HoldingsAsked): Iterable<HoldingStatus>;
}

type StatusView = OperationOutput<'system.status'>;

export interface SystemStatus {
  readonly version: string;
  readonly seal: StatusView['seal'];
  readonly installation: string;
  readonly storage: { readonly kind: string; readonly revision: number };
  readonly audit: { readonly root: string; readonly witnesses: number };
  readonly leaseSeconds: number;
  /** Everything at the gateway that is weaker than it should be. */
  readonly weakenings: StatusView['weakenings'];
}

/** The gateway as a whole. Its effects happen in `after` and `commit` of plans, so after their entries. */
export interface SystemControl {
  sealStatus(): {
    readonly sealed: boolean;
    readonly kind: StatusView['seal'];
    readonly sharesGiven: number;
    readonly sharesNeeded: number;
  };
  /** The one effect that comes before its entry: while sealed there is nowhere to record it. */
  unseal(material: SecretValue): Promise<void>;
  seal(): Promise<void>;
  status(): Promise<SystemStatus>;
  rotateRootKey(): Maintenance;
  rewrapStatus(): { readonly keyId: string; readonly remaining: number };
  /** A copy of the store, sealed as it is on disk; made when it is first read from. */
  backup(): AsyncIterable<Uint8Array>;
}

export interface HandlerServices {
  readonly secrets: Secrets;
  readonly policy: Policy;
  readonly identity: Identity;
  readonly settings: () => NodeSettings;
  readonly audit: Pick<
    Audit,
    | 'state'
    | 'size'
    | 'entries'
    | 'entriesBack'
    | 'tail'
    | 'checkpoint'
    | 'prove'
    | 'acceptRollback'
  >;
  readonly holdings: HoldingsReader;
  readonly presence: PresenceReader;
  readonly system: SystemControl;
  /** Of kind `idempotency`: its keyed hash also makes the key of cursors. */
  readonly keyed: View;
  readonly clock: Clock;
  readonly random: Random;
}

/** What each file of handlers is given. */
export interface Tools extends HandlerServices {
  readonly paging: Paging;
}

export function createHandlers(services: HandlerServices): Handlers {
  const tools: Tools = { ...services, paging: new Paging(services.keyed, services.random) };
  return {
    ...secretHandlers(tools),
    ...policyHandlers(tools),
    ...accessHandlers(tools),
    ...nodeHandlers(tools),
    ...tokenHandlers(tools),
    ...auditHandlers(tools),
    ...systemHandlers(tools),
  } satisfies Handlers;
}
