/**
 * Goal: what people see is what the transcripts say: the order of the work, the words, the streams
 * they go to, and the exit codes.
 * Method: `transcripts/*.txt` are sessions of the real command; each runs against a real gateway in
 * this process over real TLS, or (`## gateway: examples`) against one that answers with the contract's
 * examples. What differs from run to run is replaced. `COFFER_UPDATE=1` writes them anew.
 *
 * `$ ` is typed; `<<< text` behind it is piped in; `! ` marks standard error; `[n]` is an exit code
 * other than 0; `## ` is for the reader.
 */
import { equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { operationExamples } from '../protocol/examples.ts';
import { startCliGateway } from '../testing/cli-gateway.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { goodToken, startHttpGateway } from '../testing/http-gateway.ts';
import { pinOf } from '../client/connection.ts';
import { clientVersion } from './system-commands.ts';

const directory = join(import.meta.dirname, 'transcripts');
const updates = process.env['COFFER_UPDATE'] === '1';

interface Reached extends AsyncDisposable {
  readonly server: string;
  readonly pin: string;
  readonly token: string;
  readonly shares: readonly string[];
  /** Where what is shown has fixed times. */
  readonly clock?: Clock;
}

async function startFor(text: string): Promise<Reached> {
  if (text.includes('## gateway: examples')) {
    const gateway = await startHttpGateway(async ({ operation }) => ({
      output: operationExamples[operation].output,
    }));
    return {
      server: `https://127.0.0.1:${gateway.server.port}`,
      pin: pinOf(gateway.certificate.leaf),
      token: goodToken,
      shares: [],
      clock: { ...systemClock, wallMs: () => Date.parse('2026-03-01T10:40:00Z') },
      [Symbol.asyncDispose]: async () => await gateway[Symbol.asyncDispose](),
    };
  }
  const sealed = text.includes('## gateway: shares');
  const gateway = await startCliGateway(
    sealed ? { kind: 'shares', count: 3, threshold: 2 } : { kind: 'keyfile' },
  );
  const { server, pin, ownerToken: token, shares } = gateway;
  return {
    ...{ server, pin, token, shares },
    [Symbol.asyncDispose]: async () => await gateway[Symbol.asyncDispose](),
  };
}

/** Blanks part words; quotes, single or double, keep them together. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'),
  );
}

const ofMachine = '(?:(?:, )?(?:swap-on|core-dumps-on|inspector-on))+';

function settled(text: string, reached: Reached, world: CliWorld): string {
  return (
    text
      .replaceAll(`${world.path('')}/`, '')
      .replaceAll(world.home, '$HOME')
      .replaceAll(reached.server, 'https://gateway:8443')
      .replaceAll(/(port )\d+/g, '$1NNNN')
      .replaceAll(reached.pin, '$PIN')
      .replaceAll(/sha256:[0-9a-f]{64}(?= \$PIN)/g, 'sha256:…')
      .replaceAll(/(authorities\/)[0-9a-f]{16}/g, '$1…')
      .replaceAll(/coffer-join-[A-Za-z0-9_-]+/g, 'coffer-join-…')
      .replaceAll(/\b(req|sec|ins|nod|grp|gra|key)_[0-9a-f-]{20,}/g, '$1_…')
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, 'YYYY-MM-DDThh:mm:ss.mmmZ')
      .replaceAll(/(cofferdam\/ins_…\+)[0-9a-f]{8}\+[A-Za-z0-9+/]{44}/g, '$1…')
      .replaceAll(/[A-Za-z0-9+/]{43}=/g, '<hash>')
      .replaceAll(/(?<=[ (])\d+[smhd](\d+[smhd])?(?=$| ago)/gm, '<age>')
      .replaceAll(/, \d+s old/g, ', <age> old')
      .replaceAll(/\d+ ms;/g, '<n> ms;')
      .replaceAll(/ends in \d+d/g, 'ends in <age>')
      .replaceAll(/\d+ bytes/g, '<n> bytes')
      // What this machine and this test's process make weaker is no part of the story.
      .replaceAll(new RegExp(`^(Weakenings: +)${ofMachine}$`, 'gm'), '$1none')
      .replaceAll(
        new RegExp(`^warn( +state +ready), but [^:]+: ${ofMachine}\\n.*\\n`, 'gm'),
        'pass$1\n',
      )
      .replaceAll(clientVersion(), 'VERSION')
  );
}

async function perform(text: string): Promise<string> {
  await using reached = await startFor(text);
  using world = new CliWorld();
  const { shares } = reached;
  writeFileSync(world.path('owner.token'), reached.token, { mode: 0o600 });
  const stranger = `coffer_${'0'.repeat(32)}_${'A'.repeat(43)}`;
  writeFileSync(world.path('stranger.token'), stranger, { mode: 0o600 });
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('## ') || (line === '' && lines.at(-1) !== '')) lines.push(line);
    const file = /^\$ cat > (\S+) <<< '(.*)'$/.exec(line);
    if (file) {
      lines.push(line);
      writeFileSync(world.path(file[1] ?? ''), (file[2] ?? '').replaceAll('\\n', '\n'));
    }
    const [, command, piped] = /^\$ coffer ?(.*?)(?: <<< '(.*)')?$/.exec(line) ?? [];
    if (command === undefined) continue;
    const argv = wordsOf(command).map((word) =>
      word
        .replaceAll('$SERVER', reached.server)
        .replaceAll('$PIN', reached.pin)
        .replaceAll(/^(?=(?:[a-z-]+\.(?:yaml|jsonl|coffer|token))$)/g, `${world.path('')}/`),
    );
    const stdin = piped?.replace(/\$SHARE(\d)/, (_all, at: string) => shares[Number(at)] ?? '');
    const { code, transcript } = await world.run(argv, {
      ...(reached.clock ? { clock: reached.clock } : {}),
      ...(stdin === undefined ? {} : { stdin: stdin.replaceAll('\\n', '\n') }),
    });
    lines.push(line);
    const whole = transcript === '' || transcript.endsWith('\n') ? transcript : `${transcript}\n`;
    lines.push(...settled(whole, reached, world).split('\n').slice(0, -1));
    if (code !== 0) lines.push(`[${code}]`);
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

for (const name of readdirSync(directory).filter((entry) => entry.endsWith('.txt'))) {
  test(`coffer does what transcripts/${name} shows`, async () => {
    const path = join(directory, name);
    const text = readFileSync(path, 'utf8');
    const performed = await perform(text);
    ok(performed.includes('$ coffer '), 'something was run');
    if (updates) writeFileSync(path, performed);
    else equal(performed, text);
  });
}
