/**
 * Audit bundles: a log as a file that can be verified without the gateway, years later.
 *
 * Lines of JSON: a head (`format`, `verifierKey`, `checkpoint`), then one line per entry (its
 * canonical bytes, base64, as a JSON string), and after each full segment a line that proves its root
 * to be the beginning of a signed log (`size`, `checkpoint`, `consistency`). Layout: docs/FORMATS.md, "Audit bundle".
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Fault } from '../base/fault.ts';
import { parseJson } from '../base/json.ts';
import * as schema from '../base/schema.ts';
import { fileFault } from './private-file.ts';

export const bundleFormat = 'coffer-audit-1';

const headSchema = schema.object({
  format: schema.oneOf([bundleFormat]),
  verifierKey: schema.string({ min: 1, max: 512 }),
  checkpoint: schema.string({ min: 1, max: 65_536 }),
});
export type BundleHead = schema.Infer<typeof headSchema>;

const segmentSchema = schema.object({
  size: schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  checkpoint: schema.string({ min: 1, max: 65_536 }),
  consistency: schema.array(schema.string({ min: 44, max: 44 }), { max: 64 }),
});
export type BundleSegment = schema.Infer<typeof segmentSchema>;

export type BundleLine =
  | { readonly kind: 'head'; readonly head: BundleHead }
  | { readonly kind: 'entry'; readonly bytes: string }
  | { readonly kind: 'segment'; readonly segment: BundleSegment };

const lineBounds = { bytesMax: 256 * 1024, depthMax: 4, nodesMax: 256 };

/** @throws Fault `request.malformed`, `request.invalid`, `cli.file` */
export async function* readBundle(path: string): AsyncGenerator<BundleLine, void, undefined> {
  const input = createReadStream(path);
  const failed = new Promise<never>((_resolve, reject) => {
    input.once('error', (error) => reject(fileFault(path, error)));
  });
  failed.catch(() => undefined);
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[
    Symbol.asyncIterator
  ]();
  for (let number = 1; ; number += 1) {
    const next = await Promise.race([lines.next(), failed]);
    if (next.done === true) break;
    yield readLine(next.value, { path, number });
  }
}

function readLine(
  line: string,
  { path, number }: { readonly path: string; readonly number: number },
): BundleLine {
  const what = `${path}:${number}`;
  const value = parseJson(Buffer.from(line, 'utf8'), what, lineBounds);
  if (number === 1) return { kind: 'head', head: schema.parse(headSchema, value, what) };
  if (typeof value === 'string') return { kind: 'entry', bytes: value };
  if (schema.isPlainObject(value)) {
    return { kind: 'segment', segment: schema.parse(segmentSchema, value, what) };
  }
  throw new Fault('request.malformed', { what, problem: 'is no line of a bundle' });
}
