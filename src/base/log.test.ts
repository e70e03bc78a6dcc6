/**
 * Goal: programs read the log as JSON, people as words, and the facts are the same; nothing in them commands
 * a terminal.
 * Method: one event with hostile facts, written both ways.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from './clock.ts';
import { createLog, type LogFields, logTo } from './log.ts';

const clock = { ...systemClock, wallMs: () => Date.parse('2026-03-01T10:40:00.123Z') };
const facts: LogFields = {
  node: 'web-1',
  reason: 'two words',
  evil: 'a\u001b]0;owned\u0007\u202e',
  count: 3,
  absent: undefined,
};

function lineOn(isTty: boolean, env: Readonly<Record<string, string>> = {}): string {
  let line = '';
  const output = { isTty, write: (text: string) => (line += text), writeBytes: async () => {} };
  logTo({ clock, env, stderr: output, stdout: output }, 'info')
    .with({ program: 'x' })
    .warn('a.b', facts);
  return line;
}

test('where nobody reads, an event is one line of JSON', () => {
  const { absent: _, ...kept } = facts;
  deepEqual(JSON.parse(lineOn(false)), {
    time: '2026-03-01T10:40:00.123Z',
    level: 'warn',
    event: 'a.b',
    program: 'x',
    ...kept,
  });
});

test('on a terminal it is words, with what could command the terminal spelled out', () => {
  equal(
    lineOn(true, { NO_COLOR: '1' }),
    '10:40:00.123 warn  a.b program=x node=web-1 reason="two words"' +
      ' evil=a\\u001b]0;owned\\u0007\\u202e count=3\n',
  );
  equal(lineOn(true).includes('\u001b[33mwarn'), true);
});

test('what is below the level is not written', () => {
  const lines: string[] = [];
  const log = createLog({ clock, level: 'warn', write: (line) => lines.push(line) });
  log.info('a');
  log.debug('b');
  log.error('c');
  equal(lines.length, 1);
});
