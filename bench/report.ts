/**
 * How benches say what they measured: readable for a person, or with `--json` one line per result:
 * {"bench","case","metric","value","unit","target","met"}. Machine facts come first, on stderr.
 */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { parseArgs, styleText } from 'node:util';
import { exitOnSignals } from '../src/testing/left-behind.ts';

export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Measured {
  readonly case: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: Target;
}

export class Report {
  readonly #bench: string;
  readonly #json: boolean;

  constructor(bench: string) {
    this.#bench = bench;
    const { values } = parseArgs({ options: { json: { type: 'boolean' } }, strict: false });
    this.#json = values['json'] === true;
    process.stderr.write(`${machine()}\n`);
    exitOnSignals();
  }

  add(measured: Measured): void {
    const { value, target } = measured;
    const met = target === undefined ? undefined : isMet(value, target);
    const rounded = Math.round(value * 1000) / 1000;
    if (this.#json) {
      const line = { bench: this.#bench, ...measured, value: rounded, target: textOf(target), met };
      process.stdout.write(`${JSON.stringify(line)}\n`);
      return;
    }
    const mark = met === undefined ? ' ' : met ? styleText('green', '✔') : styleText('red', '✘');
    const aim = target === undefined ? '' : `   target ${textOf(target)}`;
    const figure = `${rounded.toLocaleString('en')} ${measured.unit}`;
    const name = `${measured.case}: ${measured.metric}`;
    process.stdout.write(`${mark} ${name.padEnd(52)} ${figure.padStart(18)}${aim}\n`);
  }

  /** Median, 99th percentile and the worst of a list of figures. */
  addSpread(
    name: string,
    metric: string,
    values: readonly number[],
    unit: string,
    targets: { readonly p50?: number; readonly p99?: number } = {},
  ): void {
    for (const [at, share] of [
      ['p50', 0.5],
      ['p99', 0.99],
      ['max', 1],
    ] as const) {
      const target = at === 'max' ? undefined : targets[at];
      const measured = {
        case: name,
        metric: `${metric} ${at}`,
        value: quantile(values, share),
        unit,
      };
      this.add(target === undefined ? measured : { ...measured, target: { atMost: target } });
    }
  }
}

/** This bench cannot run here: says why, and fails. */
export function cannotRun(bench: string, reason: string): never {
  process.stderr.write(`bench ${bench} cannot run here: ${reason}\n`);
  process.exit(3);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/**
 * Resident memory of a process in MiB: all of it; its share, with pages that n processes map counted as
 * 1/n; and what it shares with nobody.
 */
export function memoryOf(pid: number): {
  readonly residentMib: number;
  readonly shareMib: number;
  readonly privateMib: number;
} {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
  return {
    residentMib: kib('Rss') / 1024,
    shareMib: kib('Pss') / 1024,
    privateMib: (kib('Private_Clean') + kib('Private_Dirty')) / 1024,
  };
}

/** User and system time that a process has used, in milliseconds; 0 once it is gone. */
export function cpuMsOf(pid: number): number {
  const path = `/proc/${pid}/stat`;
  const fields = existsSync(path)
    ? (readFileSync(path, 'utf8').split(') ')[1]?.split(' ') ?? [])
    : [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}

function isMet(value: number, target: Target): boolean {
  return (
    value <= (target.atMost ?? Number.POSITIVE_INFINITY) &&
    value >= (target.atLeast ?? Number.NEGATIVE_INFINITY)
  );
}

function textOf(target: Target | undefined): string | undefined {
  if (target === undefined) return undefined;
  return target.atMost === undefined ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

function machine(): string {
  const [cpu] = cpus();
  const kinds: Readonly<Record<number, string>> = {
    0xef53: 'ext4',
    0x01021994: 'tmpfs',
    0x9123683e: 'btrfs',
    0x58465342: 'xfs',
    0x794c7630: 'overlay',
  };
  const disk = kinds[statfsSync(tmpdir()).type] ?? 'unknown';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  // Others on the machine take from every figure: how busy it was belongs to them.
  const load = (loadavg()[0] ?? 0).toFixed(1);
  return [
    `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}`,
    memory,
    `Linux ${release()}`,
    `Node ${process.versions.node}`,
    `${tmpdir()} on ${disk}`,
    `load ${load}`,
  ].join(', ');
}
