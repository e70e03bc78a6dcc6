/**
 * Finds a secret in text, however it may have been written: raw, base64 at each of its three offsets,
 * hexadecimal, percent-encoded, JSON-escaped, as a list of numbers, backwards, or compressed.
 */
import { gunzipSync } from 'node:zlib';

/** @returns The names of the forms that occur in `text`; empty is well. */
export function formsFound(text: string, secret: Uint8Array): readonly string[] {
  const haystacks = [
    text,
    text.replaceAll(/\\u00([0-9a-f]{2})/gi, (_match, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    ...unzipped(text),
  ];
  return formsOf(Buffer.from(secret))
    .filter(([, form]) => haystacks.some((haystack) => haystack.includes(form)))
    .map(([name]) => name);
}

export function formsOf(secret: Buffer): readonly (readonly [name: string, form: string])[] {
  const raw = secret.toString('latin1');
  const hex = secret.toString('hex');
  const offsets = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), secret]).toString('base64');
    // The characters that only the secret decides: those shared with its neighbours are cut away.
    const inner = padded.slice(offset === 0 ? 0 : offset + 1).replace(/=+$/, '');
    return inner.slice(0, (inner.length >> 2) * 4 || inner.length).slice(0, -1);
  });
  return [
    ['raw', raw],
    ['utf-8', secret.toString('utf8')],
    ...offsets.map((form, offset) => [`base64+${offset}`, form] as const),
    ...offsets.map(
      (form, offset) =>
        [`base64url+${offset}`, form.replaceAll('+', '-').replaceAll('/', '_')] as const,
    ),
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ['percent', hex.replaceAll(/../g, '%$&').toUpperCase()],
    ['json', escaped(raw)],
    ['json of utf-8', escaped(secret.toString('utf8'))],
    ['json in json', escaped(escaped(secret.toString('utf8')))],
    ['numbers', [...secret].join(',')],
    ['reversed', escaped(raw.split('').toReversed().join(''))],
  ];
}

function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** What runs of base64 in it unzip to. */
function unzipped(text: string): string[] {
  return (text.match(/H4sI[A-Za-z0-9+/_-]{16,}/g) ?? []).flatMap((run) => {
    try {
      return [gunzipSync(Buffer.from(run, 'base64')).toString('latin1')];
    } catch {
      return [];
    }
  });
}
