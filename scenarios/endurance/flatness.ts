/**
 * Watches what a process holds, and says where it grew. What is counted is what the kernel counts: JavaScript
 * timers and listeners that pile up show as memory.
 */
import { readdirSync, readFileSync } from 'node:fs';

interface Sample {
  readonly descriptors: number;
  readonly threads: number;
  /** Sets of ours on the mount table that it sees. */
  readonly sets: number;
  readonly residentKib: number;
}

const kinds = ['descriptors', 'threads', 'sets', 'residentKib'] as const;

/** How much more there may be in the last third of the samples than in the first. */
export type Slack = Readonly<Record<(typeof kinds)[number], number>>;

export class Flatness {
  readonly #samples: Sample[] = [];
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  sample(): void {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    const numberOf = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
    this.#samples.push({
      descriptors: readdirSync(`/proc/${this.#pid}/fd`).length,
      threads: numberOf('Threads'),
      sets: readFileSync(`/proc/${this.#pid}/mountinfo`, 'utf8').split(' coffer:').length - 1,
      residentKib: numberOf('VmRSS'),
    });
  }

  /** The median in the first third of the samples, and in the last. */
  describe(): string {
    return kinds.map((kind) => `${kind} ${this.#medians(kind).join(' → ')}`).join(', ');
  }

  /** @returns what grew by more than `slack`. */
  breaches(slack: Slack): readonly string[] {
    return kinds.flatMap((kind) => {
      const [first, last] = this.#medians(kind);
      return last - first > slack[kind] ? [kind] : [];
    });
  }

  #medians(kind: (typeof kinds)[number]): readonly [number, number] {
    const values = this.#samples.map((sample) => sample[kind]);
    const third = Math.floor(values.length / 3);
    return [median(values.slice(0, third)), median(values.slice(-third))];
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
