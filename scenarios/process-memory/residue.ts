/**
 * G45: after many secrets went through them, of how many is a copy left in the memory of gateway and
 * enforcer. JavaScript cannot promise none; so they are counted, and the count must not rise.
 */
import { equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { formsOf } from '../../src/testing/canary-scan.ts';
import { readInside, type Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { piecesOf } from './memory.ts';

const secretsCount = times(300, 1000);
const filesPerGrant = 100;
const markBytes = 12;
/**
 * Of all that went through, in each program. What is usually found is one or two: the last record that TLS
 * has decrypted on its stack, a block that was freed and not used again. Without any of what overwrites
 * copies (`wire/frame-writer.ts`, `wire/cleanse-plaintext.ts`) it is all of them.
 */
const residueMax = 20;

interface Residue {
  /** Secrets of which at least one end is there in plain. */
  readonly secrets: number;
  /** Ends that are there, of two per copy. */
  readonly ends: number;
  /** Marks in any other form: base64, hexadecimal, UTF-16 and so on. */
  readonly otherForms: number;
}

/** Values that are known by a mark at both ends, so that a copy that was half overwritten counts, too. */
export class MarkedValues {
  readonly #mark = randomBytes(markBytes).toString('base64url');

  value(index: number): string {
    const end = `${this.#mark}${String(index).padStart(4, '0')}`;
    return `${end}${randomBytes(20).toString('hex')}${end}`;
  }

  countIn(pid: number): Residue {
    return this.#count(piecesOf(pid, 256));
  }

  countInBytes(bytes: Buffer): Residue {
    return this.#count([bytes]);
  }

  #count(pieces: Iterable<Buffer>): Residue {
    const plain = Buffer.from(this.#mark);
    const forms = formsOf(plain)
      .map(([, text]) => Buffer.from(text, 'latin1'))
      .filter((form) => !form.equals(plain));
    forms.push(Buffer.from(this.#mark, 'utf16le'));
    const secrets = new Set<string>();
    let ends = 0;
    let otherForms = 0;
    for (const piece of pieces) {
      for (const at of placesOf(piece, plain)) {
        const index = piece.toString('latin1', at + plain.length, at + plain.length + 4);
        // The mark alone is no secret: only what stands beside a number was a value.
        if (!/^\d{4}$/.test(index)) continue;
        secrets.add(index);
        ends += 1;
      }
      for (const form of forms) otherForms += [...placesOf(piece, form)].length;
    }
    return { secrets: secrets.size, ends, otherForms };
  }
}

/** Puts the secrets, has all of them delivered, and rotates a tenth. */
export async function passSecrets(story: Story, values: MarkedValues): Promise<void> {
  const nameOf = (index: number): string => `residue/secret-${index}`;
  const indexes = Array.from({ length: secretsCount }, (_, index) => index);
  await Promise.all(indexes.map((index) => story.put(nameOf(index), values.value(index))));
  const match = { docker: { labels: { app: 'residue' } } };
  for (let first = 0; first < secretsCount; first += filesPerGrant) {
    const names = indexes.slice(first, first + filesPerGrant).map(nameOf);
    const target = `/run/coffer/residue-${first}`;
    await story.grantTo(`residue-${first}`, match, names, { target });
  }
  const container = await story.container({ name: 'residue', labels: { app: 'residue' } });
  const pid = await container.pid();
  const pathOf = (index: number): string =>
    `/run/coffer/residue-${index - (index % filesPerGrant)}/secret-${index}`;
  const isThere = (index: number): boolean => readInside(pid, pathOf(index)) !== undefined;
  await until('all are there', () => indexes.every(isThere));
  const rotated = indexes
    .filter((index) => index % 10 === 0)
    .map((index) => {
      return { index, value: values.value(index) };
    });
  await Promise.all(rotated.map(({ index, value }) => story.put(nameOf(index), value)));
  await until('a tenth is new', () =>
    rotated.every(({ index, value }) => readInside(pid, pathOf(index)) === value),
  );
}

export function residueIsBounded(t: TestContext, story: Story, values: MarkedValues): void {
  const { gateway, enforcer } = story.installation;
  for (const [name, program] of [
    ['gateway', gateway],
    ['enforcer', enforcer],
  ] as const) {
    const residue = values.countIn(program?.child.pid ?? 0);
    t.diagnostic(`${name}: ${residue.secrets} of ${secretsCount} secrets, ${residue.ends} ends`);
    ok(residue.secrets <= residueMax, `${name}: ${residue.secrets}`);
    ok(residue.otherForms <= residueMax, `${name}: in other forms ${residue.otherForms}`);
  }
}

/** Control: what a program keeps in strings is found. */
export async function stringsAreFound(values: MarkedValues): Promise<void> {
  const program = `
    let text = '';
    process.stdin.setEncoding('utf8').on('data', (piece) => (text += piece)).on('end', () => {
      globalThis.kept = text.split(' ').map((value) => value + '');
      text = '';
      process.stdout.write('kept');
    });
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    child.stdin.end(Array.from({ length: 20 }, (_, index) => values.value(index)).join(' '));
    await once(child.stdout, 'data');
    const found = values.countIn(child.pid ?? 0);
    equal(found.secrets, 20);
    ok(found.ends >= 40);
  } finally {
    child.kill('SIGKILL');
  }
}

function* placesOf(bytes: Buffer, wanted: Buffer): Generator<number, void, undefined> {
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) yield at;
}
