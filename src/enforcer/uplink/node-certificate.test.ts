/**
 * Goal: a node renews in time and never in a storm; what goes wrong with a renewal costs the node nothing
 * but the renewal (G17). Method: real certificates on a clock that stands still.
 */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createLog } from '../../base/log.ts';
import { limits } from '../../base/limits.ts';
import { systemRandom } from '../../base/random.ts';
import { makeAuthority } from '../../crypto/x509.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { newNodeKey, nodeCertificate, nodeCredentials } from '../../testing/node-credentials.ts';
import { loadCredentials, saveCertificate, saveCredentials } from './credentials.ts';
import { NodeCertificate } from './node-certificate.ts';

const lifeMs = limits.nodeCertificateMs;

function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-certificate-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const clock = new ManualClock();
  const nowMs = clock.wallMs();
  const life = { trustDomain: 'test', nowMs, lifetimeMs: lifeMs };
  const authority = makeAuthority({
    ...life,
    lifetimeMs: 100 * lifeMs,
    commonName: 'test',
    random: systemRandom,
  });
  const credentials = nodeCredentials(authority, life);
  const issue = (key: KeyObject = credentials.privateKey): string =>
    nodeCertificate(authority, key, { ...life, nowMs: clock.wallMs() });
  saveCredentials(directory, credentials);
  const said: string[] = [];
  const log = createLog({
    clock,
    level: 'info',
    write: (line) => said.push((JSON.parse(line) as { event: string }).event),
  });
  const asked: number[] = [];
  const open = (stateDirectory = directory): NodeCertificate =>
    new NodeCertificate({
      clock,
      log,
      credentials,
      save: (pem) => saveCertificate(stateDirectory, pem),
    });
  const ask = (): boolean => asked.push(clock.wallMs() - nowMs) > 0;
  return { directory, clock, issue, said, asked, open, ask };
}

test('NodeCertificate asks two thirds through, and shows and stores what it gets', (t) => {
  const { directory, clock, issue, said, asked, open, ask } = setUp(t);
  const certificate = open();
  const before = certificate.credentials;
  clock.advance(lifeMs / 2);
  certificate.look(ask);
  deepEqual(asked, [], 'control: not before');
  clock.advance(lifeMs / 4);
  certificate.look(() => false);
  certificate.look(ask);
  equal(asked.length, 1, 'also when there was no stream the first time');
  certificate.renewed(issue());
  notEqual(certificate.credentials.certificatePem, before.certificatePem);
  equal(certificate.credentials.privateKey, before.privateKey);
  equal(loadCredentials(directory)?.certificatePem, certificate.credentials.certificatePem);
  clock.advance(lifeMs / 2);
  certificate.look(ask);
  equal(asked.length, 1, 'its life is counted anew');
  clock.advance(lifeMs / 4);
  certificate.look(ask);
  deepEqual([asked.length, said], [2, ['certificate.renewed']]);
});

test('NodeCertificate asks again with growing pauses while it is refused or not answered', (t) => {
  const { clock, issue, said, asked, open, ask } = setUp(t);
  const certificate = open();
  clock.advance(lifeMs * 0.7);
  const everyMs = 1000;
  for (let passedMs = 0; passedMs < 3_600_000; passedMs += everyMs) {
    const before = asked.length;
    certificate.look(ask);
    // Every second one is lost on the way.
    if (asked.length > before && asked.length % 2 === 0) certificate.refused('storage.read-only');
    clock.advance(everyMs);
  }
  const pauses = asked.slice(1).map((atMs, index) => (atMs - (asked[index] ?? 0)) / 1000);
  deepEqual(pauses.slice(0, 6), [30, 60, 120, 240, 480, 600]);
  ok(pauses.every((pause) => pause <= 600));
  equal(said.filter((event) => event === 'node.not-renewed').length, asked.length >> 1);
  certificate.renewed(issue());
  equal(said.at(-1), 'certificate.renewed');
});

test('NodeCertificate asks more often as the end comes near, and goes on after it', (t) => {
  const { clock, asked, open, ask } = setUp(t);
  const certificate = open();
  clock.advance(lifeMs - 60_000);
  for (let count = 0; count < 3600; count += 1) {
    certificate.look(ask);
    clock.advance(1000);
  }
  const before = asked.filter((atMs) => atMs < lifeMs).length;
  ok(before > 10 && before < 60, `${before} times in the last minute`);
  const after = asked.length - before;
  ok(after > 0 && after < 10, `${after} times in an hour of a stream that outlives it`);
});

test('NodeCertificate takes no certificate for another key, and nothing that is none', (t) => {
  const { issue, said, open } = setUp(t);
  const certificate = open();
  const before = certificate.credentials;
  certificate.renewed(issue(newNodeKey()));
  certificate.renewed('nonsense');
  equal(certificate.credentials, before);
  deepEqual(said, ['certificate.wrong-key', 'certificate.unreadable']);
});

test('NodeCertificate shows what it cannot store, and stores it when it can', (t) => {
  const { directory, clock, issue, said, asked, open, ask } = setUp(t);
  const elsewhere = join(directory, 'later');
  const certificate = open(elsewhere);
  const renewed = issue();
  certificate.renewed(renewed);
  equal(certificate.credentials.certificatePem, renewed);
  deepEqual(said, ['certificate.renewed', 'certificate.not-stored']);
  certificate.look(ask);
  mkdirSync(elsewhere);
  saveCredentials(elsewhere, { ...certificate.credentials, certificatePem: issue() });
  certificate.look(ask);
  equal(loadCredentials(elsewhere)?.certificatePem, renewed);
  clock.advance(lifeMs / 2);
  certificate.look(ask);
  deepEqual(asked, [], 'and asks for no other meanwhile');
});
