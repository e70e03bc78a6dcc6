/**
 * The log: one JSON line per event on standard error: a level, an event name and flat fields. Where a
 * person reads, on a terminal, the same facts in words.
 *
 * No prose, no nested objects, no errors with their causes: what is not a short fact is not logged,
 * so that nothing which came from a secret can slip in (THREAT-MODEL, V13).
 */
import type { Clock } from './clock.ts';
import { codeOf, Fault } from './fault.ts';
import { makePaint, type Paint } from './paint.ts';
import type { ProgramIo } from './program.ts';
import { visible } from './visible-text.ts';

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log that adds `fields` to every line. */
  with(fields: LogFields): Log;
}

export const logLevels = ['debug', 'info', 'warn', 'error'] as const satisfies LogLevel[];

export interface LogOptions {
  readonly clock: Clock;
  readonly level: LogLevel;
  /** Receives whole lines, each ending in a newline. */
  readonly write: (line: string) => void;
  /** Given where a person reads. */
  readonly paint?: Paint;
}

/** How a program's log looks: words on a terminal, JSON everywhere else. */
export function logTo(
  io: Pick<ProgramIo, 'clock' | 'env' | 'stderr' | 'stdout'>,
  level: LogLevel,
): Log {
  const { clock, stderr } = io;
  const paint = stderr.isTty ? { paint: makePaint(io, 'stderr', undefined) } : {};
  return createLog({ clock, level, write: (line) => stderr.write(line), ...paint });
}

export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const threshold = logLevels.indexOf(options.level);
  const emit =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (logLevels.indexOf(level) < threshold) return;
      const time = new Date(options.clock.wallMs()).toISOString();
      const { paint } = options;
      const facts = { ...bound, ...fields };
      options.write(
        paint
          ? `${time.slice(11, 23)} ${paint(colours[level], level.padEnd(5))} ${event}${wordsOf(facts)}\n`
          : `${JSON.stringify({ time, level, event, ...facts })}\n`,
      );
    };
  return {
    debug: emit('debug'),
    info: emit('info'),
    warn: emit('warn'),
    error: emit('error'),
    with: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

const colours = { debug: 'dim', info: 'cyan', warn: 'yellow', error: 'red' } as const;

/** ` node=web-1 reason="two words"`: names that strangers chose must not command the terminal. */
function wordsOf(facts: LogFields): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const text = String(value);
      return ` ${key}=${visible(/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text))}`;
    })
    .join('');
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

/** An error as log fields. Of a bug, the class and the place of the throw: its text may hold input. */
export function errorFields(error: unknown): LogFields {
  if (error instanceof Fault) return { code: error.code, message: error.message };
  if (!(error instanceof Error)) return { code: codeOf(error) };
  return { code: codeOf(error), error: error.name, at: placeOf(error) };
}

/** The first frame. The stack begins with the text, which may look like frames itself. */
function placeOf({ stack = '', message }: Error): string | undefined {
  const textAt = message === '' ? -1 : stack.indexOf(message);
  const frames = textAt < 0 ? stack : stack.slice(textAt + message.length);
  return frames
    .split('\n')
    .find((line) => line.startsWith('    at '))
    ?.trim();
}
