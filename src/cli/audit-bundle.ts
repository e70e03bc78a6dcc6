/**
 * Audit bundles: a log as a file that can be verified without the gateway, years later.
 *
 * Lines of JSON: a head (`format`, `verifierKey`, `checkpoint`), then one line per entry: its
 * canonical bytes, base64, as a JSON string.
 */
import { createReadStream } from 'node:fs';
import { Fault, isFault } from '../base/fault.ts';
import { type JsonValue, parseJson } from '../base/json.ts';
import * as schema from '../base/schema.ts';
import { decodeBase64 } from '../crypto/note.ts';
import { fileFault } from './private-file.ts';

export const bundleFormat = 'coffer-audit-1';

const headSchema = schema.object({
  format: schema.oneOf([bundleFormat]),
  verifierKey: schema.string({ min: 1, max: 512 }),
  checkpoint: schema.string({ min: 1, max: 65_536 }),
});

export interface BundleHead {
  readonly verifierKey: string;
  /** A signed note. */
  readonly checkpoint: string;
}

export interface Bundle {
  readonly head: BundleHead;
  /** The canonical bytes of each. */
  readonly entries: AsyncIterable<Buffer>;
}

const newline = 0x0a;
const chunkBytes = 1024 * 1024;
const lineBounds = { bytesMax: 256 * 1024, depthMax: 4, nodesMax: 256 };

/** @throws Fault `request.malformed`, `request.invalid`, `cli.file`: also while entries are read. */
export async function openBundle(path: string): Promise<Bundle> {
  const lines = linesOf(path);
  const first = await lines.next();
  if (first.done === true)
    throw new Fault('request.malformed', { file: path, problem: 'is empty' });
  const head = schema.parse(headSchema, parseLine(first.value, path, 1), `${path}:1`);
  return { head, entries: entriesOf(lines, path) };
}

async function* entriesOf(
  lines: AsyncIterable<Buffer>,
  path: string,
): AsyncGenerator<Buffer, void, undefined> {
  let number = 2;
  for await (const line of lines) {
    const text = parseLine(line, path, number);
    const bytes = typeof text === 'string' ? decodeBase64(text) : undefined;
    if (!bytes) throw notEntry(path, number);
    yield bytes;
    number += 1;
  }
}

function notEntry(path: string, line: number): Fault {
  const problem = 'is not an entry in base64';
  return new Fault('request.malformed', { file: path, line, column: 1, problem });
}

/** @throws Fault `request.malformed` with the place in the file, of which this is the line. */
function parseLine(bytes: Buffer, path: string, line: number): JsonValue {
  try {
    return parseJson(bytes, path, lineBounds);
  } catch (error) {
    if (!isFault(error)) throw error;
    throw new Fault(error.code, { ...error.detail, line, column: error.detail['column'] ?? 1 });
  }
}

/** @throws Fault `request.malformed` for a line that is too long; `cli.file` */
async function* linesOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: chunkBytes });
    for await (const chunk of chunks) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let from = 0;
      for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
        yield bytes.subarray(from, end);
        from = end + 1;
      }
      rest = bytes.subarray(from);
      if (rest.length > lineBounds.bytesMax)
        throw new Fault('request.malformed', {
          file: path,
          problem: 'has a line that is too long',
        });
    }
  } catch (error) {
    throw isFault(error) ? error : fileFault(path, error);
  }
  if (rest.length > 0) yield rest;
}
