/**
 * The one way in: parse, decide, run, record with the effect, reply.
 *
 * Promises
 *   - Nothing is done that policy did not allow, and nothing is answered that is not recorded: the
 *     entry is in the commit of the effect, and a refusal's entry comes before the refusal.
 *   - Exactly one entry per request of somebody who proved who they are. What nobody proved is
 *     counted (`anonymous-log.ts`), so that the log cannot be filled from outside.
 *   - The value of a request is wiped, whatever happens.
 * Does not promise
 *   - That an answer fits its schema: where it leaves, in `http/serve.ts`, it is checked, once.
 *   - That a fault in storage means that nothing was written: whoever needs to know repeats the
 *     request with its idempotency key.
 */
import { assert } from '../base/assert.ts';
import { wipe } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { codeOf, Fault, isFault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { errorFields, type Log } from '../base/log.ts';
import * as schema from '../base/schema.ts';
import type { Binding, Principal } from '../model/principal.ts';
import type { Operation } from '../protocol/operation.ts';
import { operationNamed, type OperationName } from '../protocol/operations.ts';
import type { Handle, OperationReply, OperationRequest } from '../protocol/request.ts';
import { AnonymousLog } from './anonymous-log.ts';
import { type UnsealAttempt, UnsealLog } from './unseal-log.ts';
import type { Audit, AuditEntry } from './audit/audit.ts';
import type { View } from './barrier/barrier.ts';
import type { Handlers, Plan } from './handlers/handlers.ts';
import { Idempotency, type IdempotencySlot } from './idempotency.ts';
import { decide, permits } from './policy/policy.ts';
import { type BucketRate, TokenBuckets } from '../base/token-buckets.ts';

export interface HandleRequestOptions {
  readonly handlers: Handlers;
  readonly audit: Pick<Audit, 'commit' | 'state'>;
  /** What a principal was given; asked at each decision. */
  readonly bindingsOf: (principal: Principal) => readonly Binding[];
  /** Of kind `idempotency`. */
  readonly idempotency: View;
  readonly clock: Clock;
  readonly log: Log;
  readonly rate?: BucketRate;
}

/** What one request comes to, as it becomes known. */
interface Run {
  readonly request: OperationRequest<OperationName>;
  readonly operation: Operation<unknown, unknown>;
  resource: string;
  rule: string;
  /** Its entry is on the log: nothing that follows gets another. */
  isRecorded: boolean;
}

type AnyHandler = (input: unknown, context: unknown) => Plan<unknown> | Promise<Plan<unknown>>;

/** How often a change is planned anew because somebody else changed the same thing first. */
const attemptsMax = 8;
const defaultRate = {
  perSecond: limits.principalRequestsPerSecond,
  burst: limits.principalRequestsBurst,
};
/** What an operator needs to see to mend a gateway that can record nothing; changes never. */
const unrecordedReads: ReadonlySet<OperationName> = new Set([
  'system.status',
  'audit.list',
  'audit.checkpoint',
  'audit.prove',
  'system.backup',
]);
const cannotRecord: ReadonlySet<string> = new Set([
  'audit.rollback-suspected',
  'storage.failed',
  'storage.full',
]);

export class RequestHandler {
  readonly #options: HandleRequestOptions;
  readonly #idempotency: Idempotency;
  readonly #buckets: TokenBuckets;
  readonly anonymousLog: AnonymousLog;
  readonly #unsealLog: UnsealLog;

  constructor(options: HandleRequestOptions) {
    this.#options = options;
    this.#idempotency = new Idempotency(options.idempotency, options.clock);
    this.#buckets = new TokenBuckets(options.clock, options.rate ?? defaultRate);
    this.anonymousLog = new AnonymousLog(options);
    this.#unsealLog = new UnsealLog(options.log);
  }

  /** To be fed by the barrier. */
  get projection(): Idempotency {
    return this.#idempotency;
  }

  readonly handle: Handle = async (request) => {
    const run: Run = {
      request,
      operation: operationNamed(request.operation),
      resource: 'unparsed',
      rule: '',
      isRecorded: false,
    };
    try {
      return await this.#run(run);
    } catch (error) {
      throw await this.#refused(run, error);
    } finally {
      request.value?.[Symbol.dispose]();
    }
  };

  async #run(run: Run): Promise<OperationReply<OperationName>> {
    const { request, operation } = run;
    const { principal } = request;
    if (typeof operation.access === 'string' && principal.kind === 'anonymous') {
      throw new Fault('auth.required');
    }
    this.#throttle(principal);
    if (this.#options.audit.state === 'sealed' && operation.whileSealed !== true) {
      throw new Fault('barrier.sealed');
    }
    const input = schema.parse(operation.input, request.input, 'input');
    run.resource = operation.resource(input);
    refuseMisfits(run);
    if (operation.access === 'permission') run.rule = this.#decide(request, run.resource);
    if (operation.access === 'self') run.rule = ofThemselves(request, run.resource);
    const { idempotencyKey: key, value, ifRevision, dryRun } = request;
    const isKept =
      key !== undefined &&
      dryRun !== true &&
      operation.effect === 'change' &&
      operation.credential !== true;
    if (!isKept) return this.#attempt(run, input, undefined);
    const name = request.operation;
    const same = { principal, key, operation: name, input, value, ifRevision };
    using slot = this.#idempotency.open(same);
    return await this.#attempt(run, input, slot);
  }

  #throttle(principal: Principal): void {
    // By id. Those without a principal are counted by address, where they come in (http/source-limits.ts).
    const waitMs = principal.kind === 'anonymous' ? 0 : this.#buckets.take(principal.id);
    if (waitMs > 0) {
      throw new Fault('rate.exceeded', { retryAfterSeconds: Math.ceil(waitMs / 1000) });
    }
  }

  /** @returns The role that allows it. @throws Fault `policy.denied` */
  #decide(request: Run['request'], resource: string): string {
    const bindings = this.#options.bindingsOf(request.principal);
    const { allowed, rule } = decide(bindings, { action: request.operation, resource });
    if (!allowed) throw new Fault('policy.denied', { action: request.operation, resource });
    return rule;
  }

  async #attempt(
    run: Run,
    input: unknown,
    slot: IdempotencySlot | undefined,
  ): Promise<OperationReply<OperationName>> {
    for (let attempt = 1; ; attempt++) {
      const kept = await slot?.find();
      if (kept) return await this.#replay(run, kept);
      const plan = await this.#plan(run, input);
      try {
        return await this.#carryOut(run, plan, slot);
      } catch (error) {
        if (!isFault(error, 'request.conflict') || run.isRecorded) throw error;
        if (attempt >= attemptsMax) throw error;
      } finally {
        wipeValues(plan);
      }
    }
  }

  async #plan(run: Run, input: unknown): Promise<Plan<unknown>> {
    const { request, operation } = run;
    const bindings = this.#options.bindingsOf(request.principal);
    const handler = this.#options.handlers[request.operation] as unknown as AnyHandler;
    const plan = await handler(input, {
      principal: request.principal,
      requestId: request.requestId,
      value: request.value,
      permits: (action: OperationName) => permits(bindings, action),
    });
    assert(
      plan.seen === undefined || operation.revisioned === true,
      'the contract says what has one',
    );
    for (const resource of plan.requires ?? []) this.#decide(request, resource);
    run.resource = plan.resource ?? run.resource;
    const { ifRevision } = request;
    if (ifRevision === undefined) {
      if (operation.preconditioned === true && (plan.seen ?? 0) !== 0) {
        wipeValues(plan);
        throw new Fault('request.precondition-required', { resource: run.resource });
      }
    } else if (plan.seen !== ifRevision) {
      wipeValues(plan);
      throw new Fault('request.stale', { resource: run.resource });
    }
    return plan;
  }

  async #carryOut(
    run: Run,
    plan: Plan<unknown>,
    slot: IdempotencySlot | undefined,
  ): Promise<OperationReply<OperationName>> {
    const seen = plan.seen ?? 0;
    if (run.request.dryRun === true) {
      await this.#record(run, entryOf(run, 'dry-run', plan.detail));
      return this.#reply(run, plan, plan.output({ revision: seen, dryRun: true }), seen);
    }
    const entry = entryOf(run, 'ok', plan.detail);
    if (plan.commit) {
      await plan.commit(entry);
      run.isRecorded = true;
      return this.#reply(run, plan, plan.output({ revision: seen, dryRun: false }), seen);
    }
    const writes = plan.writes ?? [];
    const isChange = writes.length > 0;
    // A kept answer must be known before the commit, and all of it is but the revision.
    const rehearsed = slot && plan.output({ revision: seen, dryRun: true });
    const kept = slot?.keep({ output: rehearsed, ...(isChange ? {} : { revision: seen }) });
    const committed = await this.#record(run, entry, {
      writes: [...writes, ...(kept?.writes ?? [])],
      expectations: [...(plan.expectations ?? []), ...(kept?.expectations ?? [])],
      ...(plan.maintenance === undefined ? {} : { maintenance: plan.maintenance }),
    });
    await plan.after?.();
    const revision = isChange ? committed : seen;
    const output = slot
      ? withRevision(rehearsed, revision)
      : plan.output({ revision, dryRun: false });
    return this.#reply(run, plan, output, revision);
  }

  async #replay(
    run: Run,
    kept: { readonly output: unknown; readonly revision: number },
  ): Promise<OperationReply<OperationName>> {
    await this.#record(run, entryOf(run, 'ok', { replayed: 'true' }));
    const output = withRevision(
      kept.output,
      kept.revision,
    ) as OperationReply<OperationName>['output'];
    return { output, revision: kept.revision, replayed: true };
  }

  /** @returns The commit's revision; 0 if this is one of the few reads that may go unrecorded, and did. */
  async #record(
    run: Run,
    entry: AuditEntry,
    change?: Omit<Parameters<Audit['commit']>[0], 'entries'>,
  ): Promise<number> {
    const { audit, log } = this.#options;
    const { operation, request } = run;
    const name = request.operation;
    if (name === 'system.unseal') return await this.#recordUnsealing(run, entry);
    if (request.principal.kind === 'anonymous' && operation.effect === 'read') {
      await this.#noteAnonymous(run, 'ok');
      return 0;
    }
    // What works while sealed has nowhere to be recorded then.
    if (operation.whileSealed === true && audit.state === 'sealed') return 0;
    try {
      const entries = [entry] as const;
      const receipt = await audit.commit({ writes: [], expectations: [], ...change, entries });
      run.isRecorded = true;
      return receipt.revision;
    } catch (error) {
      const isAllowed = unrecordedReads.has(name) && cannotRecord.has(codeOf(error));
      if (!isAllowed) throw error;
      log.warn('audit.read-unrecorded', { operation: name, ...errorFields(error) });
      return 0;
    }
  }

  /** Not counted with what strangers do: they could keep it off the log. */
  async #recordUnsealing(run: Run, entry: AuditEntry): Promise<number> {
    const { audit, log } = this.#options;
    if (audit.state === 'sealed') {
      this.#unsealLog.given(attemptOf(run));
      return 0;
    }
    const detail = this.#unsealLog.takeDetail();
    try {
      const entries = [{ ...entry, detail }] as const;
      return (await audit.commit({ writes: [], expectations: [], entries })).revision;
    } catch (error) {
      if (run.request.principal.kind !== 'anonymous') throw error;
      // It is open by now, recorded or not, and whoever opened it must be able to mend the disk.
      log.error('audit.unsealing-unrecorded', { ...detail, ...errorFields(error) });
      return 0;
    }
  }

  #reply(
    run: Run,
    plan: Plan<unknown>,
    output: unknown,
    revision: number,
  ): OperationReply<OperationName> {
    const shown = run.operation.reply === 'events' ? this.#whileAllowed(run, output) : output;
    const reply = { output: shown as OperationReply<OperationName>['output'] };
    return plan.seen === undefined ? reply : { ...reply, revision };
  }

  /** A stream outlives the decision that began it: asked again for each event, so that it ends with the right. */
  #whileAllowed({ request, resource }: Run, events: unknown): AsyncIterable<unknown> {
    const { bindingsOf } = this.#options;
    const asked = { action: request.operation, resource };
    return {
      [Symbol.asyncIterator]: () => {
        const iterator = (events as AsyncIterable<unknown>)[Symbol.asyncIterator]();
        return {
          next: async () => {
            const result = await iterator.next();
            const isAllowed = decide(bindingsOf(request.principal), asked).allowed;
            if (result.done !== true && !isAllowed) throw new Fault('policy.denied', asked);
            return result;
          },
          return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
        };
      },
    };
  }

  /** Records a refusal and gives it the form in which it may be shown. */
  async #refused(run: Run, error: unknown): Promise<Fault> {
    const { audit, log } = this.#options;
    const { operation, requestId, principal } = run.request;
    const fault = isFault(error)
      ? error
      : new Fault('gateway.bug', { requestId }, { cause: error });
    if (fault !== error)
      log.error('request.crashed', { operation, requestId, ...errorFields(error) });
    if (operation === 'system.unseal') this.#unsealLog.failed(attemptOf(run), fault.code);
    if (run.isRecorded || audit.state === 'sealed') return fault;
    const isNobody = principal.kind === 'anonymous' || fault.code === 'rate.exceeded';
    if (isNobody) {
      await this.#noteAnonymous(run, fault.code);
      return fault;
    }
    const outcome = fault.code === 'policy.denied' ? 'denied' : fault.code;
    try {
      const entries = [entryOf(run, outcome, {})] as const;
      await audit.commit({ writes: [], expectations: [], entries });
    } catch (cause) {
      log.error('audit.refusal-unrecorded', { operation, requestId, ...errorFields(cause) });
    }
    return fault;
  }

  async #noteAnonymous({ request }: Run, outcome: string): Promise<void> {
    // Asked all the time by whatever watches a gateway's health, and says nothing.
    if (request.operation === 'system.seal-status') return;
    const { operation, principal, requestId } = request;
    await this.anonymousLog.note({
      action: operation,
      outcome,
      source: principal.source,
      requestId,
    });
  }
}

function entryOf(run: Run, outcome: string, detail: AuditEntry['detail'] = {}): AuditEntry {
  const { principal, operation: action, requestId } = run.request;
  return { principal, action, resource: run.resource, outcome, rule: run.rule, requestId, detail };
}

function attemptOf({ request }: Run): UnsealAttempt {
  return { source: request.principal.source, requestId: request.requestId };
}

/** Nobody has to allow it. @returns the rule @throws Fault `policy.denied` to who has no token */
function ofThemselves({ principal, operation: action }: Run['request'], resource: string): string {
  if (principal.kind === 'user' || principal.kind === 'machine') return 'self';
  throw new Fault('policy.denied', { action, resource });
}

/** What the operation as such does not take, whatever its input says. @throws Fault `request.invalid` */
function refuseMisfits({ request, operation }: Run): void {
  const { value, dryRun, ifRevision } = request;
  if (operation.body === 'value' && value === undefined) throw misfit('needs a value as its body');
  if (operation.body !== 'value' && value !== undefined) throw misfit('takes no value');
  if (ifRevision !== undefined && operation.revisioned !== true) throw misfit('takes no revision');
  const isRehearsable = operation.effect === 'change' && operation.credential !== true;
  if (dryRun === true && !isRehearsable) throw misfit('has no dry run');
}

function misfit(problem: string): Fault {
  return new Fault('request.invalid', { what: 'operation', problem });
}

/** Values are plaintext in a plan, for as long as it takes to commit it. */
function wipeValues(plan: Plan<unknown>): void {
  for (const { kind, bytes } of plan.writes ?? []) {
    if (bytes !== undefined && kind === 'value') wipe(bytes);
  }
}

function withRevision(output: unknown, revision: number): unknown {
  return schema.isPlainObject(output) && Object.hasOwn(output, 'revision')
    ? { ...output, revision }
    : output;
}
