/**
 * Where a secret value comes from: a hidden prompt, standard input, a file, or the environment; never
 * an argument, which every process of the machine can read.
 *
 * Promises: the bytes go from where they are into one buffer that the caller wipes; what they came
 * in is wiped, too.
 */
import { allocate, equalSecretly, wipe } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { SecretValue } from '../model/secret-value.ts';
import { usage } from './command-spec.ts';
import type { OptionSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { askHidden } from './interaction.ts';
import { fileFault } from './private-file.ts';
import type { Session } from './session.ts';

const newline = 0x0a;

export const valueOptions: readonly OptionSpec[] = [
  { flags: '--from-file <path>', about: 'read the value from a file, byte for byte' },
  { flags: '--from-env <variable>', about: 'read the value from an environment variable' },
  { flags: '--keep-newline', about: 'keep a newline at the end of standard input' },
  { flags: '--strip-newline', about: 'remove one newline at the end, without a notice' },
];

/**
 * Reads the value that the options name. The caller disposes of it.
 *
 * @throws Fault `cli.usage`, `cli.file`, `cli.input-needed`, `limit.exceeded`
 */
export async function readValue(
  session: Session,
  given: Given,
  question: string,
): Promise<SecretValue> {
  const file = given.text('fromFile');
  const variable = given.text('fromEnv');
  if (file !== undefined && variable !== undefined) {
    throw usage('--from-file and --from-env cannot be combined');
  }
  if (given.flag('keepNewline') && given.flag('stripNewline')) {
    throw usage('--keep-newline and --strip-newline cannot be combined');
  }
  if (file !== undefined)
    return withoutNewline(await readFileValue(file), given.flag('stripNewline'));
  if (variable !== undefined) {
    return withoutNewline(readVariable(session, variable), given.flag('stripNewline'));
  }
  if (session.io.stdin.isTty) return await askTwice(session, question);
  const value = await readInput(session);
  const ends = value.use((bytes) => bytes.at(-1) === newline);
  if (!ends || given.flag('keepNewline')) return value;
  if (!given.flag('stripNewline')) {
    session.note('One newline at the end of the input was removed; --keep-newline keeps it.');
  }
  return withoutNewline(value, true);
}

/** Standard input or a hidden prompt, once: for passphrases and shares. */
export async function readPhrase(session: Session, question: string): Promise<SecretValue> {
  if (session.io.stdin.isTty) return await askHidden(session, question, 'standard input');
  return withoutNewline(await readInput(session), true);
}

/** All of standard input. */
async function readInput(session: Session): Promise<SecretValue> {
  const bytes = allocate(limits.secretValueBytesMax);
  let length = 0;
  try {
    for await (const chunk of session.input.pieces()) {
      const fits = length + chunk.length <= bytes.length;
      if (fits) length += chunk.copy(bytes, length);
      wipe(chunk);
      if (!fits) throw tooLong();
    }
    return SecretValue.copy(bytes.subarray(0, length));
  } finally {
    wipe(bytes);
  }
}

async function readFileValue(path: string): Promise<SecretValue> {
  const { open } = await import('node:fs/promises');
  const bytes = allocate(limits.secretValueBytesMax + 1);
  try {
    const file = await open(path, 'r');
    try {
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length);
        length += bytesRead;
        if (length === bytes.length) throw tooLong();
        if (bytesRead === 0) return SecretValue.copy(bytes.subarray(0, length));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileFault(path, error);
  } finally {
    wipe(bytes);
  }
}

function readVariable(session: Session, variable: string): SecretValue {
  const bytes = session.io.envBytes(variable);
  if (bytes === undefined) throw usage(`the environment variable ${variable} is not set`);
  if (bytes.length > limits.secretValueBytesMax) {
    wipe(bytes);
    throw tooLong();
  }
  return SecretValue.own(bytes);
}

async function askTwice(session: Session, question: string): Promise<SecretValue> {
  const instead = '--from-file, --from-env, or standard input';
  const value = await askHidden(session, `${question} (hidden)`, instead);
  try {
    using again = await askHidden(session, 'Once more', instead);
    if (value.use((left) => again.use((right) => equalSecretly(left, right)))) return value;
  } catch (error) {
    value[Symbol.dispose]();
    throw error;
  }
  value[Symbol.dispose]();
  throw usage('the two values differ; nothing was sent');
}

function withoutNewline(value: SecretValue, strip: boolean): SecretValue {
  if (!strip || !value.use((bytes) => bytes.at(-1) === newline)) return value;
  using whole = value;
  return whole.use((bytes) => SecretValue.copy(bytes.subarray(0, -1)));
}

function tooLong(): Fault {
  return new Fault('limit.exceeded', {
    what: 'value',
    unit: 'bytes',
    max: limits.secretValueBytesMax,
  });
}
