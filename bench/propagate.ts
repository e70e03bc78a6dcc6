/**
 * From the API's acknowledgement of a new value to that value being read inside N running containers:
 * real gateway, real enforcer, real containers, one machine. And from a withdrawal to the value being
 * gone from all of them with the receipts in.
 *
 * One figure per container and rotation: from the acknowledgement at the client to the moment at which
 * a process outside has read the new value through that container's own mount. What is there before the
 * acknowledgement counts as 0. And what a rotation costs each program, with all that follows it: receipts,
 * and the end of what was replaced. `--containers 1,10,100`, `--rotations 40` for others.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '../src/base/clock.ts';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { Installation } from '../src/testing/installation.ts';
import { type BenchContainers, startContainers } from './containers.ts';
import type { FromReader, ToReader } from './propagate-messages.ts';
import { cpuMsOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const { values: flags } = parseArgs({
  options: { containers: { type: 'string' }, rotations: { type: 'string' } },
  strict: false,
});
const counts = String(flags['containers'] ?? '1,10,100')
  .split(',')
  .map(Number);
const rotations = Number(flags['rotations'] ?? 40);
const withdrawals = 100;
/** At first, not counted: programs that have just started run cold. */
const warming = 5;
const withinMs = 30_000;
/** Between two rounds, so that one's receipts are not in the way of the next. */
const pauseMs = 50;

const report = new Report('propagate');

class Reader implements Disposable {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'propagate-reader.ts'));
  }

  async watch(pids: readonly number[], file: string): Promise<void> {
    await this.#ask({ kind: 'watch', pids, file });
  }

  /** When each container was seen to have this content, or none. */
  async seen(content: string | undefined): Promise<readonly number[]> {
    const answer = await this.#ask({ kind: 'expect', content });
    return answer.kind === 'seen' ? answer.atMs : [];
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }

  async #ask(message: ToReader): Promise<FromReader> {
    this.#child.send(message);
    const signal = AbortSignal.timeout(withinMs);
    const [answer] = (await once(this.#child, 'message', { signal })) as [FromReader];
    return answer;
  }
}

class Round {
  readonly #installation: Installation;
  readonly #containers: BenchContainers;
  readonly #reader: Reader;
  readonly #count: number;
  #serial = 0;
  #grantRevision = 0;

  constructor(
    parts: {
      readonly installation: Installation;
      readonly containers: BenchContainers;
      readonly reader: Reader;
    },
    count: number,
  ) {
    this.#installation = parts.installation;
    this.#containers = parts.containers;
    this.#reader = parts.reader;
    this.#count = count;
  }

  async run(): Promise<void> {
    const { client } = this.#installation;
    const match = this.#containers.matching({ [`bench-${this.#count}`]: 'yes' });
    const made = { name: this.#name, match };
    await client.call('group.put', made, { ifRevision: 0 });
    await this.#put();
    const took: number[] = [];
    await this.#deliver();
    for (let turn = 0; turn < warming; turn += 1) await this.#rotate();
    const cpuBeforeMs = this.#programs.map(([, pid]) => cpuMsOf(pid));
    for (let turn = 0; turn < rotations; turn += 1) took.push(...(await this.#rotate()));
    const cpuAfterMs = this.#programs.map(([, pid]) => cpuMsOf(pid));
    for (let turn = 0; turn < warming; turn += 1) {
      await this.#withdraw();
      await this.#deliver();
    }
    const withdrawn: number[] = [];
    const granted: number[] = [];
    for (let turn = 0; turn < withdrawals; turn += 1) {
      withdrawn.push(await this.#withdraw());
      granted.push(await this.#deliver());
    }
    await this.#withdraw();
    const name = `${this.#count} ${this.#containers.kind}`;
    const strict = this.#count >= 100;
    const metric = 'acknowledgement → read inside';
    report.addSpread(name, metric, took, 'ms', strict ? { p50: 15, p99: 50 } : {});
    for (const [index, [program]] of this.#programs.entries()) {
      const cpuMs = (cpuAfterMs[index] ?? 0) - (cpuBeforeMs[index] ?? 0);
      const each = `rotation: processor time of the ${program}`;
      report.add({ case: name, metric: each, value: cpuMs / rotations, unit: 'ms' });
    }
    const gone = 'withdrawal sent → gone from all, receipts in';
    report.addSpread(name, gone, withdrawn, 'ms', strict ? { p99: 100 } : {});
    const placed = 'grant sent → in place in all, receipts in';
    report.addSpread(name, placed, granted, 'ms');
  }

  get #programs() {
    const { gateway, enforcer } = this.#installation;
    return [
      ['gateway', gateway?.child.pid ?? 0],
      ['enforcer', enforcer?.child.pid ?? 0],
    ] as const;
  }

  get #name() {
    return parseName(`bench-${this.#count}`);
  }

  get #secret() {
    return parseSecretName(`bench/value-${this.#count}`);
  }

  get #content(): string {
    return `value ${this.#serial}`;
  }

  get #pids(): readonly number[] {
    return this.#containers.pids.slice(0, this.#count);
  }

  async #put(): Promise<void> {
    this.#serial += 1;
    using value = SecretValue.copy(Buffer.from(this.#content));
    await this.#installation.client.call('secret.put', { name: this.#secret }, { value });
  }

  /** Grants, and waits until it is everywhere. */
  async #deliver(): Promise<number> {
    const sentMs = sharedMs();
    const grant = { group: this.#name, secrets: [{ secret: this.#secret }] };
    const { output } = await this.#installation.client.call('grant.put', grant, { ifRevision: 0 });
    this.#grantRevision = output.revision;
    await this.#untilHeld(this.#count);
    const tookMs = sharedMs() - sentMs;
    // Watched from now on: the mount was not there before.
    await this.#reader.watch(this.#pids, `value-${this.#count}`);
    await this.#reader.seen(this.#content);
    await clock.sleep(pauseMs);
    return tookMs;
  }

  async #rotate(): Promise<readonly number[]> {
    const next = `value ${this.#serial + 1}`;
    const seen = this.#reader.seen(next);
    await this.#put();
    const acknowledgedMs = sharedMs();
    const atMs = await seen;
    await clock.sleep(pauseMs);
    return atMs.map((each) => Math.max(0, each - acknowledgedMs));
  }

  async #withdraw(): Promise<number> {
    const seen = this.#reader.seen(undefined);
    const sentMs = sharedMs();
    const ifRevision = this.#grantRevision;
    await this.#installation.client.call('grant.delete', { group: this.#name }, { ifRevision });
    const goneMs = Math.max(...(await seen));
    await this.#untilHeld(0);
    const receivedMs = sharedMs();
    await clock.sleep(pauseMs);
    return Math.max(goneMs, receivedMs) - sentMs;
  }

  /** By receipts: what the gateway says is in place. */
  async #untilHeld(count: number): Promise<void> {
    const startedMs = clock.monotonicMs();
    for (;;) {
      // Asking takes from what is measured: whether there is any left, one tells.
      const query = { secret: this.#secret, limit: count === 0 ? 1 : 500 };
      const { output } = await this.#installation.client.call('holding.list', query);
      const current = output.items.filter(({ state }) => state === 'current').length;
      if (count === 0 ? output.items.length === 0 : current === count) return;
      if (clock.monotonicMs() - startedMs > withinMs)
        throw new Error(`${current} of ${count} containers hold it`);
      await clock.sleep(1);
    }
  }
}

const most = Math.max(...counts);
const labels = Array.from({ length: most }, (_, index) =>
  Object.fromEntries(
    counts.filter((count) => index < count).map((count) => [`bench-${count}`, 'yes']),
  ),
);
{
  await using containers = await startContainers('propagate', labels);
  await using installation = await Installation.start({ runtime: containers.runtime });
  using reader = new Reader();
  for (const count of counts) await new Round({ installation, containers, reader }, count).run();
}
process.exit(0);
