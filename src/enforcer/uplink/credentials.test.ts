/**
 * Goal: a node is who its files say, all of them together, or says which of them is damaged; and whatever
 * interrupts a join, no half of an earlier membership is left beside half of a new one.
 * Method: each file is damaged in each way; a join over an earlier one is interrupted before each of its
 * files. Controls: whole files load; an order that leaves the earlier certificate until last is caught.
 */
import { equal, ok, throws } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { systemRandom as random } from '../../base/random.ts';
import { makeAuthority } from '../../crypto/x509.ts';
import { newNodeKey, nodeCertificate, nodeCredentials } from '../../testing/node-credentials.ts';
import { type Credentials, loadCredentials, saveCredentials } from './credentials.ts';

const life = { trustDomain: 'test', nowMs: systemClock.wallMs(), lifetimeMs: 3_600_000 };
const authority = makeAuthority({ ...life, commonName: 'nodes', random });
const stranger = makeAuthority({ ...life, commonName: 'nodes', random });
const names = ['node.crt', 'node.key', 'authority.crt', 'node.json'] as const;

function joined(t: TestContext): { readonly directory: string; readonly credentials: Credentials } {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-credentials-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const credentials = nodeCredentials(authority, life);
  saveCredentials(directory, credentials);
  return { directory, credentials };
}

const damages: Readonly<Record<string, (path: string) => void>> = {
  empty: (path) => writeFileSync(path, ''),
  cut: (path) => writeFileSync(path, readFileSync(path).subarray(0, 40)),
  zeros: (path) => writeFileSync(path, Buffer.alloc(readFileSync(path).length)),
  'a directory': (path) => {
    rmSync(path);
    mkdirSync(path);
  },
};

for (const name of names) {
  for (const [how, damage] of Object.entries(damages)) {
    test(`${name} that is ${how} is said to be damaged; joining again replaces it`, (t) => {
      const { directory, credentials } = joined(t);
      equal(loadCredentials(directory)?.certificatePem, credentials.certificatePem, 'control');
      const path = join(directory, name);
      damage(path);
      throws(() => loadCredentials(directory), {
        code: 'enforcer.state-damaged',
        message: new RegExp(`file="${path}"`),
      });
      if (how === 'a directory') return;
      const again = nodeCredentials(authority, life);
      saveCredentials(directory, again);
      equal(loadCredentials(directory)?.privateKeyPem, again.privateKeyPem);
    });
  }
}

test('a file that is missing is said to be damaged; without a certificate nobody has joined', (t) => {
  for (const name of names.slice(1)) {
    const { directory } = joined(t);
    rmSync(join(directory, name));
    throws(() => loadCredentials(directory), { message: new RegExp(`${name}".*missing`) });
  }
  const { directory } = joined(t);
  rmSync(join(directory, 'node.crt'));
  equal(loadCredentials(directory), undefined);
});

test('files that are whole and do not belong together are found', (t) => {
  const { directory, credentials } = joined(t);
  const certificate = join(directory, 'node.crt');
  writeFileSync(certificate, nodeCertificate(authority, newNodeKey(), life));
  throws(() => loadCredentials(directory), { message: /node\.key.*not the key/ });
  writeFileSync(certificate, nodeCertificate(stranger, credentials.privateKey, life));
  throws(() => loadCredentials(directory), { message: /node\.crt.*did not sign/ });
  writeFileSync(certificate, nodeCertificate(authority, credentials.privateKey, life));
  ok(loadCredentials(directory), 'control: a renewed one');
});

test('a join that is interrupted anywhere leaves a node that has not joined', (t) => {
  for (const name of names.toReversed()) {
    const { directory } = joined(t);
    // In the way of the draft.
    mkdirSync(join(directory, `${name}.new`));
    throws(() => saveCredentials(directory, nodeCredentials(authority, life)));
    equal(loadCredentials(directory), undefined, name);
    rmSync(join(directory, `${name}.new`), { recursive: true });
    saveCredentials(directory, nodeCredentials(authority, life));
    ok(loadCredentials(directory), 'and may join again');
  }
});

test('control: the key first and the certificate last would leave a pair that does not match', (t) => {
  const { directory } = joined(t);
  writeFileSync(join(directory, 'node.key'), nodeCredentials(authority, life).privateKeyPem);
  equal(readdirSync(directory).length, names.length);
  throws(() => loadCredentials(directory), { code: 'enforcer.state-damaged' });
});
