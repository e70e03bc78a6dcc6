/** Join tokens: one use, the right gateway or none, and words that help. */
import { equal, match, ok, rejects } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../../src/base/clock.ts';
import { codeOf, isFault } from '../../src/base/fault.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import {
  generateCertificateKey,
  issueServerCertificate,
  makeAuthority,
} from '../../src/crypto/x509.ts';
import { joinGateway, openStateDirectory } from '../../src/enforcer/uplink/uplink.ts';
import { parseName } from '../../src/model/name.ts';
import { formatJoinToken, parseJoinToken } from '../../src/protocol/join-token.ts';
import { type Story, times } from '../../src/testing/story.ts';
import { Impostor } from './impostor.ts';

export async function joinTokens(story: Story): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const stateDirectory = (): string => {
    const directory = mkdtempSync(join(tmpdir(), 'coffer-join-'));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    openStateDirectory(directory);
    return directory;
  };
  const tokenFor = async (name: string): Promise<string> =>
    (await story.client.call('node.token', { name: parseName(name) })).output.token;
  const joinWith = (token: string): Promise<unknown> =>
    joinGateway({ clock, random, stateDirectory: stateDirectory(), token });

  // At another server nothing is sent, so the token is still good at the right one.
  const token = await tokenFor('joiner');
  await using impostor = await anyServer();
  const parsed = parseJoinToken(token);
  const astray = formatJoinToken({ ...parsed, address: `127.0.0.1:${impostor.port}` });
  await rejects(joinWith(astray), (error) => isFault(error, 'gateway.untrusted'));
  ok(impostor.dialled > 0);
  equal(impostor.heard, 0);
  const otherPin = `sha256:${'0'.repeat(64)}`;
  await rejects(joinWith(formatJoinToken({ ...parsed, pin: otherPin })), (error) => {
    return isFault(error, 'gateway.untrusted');
  });
  await rejects(joinWith(token.slice(0, -9)), (error) => isFault(error, 'node.token-malformed'));
  await joinWith(token);

  // Used: by name, and in words.
  await rejects(joinWith(token), (error) => isFault(error, 'auth.failed'));
  const said = await enforcerSays(token, stateDirectory());
  match(said, /auth\.failed/);
  match(said, /\n {2}next {5}/);
  ok(!said.includes(parsed.secret), 'the token is not repeated');

  // Raced for: exactly one has it.
  for (let round = 1; round <= times(3, 500); round += 1) {
    const raced = await tokenFor(`racer-${round}`);
    const racers = Array.from({ length: 20 }, () => joinWith(raced).then(() => 'joined', codeOf));
    const outcomes = await Promise.all(racers);
    equal(outcomes.filter((outcome) => outcome === 'joined').length, 1, outcomes.join(' '));
  }
}

function enforcerSays(token: string, stateDirectory: string): Promise<string> {
  const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
  const file = join(stateDirectory, 'token');
  writeFileSync(file, token, { mode: 0o600 });
  const directories = ['--state', stateDirectory, '--run', stateDirectory];
  const argv = [coffer, 'enforcer', '--join-token-file', file, ...directories, '--no-watchdog'];
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: stateDirectory };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { env }, (error, stdout, stderr) => {
      if (error) resolve(stdout + stderr);
      else reject(new Error('it joined'));
    });
  });
}

async function anyServer(): Promise<Impostor> {
  const life = { nowMs: clock.wallMs(), lifetimeMs: 3_600_000, random };
  const authority = makeAuthority({ ...life, commonName: 'Cofferdam', trustDomain: 'cofferdam' });
  const key = generateCertificateKey();
  const certificate = issueServerCertificate(authority, {
    ...life,
    publicKey: createPublicKey(key),
    dnsNames: [],
    ipAddresses: ['127.0.0.1'],
  });
  const chain = `${certificate.toString()}${authority.certificate.toString()}`;
  return Impostor.listen({ key: key.export({ type: 'pkcs8', format: 'pem' }), cert: chain });
}
