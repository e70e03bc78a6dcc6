/**
 * Physical storage that misbehaves on command, around any other: for the simulator.
 *
 * The plan is asked before every commit and is a function of its inputs, so a run is replayed from
 * its seed. After a crash every call throws `SimulatedCrash`, as after a process died; whoever
 * "restarts" wraps the same inner storage again.
 */
import { unreachable } from '../base/assert.ts';
import { Fault } from '../base/fault.ts';
import type {
  CommitOutcome,
  ListOptions,
  Physical,
  PhysicalBatch,
  PhysicalKey,
  Row,
  ScanOptions,
} from '../gateway/physical/physical.ts';
import { snapshotOf } from './physical-snapshot.ts';

export type CommitMishap =
  /** Died before anything was written. */
  | 'crash-before'
  /** Died after it was durable, before anyone was told. */
  | 'crash-after'
  /** No space; nothing written. */
  | 'full'
  /** The disk failed and the batch is not there. */
  | 'failed-before'
  /** The disk failed and the batch is there all the same: to be seen once the storage was opened anew. */
  | 'failed-after'
  /** The same, and the disk goes on failing: it cannot be opened anew at once. */
  | 'failed-on'
  /** Another writer took this revision with an empty batch. */
  | 'behind';

export type CommitPlan = (batch: PhysicalBatch) => CommitMishap | undefined;

export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

export class FaultyPhysical implements Physical {
  readonly #inner: Physical;
  readonly #plan: CommitPlan;
  #crashed = false;
  #poison: 'storage.full' | 'storage.failed' | undefined;
  /** What is seen in place of the storage until it is opened anew. */
  #before: Physical | undefined;
  #reopensRefused = 0;

  constructor(inner: Physical, plan: CommitPlan) {
    this.#inner = inner;
    this.#plan = plan;
  }

  async revision(): Promise<number> {
    return this.#seen().revision();
  }

  async get(key: PhysicalKey): Promise<Row | undefined> {
    return this.#seen().get(key);
  }

  async list(prefix: string, options: ListOptions): Promise<readonly Row[]> {
    return this.#seen().list(prefix, options);
  }

  async *scan(options: ScanOptions): AsyncGenerator<readonly Row[]> {
    yield* this.#seen().scan(options);
  }

  async commit(batch: PhysicalBatch): Promise<CommitOutcome> {
    const inner = this.#alive();
    if (this.#poison !== undefined) throw new Fault(this.#poison, { simulated: true });
    const mishap = this.#plan(batch);
    switch (mishap) {
      case undefined:
        return inner.commit(batch);
      case 'crash-before':
        return this.#crash();
      case 'crash-after':
        await inner.commit(batch);
        return this.#crash();
      case 'full':
        return this.#fail('storage.full');
      case 'failed-before':
        return this.#fail('storage.failed');
      case 'failed-on':
      case 'failed-after':
        if (mishap === 'failed-on') this.#reopensRefused = 2;
        this.#before = await snapshotOf(inner);
        await inner.commit(batch);
        return this.#fail('storage.failed');
      case 'behind':
        await inner.commit({ revision: batch.revision, writes: [], expectations: [] });
        return inner.commit(batch);
      default:
        return unreachable(mishap);
    }
  }

  async reopen(): Promise<void> {
    const inner = this.#alive();
    if (this.#reopensRefused > 0) {
      this.#reopensRefused -= 1;
      throw new Fault('storage.failed', { simulated: true });
    }
    await inner.reopen();
    this.#poison = undefined;
    this.#before = undefined;
  }

  async purge(): Promise<void> {
    await this.#alive().purge();
  }

  async checkIntegrity(): Promise<void> {
    await this.#alive().checkIntegrity();
  }

  async backup(path: string): Promise<{ readonly revision: number; readonly bytes: number }> {
    return this.#alive().backup(path);
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  #alive(): Physical {
    if (this.#crashed) throw new SimulatedCrash('this process has died');
    return this.#inner;
  }

  #seen(): Physical {
    const inner = this.#alive();
    return this.#before ?? inner;
  }

  #crash(): never {
    this.#crashed = true;
    throw new SimulatedCrash('died in a commit');
  }

  #fail(code: 'storage.full' | 'storage.failed'): never {
    this.#poison = code;
    throw new Fault(code, { simulated: true });
  }
}
