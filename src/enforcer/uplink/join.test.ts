/**
 * Goal: a node joins only as itself and under its own key; what it keeps of that is its own to read.
 * Method: a gateway of the test's own answers a join with certificates of every kind; files and modes are
 * looked at. Control: the certificate that was asked for.
 */
import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { keyPin } from '../../crypto/certificate-identity.ts';
import { checkCsr } from '../../crypto/csr.ts';
import {
  type Authority,
  generateCertificateKey,
  issueNodeCertificate,
  makeAuthority,
} from '../../crypto/x509.ts';
import { parseName } from '../../model/name.ts';
import { formatJoinToken } from '../../protocol/join-token.ts';
import { startHttpGateway } from '../../testing/http-gateway.ts';
import { loadCredentials, openStateDirectory } from './credentials.ts';
import { joinGateway } from './join.ts';

const about = {
  nowMs: systemClock.wallMs(),
  lifetimeMs: 3_600_000,
  trustDomain: 'test',
  random: systemRandom,
};
const authority = makeAuthority({ ...about, commonName: 'nodes' });

interface Answer {
  readonly by?: Authority;
  readonly name?: string;
  readonly trustDomain?: string;
  readonly key?: KeyObject;
}

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-join-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'state');
}

async function joinWith(answer: Answer, directory: string): Promise<unknown> {
  await using gateway = await startHttpGateway(async ({ input }) => {
    const { certificateRequest } = input as { readonly certificateRequest: string };
    const base64 = certificateRequest.replaceAll(/-----[A-Z ]+-----/g, '');
    const checked = checkCsr(Buffer.from(base64, 'base64'));
    const asked = checked.kind === 'checked' ? checked.publicKey : undefined;
    const { by = authority, name = 'node-1', trustDomain = 'test', key = asked } = answer;
    const leaf = issueNodeCertificate(by, {
      ...about,
      trustDomain,
      nodeName: name,
      publicKey: key as KeyObject,
    });
    const output = {
      name: 'node-1',
      certificate: leaf.toString(),
      authority: authority.certificate.toString(),
      streamAddress: '127.0.0.1:1',
      trustDomain: 'test',
    };
    return { output };
  });
  openStateDirectory(directory);
  const token = formatJoinToken({
    address: `127.0.0.1:${gateway.server.port}`,
    pin: keyPin(gateway.certificate.authority.certificate),
    node: parseName('node-1'),
    id: '0'.repeat(32),
    secret: 'A'.repeat(43),
  });
  const context = { clock: systemClock, random: systemRandom };
  return await joinGateway({ ...context, stateDirectory: directory, token });
}

test('a certificate for another node, key, domain or authority is not taken, and nothing is kept', async (t) => {
  const wrong: Readonly<Record<string, Answer>> = {
    'another node': { name: 'node-2' },
    'another key': { key: createPublicKey(generateCertificateKey()) },
    'another trust domain': { trustDomain: 'other' },
    'another authority': { by: makeAuthority({ ...about, commonName: 'nodes' }) },
  };
  for (const [what, answer] of Object.entries(wrong)) {
    const directory = directoryFor(t);
    await rejects(joinWith(answer, directory), { code: 'gateway.impostor' }, what);
    deepEqual(readdirSync(directory), [], what);
  }
  const directory = directoryFor(t);
  await joinWith({}, directory);
  equal(loadCredentials(directory)?.node, 'node-1', 'control');
});

test('what a node keeps is for itself alone, whatever the umask', async (t) => {
  const directory = directoryFor(t);
  const umask = process.umask(0);
  try {
    await joinWith({}, directory);
  } finally {
    process.umask(umask);
  }
  equal(statSync(directory).mode & 0o777, 0o700);
  for (const name of readdirSync(directory)) {
    equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  }
});

test('a state directory that others may look into is not used', (t) => {
  const directory = directoryFor(t);
  mkdirSync(directory, { mode: 0o700 });
  openStateDirectory(directory);
  for (const mode of [0o750, 0o705, 0o710, 0o777]) {
    chmodSync(directory, mode);
    throws(() => openStateDirectory(directory), { code: 'enforcer.state-unsafe' });
  }
});
