/**
 * Everything behind `handle`, over records in memory: secrets, policy, identity, handlers and the
 * request handler, with principals of each role.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { createLog, type Log } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { type Name, parseName, parsePathPattern } from '../model/name.ts';
import type { Binding, Principal } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { type OperationInput, type OperationName, operationNamed } from '../protocol/operations.ts';
import type { OperationReply, OperationRequest } from '../protocol/request.ts';
import { type BucketRate } from '../base/token-buckets.ts';
import type { HoldingStatus } from '../gateway/delivery/delivery.ts';
import { RequestHandler } from '../gateway/handle-request.ts';
import {
  createHandlers,
  type Handlers,
  type SeenNode,
  type SystemControl,
} from '../gateway/handlers/handlers.ts';
import { Identity } from '../gateway/identity/identity.ts';
import { Policy } from '../gateway/policy/policy.ts';
import { Secrets, SecretValues } from '../gateway/secrets/secrets.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryAudit } from './memory-audit.ts';
import { MemoryRecords } from './memory-records.ts';

export interface RigSetting {
  readonly clock?: Clock;
  readonly rate?: BucketRate;
  /** Records of an earlier rig: a restart. */
  readonly records?: MemoryRecords;
  /** Replaces some handlers: for what a sound handler would never do. */
  readonly change?: (handlers: Handlers) => Handlers;
}

export const testSettings = {
  address: 'gateway.test:8443',
  pin: `sha256:${'a'.repeat(64)}`,
  streamAddress: 'gateway.test:8444',
  trustDomain: 'test.example',
};

export function bind(role: string, ...paths: string[]): Binding {
  return { role: parseName(role), paths: paths.map(parsePathPattern) };
}

export class RequestRig {
  readonly clock: Clock;
  readonly records: MemoryRecords;
  readonly audit: MemoryAudit;
  readonly secrets: Secrets;
  readonly values: SecretValues;
  readonly policy: Policy;
  readonly identity: Identity;
  readonly handlers: Handlers;
  readonly requests: RequestHandler;
  readonly system: FakeSystem;
  readonly logLines: string[] = [];
  holdings: HoldingStatus[] = [];
  /** What nodes said of themselves, by name. They are connected. */
  readonly seenNodes = new Map<string, Partial<SeenNode>>();
  #requestCount = 0;

  constructor(setting: RigSetting = {}) {
    this.clock = setting.clock ?? new ManualClock();
    this.records = setting.records ?? new MemoryRecords();
    this.audit = new MemoryAudit(this.records);
    const source = { clock: this.clock, random: systemRandom };
    const view = (kind: Parameters<MemoryRecords['view']>[0]) => this.records.view(kind);
    this.secrets = new Secrets({ secrets: view('secret'), values: view('value'), ...source });
    this.values = new SecretValues(view('value'), this.secrets.reader);
    this.policy = new Policy({
      groups: view('group'),
      grants: view('grant'),
      secretExists: (name) => this.secrets.reader.find(name) !== undefined,
      leaseMsDefault: 600_000,
      clock: source.clock,
    });
    this.identity = new Identity({
      views: {
        principal: view('principal'),
        credential: view('credential'),
        node: view('node'),
        'join-token': view('join-token'),
        authority: view('authority'),
      },
      settings: () => testSettings,
      ...source,
    });
    this.system = new FakeSystem(this.audit);
    const handlers = createHandlers({
      ...source,
      secrets: this.secrets,
      policy: this.policy,
      identity: this.identity,
      settings: () => testSettings,
      audit: this.audit,
      holdings: { holdings: () => this.holdings },
      presence: {
        of: (node) => {
          const seen = this.seenNodes.get(node);
          return seen && { connected: true, version: '', weakenings: [], ...seen };
        },
        connected: 0,
      },
      system: this.system,
      keyed: view('idempotency'),
    });
    this.handlers = setting.change?.(handlers) ?? handlers;
    this.requests = new RequestHandler({
      handlers: this.handlers,
      audit: this.audit,
      bindingsOf: (principal) => this.identity.bindingsOf(principal),
      idempotency: view('idempotency'),
      clock: this.clock,
      log: this.#log(),
      ...(setting.rate === undefined ? {} : { rate: setting.rate }),
    });
    const projections = [
      this.secrets.projection,
      ...this.policy.projections,
      ...this.identity.projections,
      this.requests.projection,
    ];
    for (const projection of projections) this.records.follow(projection);
  }

  /** A principal with these bindings, as its token proves it. */
  async principal(name: string, ...bindings: Binding[]): Promise<Principal> {
    const plan = this.identity.planPrincipal({ kind: 'user', name: parseName(name), bindings });
    await this.records.commit(plan);
    return this.identity.authenticate(plan.token, 'test');
  }

  async owner(): Promise<Principal> {
    return this.principal('owner', bind('owner', '**'));
  }

  /** The authority that joins need. */
  async withAuthority(): Promise<this> {
    await this.records.commit(this.identity.planAuthority());
    return this;
  }

  /** @throws if the answer is not what the table declares, as `http/serve.ts` would */
  async ask<Asked extends OperationName>(
    principal: Principal,
    operation: Asked,
    input: OperationInput<Asked> | Readonly<Record<string, unknown>>,
    more: Partial<OperationRequest<Asked>> = {},
  ): Promise<OperationReply<Asked>> {
    const requestId = `req-${++this.#requestCount}`;
    const reply = await this.requests.handle<Asked>({
      operation,
      principal,
      input,
      requestId,
      ...more,
    });
    const { reply: form, output } = operationNamed(operation);
    if (form === 'json') schema.parse(output, reply.output, 'answer');
    return reply;
  }

  put(principal: Principal, name: string, text: string, more: object = {}) {
    const value = SecretValue.copy(Buffer.from(text));
    return this.ask(principal, 'secret.put', { name }, { value, ...more });
  }

  name(text: string): Name {
    return parseName(text);
  }

  #log(): Log {
    const write = (line: string): number => this.logLines.push(line);
    return createLog({ clock: this.clock, level: 'debug', write });
  }
}

/** A gateway whose seal opens with `open sesame`, knows a guess, and takes anything else for a share. */
export class FakeSystem implements SystemControl {
  readonly #audit: MemoryAudit;

  constructor(audit: MemoryAudit) {
    this.#audit = audit;
  }

  sealStatus() {
    const sealed = this.#audit.state === 'sealed';
    return { sealed, kind: 'passphrase' as const, sharesGiven: 0, sharesNeeded: 0 };
  }

  async unseal(material: SecretValue): Promise<void> {
    const text = material.use((bytes) => bytes.toString());
    if (text === 'open sesame') this.#audit.state = 'ready';
    if (text.startsWith('guess')) throw new Fault('seal.wrong-material');
  }

  async seal(): Promise<void> {
    this.#audit.state = 'sealed';
  }

  async status() {
    return {
      version: '0.0.0',
      seal: 'passphrase' as const,
      installation: 'ins',
      storage: { kind: 'memory', revision: 0 },
      audit: { root: '', witnesses: 0 },
      leaseSeconds: 600,
      weakenings: [],
    };
  }

  rotateRootKey() {
    return {
      action: 'system.rotate-root-key' as const,
      detail: { from: '1', to: '2', rows: '7' },
      rewraps: [],
    };
  }

  rewrapStatus() {
    return { keyId: 'key', remaining: 0 };
  }

  async *backup(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('backup');
  }
}
