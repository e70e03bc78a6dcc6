/**
 * What an enforcer leaves behind for its successor and for the watchdog: which sets are where, on
 * which lease, and when the gateway was last heard. Ids, versions and times; never a byte of a file.
 */
import { createHash } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';
import { type SetKey, type SetReceipt, setKeyText, unknownTerms } from '../model/assignment.ts';
import type { WorkloadFacts, WorkloadProcess } from '../model/workload.ts';
import type { PlaceRevision } from './newest.ts';
import { type Holding, leaseBeganMs } from './reconcile.ts';

export interface RememberedState extends Remains {
  /** On the boot clock: means nothing after a reboot, and neither do the mounts. */
  readonly heardAtBootMs: number;
  /** That nothing is left of these sets, as far as the gateway may not have heard it. */
  readonly unheard?: readonly SetReceipt[];
}

/** What was left in containers. */
export interface Remains {
  /** Every workload that may hold a mount of ours, also before it does. */
  readonly processes: readonly { readonly workloadId: string; readonly process: WorkloadProcess }[];
  readonly holdings: readonly Holding[];
  /** Of each place that ever held a set, also if nothing is left there: what comes next is a change. */
  readonly newest: readonly PlaceRevision[];
}

export interface Known {
  readonly heardAtBootMs: number;
  readonly workloads: Iterable<WorkloadFacts>;
  /** Of two for one place the later counts. */
  readonly sets: readonly Holding[];
  readonly newest: Iterable<PlaceRevision>;
  /** From before, and overridden by what is known now. */
  readonly inherited: Remains;
}

export function stateOf(known: Known): RememberedState {
  const { heardAtBootMs, inherited } = known;
  const processes = [...known.workloads].map(({ id, process }) => ({ workloadId: id, process }));
  const all = [...inherited.processes, ...processes].map((one) => [one.workloadId, one] as const);
  return {
    heardAtBootMs,
    processes: [...new Map(all).values()],
    holdings: latest([...inherited.holdings, ...known.sets]).map((set) =>
      onLease(set, heardAtBootMs),
    ),
    newest: latest([...inherited.newest, ...known.newest]),
  };
}

/** With the beginning of its lease, where that is another than everybody's. */
function onLease(holding: Holding, heardAtMs: number): Holding {
  const { heardAtBootMs: _, takenUpAtBootMs: _not, ...rest } = holding;
  const beganMs = leaseBeganMs(holding, heardAtMs);
  return beganMs === heardAtMs ? rest : { ...rest, heardAtBootMs: Math.floor(beganMs) };
}

/** The last one of each place. */
function latest<T extends SetKey>(all: readonly T[]): readonly T[] {
  return [...new Map(all.map((one) => [setKeyText(one), one])).values()];
}

export function withoutWorkload<State extends RememberedState | undefined>(
  state: State,
  workloadId: string,
): State {
  if (!state?.processes.some((one) => one.workloadId === workloadId)) return state;
  return {
    ...state,
    processes: state.processes.filter((one) => one.workloadId !== workloadId),
    holdings: state.holdings.filter((one) => one.workloadId !== workloadId),
    newest: state.newest.filter((one) => one.workloadId !== workloadId),
  };
}

/**
 * A set that was found in place. Of one that nobody remembers, or at another revision, nothing is said to
 * be there.
 */
export function adoptedHolding(
  key: SetKey,
  setRevision: number,
  known: Holding | undefined,
): Holding {
  // Without files it was remembered before it was placed.
  const same = known?.setRevision === setRevision && known.files.length > 0;
  return {
    ...key,
    setRevision,
    files: same ? known.files : [],
    terms: same ? known.terms : unknownTerms,
    // Of a set that nobody remembers: time for the gateway to send it anew, and no more.
    leaseMs: known?.leaseMs ?? limits.leaseMsMin,
    keepOnLeaseLoss: known?.keepOnLeaseLoss ?? false,
    ...(known?.heardAtBootMs === undefined ? {} : { heardAtBootMs: known.heardAtBootMs }),
  };
}

/** Names a mount across restarts: the workload's incarnation and a digest of the directory. */
export function mountIdOf(key: SetKey): string {
  const digest = createHash('sha256').update(key.target).digest('hex').slice(0, 16);
  return `${key.workloadId}:${digest}`;
}

const number = schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const text = schema.string({ max: 4096 });

const held = {
  workloadId: text,
  target: text,
  setRevision: number,
  files: schema.array(schema.object({ name: text, secretId: text, version: number }), {
    max: 4096,
  }),
  terms: text,
};

const stateSchema = schema.object({
  heardAtBootMs: number,
  processes: schema.array(
    schema.object({
      workloadId: text,
      process: schema.object({
        pid: number,
        startTicks: number,
        mountNamespace: number,
        userNamespace: number,
        cgroup: text,
        uid: number,
        gid: number,
        userNamespaced: schema.boolean(),
      }),
    }),
    { max: 100_000 },
  ),
  holdings: schema.array(
    schema.object({
      ...held,
      leaseMs: number,
      keepOnLeaseLoss: schema.boolean(),
      heardAtBootMs: schema.optional(number),
    }),
    { max: 100_000 },
  ),
  newest: schema.array(schema.object({ workloadId: text, target: text, setRevision: number }), {
    max: 100_000,
  }),
  unheard: schema.optional(
    schema.array(
      schema.object({
        ...held,
        outcome: schema.oneOf(['gone', 'wiped']),
        fault: text,
        tookUs: number,
      }),
      { max: 100_000 },
    ),
  ),
});

export function stateToText(state: RememberedState): string {
  return JSON.stringify({ ...state, heardAtBootMs: Math.floor(state.heardAtBootMs) });
}

/** @throws Fault `request.invalid` when it is not such a state: treat it as absent. */
export function stateFromText(content: string): RememberedState {
  let data: unknown;
  try {
    data = JSON.parse(content);
  } catch {
    throw new Fault('request.invalid', { what: 'remembered state' });
  }
  return schema.parse(stateSchema, data, 'remembered state') as unknown as RememberedState;
}
