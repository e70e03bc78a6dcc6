/**
 * A reporter for node's test runner: what the summary of `verify` needs, one JSON value per line.
 *
 * Skipped tests with their reasons, and the totals that the runner counts. What people read comes
 * from the `spec` reporter beside it.
 */
import type { TestEvent } from 'node:test/reporters';

export interface SkippedTest {
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

export type ReportLine =
  | { readonly skipped: SkippedTest }
  | { readonly counts: Readonly<Record<string, number>> };

// oxlint-disable-next-line import/no-default-export -- that is how the runner finds it
export default async function* reportSkips(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string, void> {
  for await (const event of events) {
    const line = lineOf(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function lineOf(event: TestEvent): ReportLine | undefined {
  if (event.type === 'test:summary' && event.data.file === undefined) {
    return { counts: { ...event.data.counts } };
  }
  if (event.type !== 'test:pass' || event.data.skip === undefined) return undefined;
  const { file, name, skip } = event.data;
  if (skip === false) return undefined;
  const reason = typeof skip === 'string' && skip !== '' ? skip : 'no reason given';
  return { skipped: { file: file ?? '', name, reason } };
}
