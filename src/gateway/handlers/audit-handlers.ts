/** Operations on the audit log: lists, proofs, and following it. */
import { Fault, isFault } from '../../base/fault.ts';
import {
  operationNamed,
  type OperationInput,
  type OperationName,
  operationNames,
} from '../../protocol/operations.ts';
import type { AuditEntryView, systemOperations } from '../../protocol/operations-system.ts';
import type { EntryFilter, EntryWithBytes, Tail } from '../audit/audit.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { pageLimit } from './paging.ts';
import { answer } from './plan.ts';
import { timestampOf } from './timestamp.ts';

type AuditHandlers = Pick<
  HandlersOf<typeof systemOperations>,
  'audit.list' | 'audit.tail' | 'audit.checkpoint' | 'audit.prove' | 'event.watch'
>;

/** What a change's resource may be read with: whoever may not read it does not hear of it either. */
const readableWith = {
  secrets: 'secret.list',
  groups: 'group.list',
  grants: 'grant.list',
  nodes: 'node.list',
} as const;

/** The same of what delivery does; a receipt is about a workload, what is sent about a secret. */
const followedWith = { secrets: 'holding.list', workloads: 'workload.list' } as const;

/** Also those that came to nothing: that is how a holding fails. */
const deliveries: ReadonlySet<string> = new Set([
  'delivery.assign',
  'delivery.withdraw',
  'delivery.terms',
  'delivery.receipt',
]);

const changes: ReadonlySet<string> = new Set(
  operationNames.filter((name) => operationNamed(name).effect === 'change'),
);

export function auditHandlers({ audit, paging }: Tools): AuditHandlers {
  return {
    'audit.list': async (input, { principal }) => {
      const scope = { operation: 'audit.list', principal, input };
      const start = paging.start(scope);
      const wanted = { limit: pageLimit(input), filter: filterOf(input) };
      if (input.newestFirst === true && input.after !== undefined) {
        throw invalid('/after', 'has no meaning with newestFirst');
      }
      const page =
        input.newestFirst === true
          ? await audit.entriesBack({
              before: start === '' ? audit.size : Number(start),
              ...wanted,
            })
          : await audit.entries({
              from: start === '' ? (input.after ?? -1) + 1 : Number(start),
              ...wanted,
            });
      return answer({
        items: page.entries.map(entryViewOf),
        ...(page.next === undefined ? {} : { nextCursor: paging.cursor(scope, `${page.next}`) }),
      });
    },
    'audit.tail': (input) => {
      const from = startAfter(audit, input.after);
      const open = (): Tail => audit.tail({ ...from, filter: filterOf(input) });
      return answer(follow(open, (entry) => entryViewOf(entry)));
    },
    'audit.checkpoint': async ({ since }) => {
      const { note, verifierKey, consistency } = await audit.checkpoint(since);
      return answer({ checkpoint: note, verifierKey, consistency: consistency.map(base64) });
    },
    'audit.prove': async ({ sequence }) => {
      const { entry, note, inclusion } = await audit.prove(sequence);
      return answer({
        entry: entryViewOf(entry),
        checkpoint: note,
        inclusion: inclusion.map(base64),
      });
    },
    'event.watch': ({ after }, { permits }) => {
      const permittedOf = (table: Readonly<Record<string, OperationName>>) =>
        Object.fromEntries(Object.entries(table).map(([kind, read]) => [kind, permits(read)]));
      const [forChanges, forDeliveries] = [permittedOf(readableWith), permittedOf(followedWith)];
      const from = startAfter(audit, after);
      const open = (): Tail => audit.tail({ ...from, filter: {} });
      return answer(
        follow(open, ({ sequence, action, resource, outcome }) => {
          const [kind = '', change = ''] = action.split('.');
          const isDelivery = deliveries.has(action);
          if (!isDelivery && !(changes.has(action) && outcome === 'ok')) return undefined;
          const slash = resource.indexOf('/');
          const collection = slash < 0 ? resource : resource.slice(0, slash);
          const isPermitted = (isDelivery ? forDeliveries : forChanges)[collection];
          if (isPermitted?.(resource) === false) return undefined;
          const name = slash < 0 ? '' : resource.slice(slash + 1);
          return { sequence, kind, name, change };
        }),
      );
    },
  };
}

/**
 * Where to go on. Who goes on after what this log does not have, because an older store was put back, would
 * wait for that many entries and never hear of them.
 *
 * @throws Fault `audit.beyond-end`
 */
function startAfter(
  { size }: Pick<Tools['audit'], 'size'>,
  after: number | undefined,
): { readonly from?: number } {
  if (after === undefined) return {};
  if (after >= size) throw new Fault('audit.beyond-end', { after, size });
  return { from: after + 1 };
}

type FilterInput = Omit<OperationInput<'audit.tail'>, 'after'>;

/** @throws Fault `request.invalid` for a time that there is not, such as the 30 February. */
function filterOf(input: FilterInput): EntryFilter {
  const { action, actor, resource, outcome, since } = input;
  const sinceMs = since === undefined ? undefined : Date.parse(since);
  if (Number.isNaN(sinceMs)) throw invalid('/since', 'must be a time that there is');
  return {
    ...(input.changes === true ? { actions: changes, outcome: 'ok' } : {}),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(action === undefined ? {} : { action }),
    ...(actor === undefined ? {} : { actor }),
    ...(resource === undefined ? {} : { resource }),
    ...(outcome === undefined ? {} : { outcome }),
  };
}

function invalid(pointer: string, detail: string): Fault {
  const errors = [{ pointer, detail }];
  return new Fault('request.invalid', { what: 'input', at: pointer, problem: detail }, { errors });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function entryViewOf(entry: EntryWithBytes): AuditEntryView {
  const { principal, sequence, action, resource, outcome, rule, requestId, detail } = entry;
  return {
    sequence,
    time: timestampOf(entry.timeMs),
    actor: principal.name,
    actorKind: principal.kind,
    method: principal.method,
    source: principal.source,
    action,
    resource,
    outcome,
    rule,
    requestId,
    detail,
    bytes: entry.bytes.toString('base64'),
  };
}

/**
 * The log as a sequence that can be left at any time: `return` ends a pending `next`, which an async
 * generator's does not. Opened when it is first asked for something.
 *
 * @param view - `undefined` for what is not shown.
 */
function follow<View>(
  open: () => Tail,
  view: (entry: EntryWithBytes) => View | undefined,
): AsyncIterable<View> {
  return {
    [Symbol.asyncIterator](): AsyncIterator<View> {
      const abort = new AbortController();
      const tail = open();
      const ready: View[] = [];
      const end = (): IteratorResult<View> => {
        abort.abort();
        tail.close();
        return { done: true, value: undefined };
      };
      return {
        async next() {
          while (ready.length === 0 && !abort.signal.aborted) {
            try {
              const entries = await tail.next(abort.signal);
              ready.push(...entries.map(view).filter((shown) => shown !== undefined));
            } catch (error) {
              if (!abort.signal.aborted && !isFault(error, 'barrier.sealed')) throw error;
              return end();
            }
          }
          const value = ready.shift();
          return value === undefined ? end() : { done: false, value };
        },
        return: async () => end(),
      };
    },
  };
}
