/**
 * Asking the person at the terminal: hidden values, confirmations.
 *
 * Promises
 *   - Nobody is asked unless input and errors are a terminal and neither `--no-input` nor `CI` says
 *     otherwise; then a fault names the option to give instead. No command ever waits unseen.
 *   - What is typed hidden goes key by key into one buffer that is wiped; it never becomes a string.
 *   - The terminal is left as it was, also after Ctrl-C.
 */
import { assert } from '../base/assert.ts';
import { allocate, wipe } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { SecretValue } from '../model/secret-value.ts';
import type { Session } from './session.ts';
import { visible } from '../base/visible-text.ts';

const keys = {
  interrupt: 0x03,
  end: 0x04,
  backspace: 0x08,
  newline: 0x0a,
  enter: 0x0d,
  clear: 0x15,
  escape: 0x1b,
  delete: 0x7f,
} as const;

/** @throws Fault `cli.input-needed` naming `instead`. */
export async function assertCanAsk(session: Session, instead: string): Promise<void> {
  const { interactive } = await session.settings();
  if (!interactive.value) {
    throw new Fault('cli.input-needed', { option: instead, because: interactive.from });
  }
}

/**
 * Asks for a line that nobody sees.
 *
 * @param instead - The option that answers without asking.
 * @throws Fault `cli.interrupted`, `cli.input-needed`, `limit.exceeded`
 */
export async function askHidden(
  session: Session,
  question: string,
  instead: string,
): Promise<SecretValue> {
  await assertCanAsk(session, instead);
  const { stdin, stderr } = session.io;
  const typed = allocate(limits.secretValueBytesMax);
  // Before it asks: who is quick must not see the first letters.
  stdin.setRaw(true);
  try {
    stderr.write(`${question}: `);
    const length = await collect(session, typed);
    return SecretValue.copy(typed.subarray(0, length));
  } finally {
    wipe(typed);
    stdin.setRaw(false);
    stderr.write('\n');
  }
}

async function collect(session: Session, typed: Buffer): Promise<number> {
  let length = 0;
  for (;;) {
    const key = await session.input.key();
    switch (key) {
      case undefined:
      case keys.enter:
      case keys.newline:
      case keys.end:
        return length;
      case keys.interrupt:
        throw new Fault('cli.interrupted', { sent: 'nothing' });
      case keys.backspace:
      case keys.delete:
        length = withoutLast(typed, length);
        break;
      case keys.clear:
        length = 0;
        break;
      case keys.escape:
        await skipSequence(session);
        break;
      default:
        if (length >= typed.length) {
          throw new Fault('limit.exceeded', { what: 'value', unit: 'bytes', max: typed.length });
        }
        typed[length] = key;
        length += 1;
    }
  }
}

/** Arrows and the like come as ESC [ … letter, and are no part of a value. */
async function skipSequence(session: Session): Promise<void> {
  const kind = await session.input.key();
  if (kind !== 0x5b && kind !== 0x4f) return;
  for (;;) {
    const key = await session.input.key();
    if (key === undefined || (key >= 0x40 && key <= 0x7e)) return;
  }
}

/** One character back: its UTF-8 continuation bytes, and its first. */
function withoutLast(typed: Buffer, length: number): number {
  let end = length;
  while (end > 0) {
    end -= 1;
    if (((typed[end] ?? 0) & 0xc0) !== 0x80) break;
  }
  return end;
}

/** Asks for a line that is seen: a name typed back, a yes. */
export async function askLine(
  session: Session,
  question: string,
  instead: string,
): Promise<string> {
  await assertCanAsk(session, instead);
  session.io.stderr.write(`${question} `);
  const line: number[] = [];
  while (line.length < 4096) {
    const key = await session.input.key();
    if (key === undefined || key === keys.newline) break;
    line.push(key);
  }
  return Buffer.from(line).toString('utf8').trim();
}

/** What will be taken away, in sentences, and the name that agrees to it. */
export interface Loss {
  readonly name: string;
  readonly what: readonly string[];
}

/**
 * Before something is withdrawn or destroyed: says what, and wants its name typed back.
 *
 * @param question.yes - Agreed to already, or only rehearsed.
 * @throws Fault `cli.declined`, `cli.input-needed`
 */
export async function confirmByName(
  session: Session,
  question: Loss & { readonly yes: boolean },
): Promise<void> {
  assert(question.name !== '', 'there is a name to type');
  for (const line of question.what) {
    if (question.yes) session.note(visible(line));
    else session.warn(visible(line));
  }
  if (question.yes) return;
  const typed = await askLine(session, `Type ${question.name} to go on:`, '--yes');
  if (typed !== question.name) throw new Fault('cli.declined');
}
