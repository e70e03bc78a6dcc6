/**
 * Metrics: counters, gauges and histograms in Prometheus' text format.
 *
 * Promises
 *   - Label values come from lists that are written in the code, so the number of series is known
 *     when the program starts: no name of a secret, user or container can become a label.
 *   - Names follow Prometheus' conventions; a wrong one is an assertion when it is declared.
 */
import { assert } from './assert.ts';

/** For each label the values that it may have. */
export type LabelSets = Readonly<Record<string, readonly string[]>>;
export type Labels<L extends LabelSets> = { readonly [K in keyof L]: L[K][number] };

export interface Counter<L extends LabelSets> {
  add(labels: Labels<L>, amount?: number): void;
}

export interface Gauge<L extends LabelSets> {
  set(labels: Labels<L>, value: number): void;
}

export interface Histogram<L extends LabelSets> {
  observe(labels: Labels<L>, value: number): void;
}

interface Declaration<L extends LabelSets> {
  /** `coffer_…`, in base units: `_seconds`, `_bytes`, `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels: L;
}

interface Family {
  readonly head: string;
  lines(): readonly string[];
}

/** Seconds. From a cache hit to a request that has gone wrong. */
export const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const seriesMax = 2000;

export class Metrics {
  readonly #families = new Map<string, Family>();
  #series = 0;

  counter<const L extends LabelSets>(declaration: Declaration<L>): Counter<L> {
    assert(declaration.name.endsWith('_total'), 'a counter ends in _total');
    const values = this.#declare(declaration, 'counter');
    return {
      add(labels, amount = 1) {
        assert(amount >= 0, 'a counter does not go down');
        const key = keyOf(declaration.labels, labels);
        values.set(key, (values.get(key) ?? 0) + amount);
      },
    };
  }

  gauge<const L extends LabelSets>(declaration: Declaration<L>): Gauge<L> {
    assert(!declaration.name.endsWith('_total'), 'a gauge does not end in _total');
    const values = this.#declare(declaration, 'gauge');
    return { set: (labels, value) => void values.set(keyOf(declaration.labels, labels), value) };
  }

  histogram<const L extends LabelSets>(
    declaration: Declaration<L>,
    buckets: readonly number[] = secondsBuckets,
  ): Histogram<L> {
    const { name, labels: sets } = declaration;
    assert(/_(seconds|bytes)$/.test(name), 'a histogram ends in its unit');
    const rows = new Map<string, { counts: number[]; sum: number }>();
    this.#add(declaration, 'histogram', buckets.length + 3, () =>
      [...rows].flatMap(([key, { counts, sum }]) => {
        const inner = key === '' ? '' : `${key},`;
        const bounds = [...buckets.map(String), '+Inf'];
        let total = 0;
        const lines = bounds.map((bound, index) => {
          total += counts[index] ?? 0;
          return `${name}_bucket{${inner}le="${bound}"} ${total}`;
        });
        return [
          ...lines,
          `${name}_sum${braced(key)} ${sum}`,
          `${name}_count${braced(key)} ${total}`,
        ];
      }),
    );
    return {
      observe(labels, value) {
        const key = keyOf(sets, labels);
        const row = rows.get(key) ?? {
          counts: Array(buckets.length + 1).fill(0) as number[],
          sum: 0,
        };
        const found = buckets.findIndex((bound) => value <= bound);
        const index = found < 0 ? buckets.length : found;
        row.counts[index] = (row.counts[index] ?? 0) + 1;
        row.sum += value;
        rows.set(key, row);
      },
    };
  }

  /** Prometheus' text exposition format, version 0.0.4. */
  text(): string {
    const parts = [...this.#families.values()].flatMap((family) => [
      family.head,
      ...family.lines(),
    ]);
    return parts.length === 0 ? '' : `${parts.join('\n')}\n`;
  }

  #declare(declaration: Declaration<LabelSets>, type: string): Map<string, number> {
    const values = new Map<string, number>();
    this.#add(declaration, type, 1, () =>
      [...values].map(([key, value]) => `${declaration.name}${braced(key)} ${value}`),
    );
    return values;
  }

  #add(
    declaration: Declaration<LabelSets>,
    type: string,
    width: number,
    lines: Family['lines'],
  ): void {
    const { name, help, labels } = declaration;
    assert(/^coffer_[a-z][a-z0-9_]*$/.test(name), 'a metric is named coffer_…');
    assert(!this.#families.has(name), `the metric ${name} is declared once`);
    assert(!/[\\\n]/.test(help), 'help is one plain line');
    this.#series += Object.values(labels).reduce((product, set) => product * set.length, width);
    assert(this.#series <= seriesMax, `all metrics together have at most ${seriesMax} series`);
    this.#families.set(name, { head: `# HELP ${name} ${help}\n# TYPE ${name} ${type}`, lines });
  }
}

/** For each observation: nothing is made but the text. */
function keyOf<L extends LabelSets>(sets: L, labels: Labels<L>): string {
  let key = '';
  for (const label in sets) {
    const value = labels[label] ?? '';
    assert(sets[label]?.includes(value) ?? false, `${label} has one of its declared values`);
    key += `${key === '' ? '' : ','}${label}="${value}"`;
  }
  return key;
}

function braced(key: string): string {
  return key === '' ? '' : `{${key}}`;
}
