/** G22: an impostor of the gateway is refused, hears nothing, and changes nothing. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { systemClock as clock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/fault.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import {
  type Authority,
  generateCertificateKey,
  issueGatewayCertificate,
  issueNodeCertificate,
  issueServerCertificate,
  makeAuthority,
} from '../../src/crypto/x509.ts';
import { connect, type Credentials } from '../../src/enforcer/uplink/uplink.ts';
import { constant, FileWatcher } from '../../src/testing/file-watcher.ts';
import type { NetworkPath } from '../../src/testing/network-path.ts';
import { nodeCredentials } from '../../src/testing/node-credentials.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { Impostor } from './impostor.ts';

const trustDomain = 'cofferdam';
const dayMs = 24 * 3_600_000;

/** Every certificate that is not the gateway's, against the part of the enforcer that dials. */
export async function badCertificates(): Promise<void> {
  const ours = authority();
  const names = { dnsNames: [], ipAddresses: ['127.0.0.1'] };
  const life = { trustDomain, nowMs: clock.wallMs(), lifetimeMs: dayMs, random };
  const credentials = nodeCredentials(ours, life);
  const shown = (issue: (publicKey: KeyObject) => X509Certificate): TlsOptions => {
    const key = generateCertificateKey();
    return { key: pemOf(key), cert: issue(createPublicKey(key)).toString() };
  };
  const good = shown((publicKey) =>
    issueGatewayCertificate(ours, { ...life, ...names, publicKey }),
  );
  const cases: Readonly<Record<string, readonly [TlsOptions, string]>> = {
    'of another authority, with the same names': [
      shown((publicKey) => issueGatewayCertificate(authority(), { ...life, ...names, publicKey })),
      'gateway.impostor',
    ],
    'of the port for people': [
      shown((publicKey) => issueServerCertificate(ours, { ...life, ...names, publicKey })),
      'gateway.impostor',
    ],
    'of another node': [
      shown((publicKey) => issueNodeCertificate(ours, { ...life, publicKey, nodeName: 'other' })),
      'gateway.impostor',
    ],
    'of another trust domain': [
      shown((publicKey) =>
        issueGatewayCertificate(ours, { ...life, ...names, publicKey, trustDomain: 'elsewhere' }),
      ),
      'gateway.impostor',
    ],
    expired: [
      shown((publicKey) =>
        issueGatewayCertificate(ours, {
          ...{ ...life, ...names, publicKey },
          ...{ nowMs: clock.wallMs() - 2 * dayMs, lifetimeMs: dayMs },
        }),
      ),
      'gateway.impostor',
    ],
    'good, but over TLS 1.2': [{ ...good, maxVersion: 'TLSv1.2' }, 'gateway.unreachable'],
  };
  for (const [what, [options, code]] of Object.entries(cases)) {
    await using impostor = await Impostor.listen(options);
    equal(await dial(credentials, impostor.port), code, what);
    ok(impostor.dialled > 0);
    equal(impostor.heard, 0, `${what}: it hears nothing`);
  }
  await using gateway = await Impostor.listen(good);
  const dialling = dial(credentials, gateway.port, 2000);
  await until('control: the right one is spoken to', () => gateway.heard > 0);
  await dialling;
}

/** The real enforcer meets impostors on its way to the gateway, one with the API's key off the disk. */
export async function metOnTheWay(story: Story, path: NetworkPath): Promise<void> {
  await story.put('impostor/token', 'the gateway said so');
  await story.grant('impostor', ['impostor/token']);
  const container = await story.container({ name: 'impostor', labels: { app: 'impostor' } });
  const pid = await container.pid();
  await until('it is delivered', () => readInside(pid, '/run/secrets/token') !== undefined);
  const data = join(story.installation.directory, 'data');
  const other = generateCertificateKey();
  const impostors: readonly TlsOptions[] = [
    { key: readFileSync(join(data, 'api.key')), cert: readFileSync(join(data, 'api.crt')) },
    {
      key: pemOf(other),
      cert: issueGatewayCertificate(authority(), {
        ...{ trustDomain, nowMs: clock.wallMs(), lifetimeMs: dayMs, random },
        ...{ dnsNames: [], ipAddresses: ['127.0.0.1'], publicKey: createPublicKey(other) },
      }).toString(),
    },
  ];
  await using watcher = new FileWatcher(
    [pid],
    '/run/secrets/token',
    constant('the gateway said so'),
  );
  for (const options of impostors) {
    await using impostor = await Impostor.listen(options);
    const before = story.logged.length;
    path.leadTo(impostor.port);
    await until('the enforcer says what it met', () =>
      story.logged.slice(before).some((line) => {
        return line['program'] === 'enforcer' && line['event'] === 'gateway.impostor';
      }),
    );
    ok(impostor.dialled > 0);
    equal(impostor.heard, 0);
    path.leadTo(undefined);
  }
  await until('it found the gateway again', async () => {
    const { output } = await story.client.call('node.list', {});
    return output.items.some(({ name, state }) => name === 'node-1' && state === 'connected');
  });
  deepEqual(watcher.breaches, []);
}

async function dial(credentials: Credentials, port: number, withinMs = 10_000): Promise<string> {
  const signal = AbortSignal.timeout(withinMs);
  const streamAddress = `127.0.0.1:${port}`;
  try {
    const own = { ...credentials, streamAddress };
    const link = await connect({ clock, credentials: own }, signal);
    link.close('done');
    return 'connected';
  } catch (error) {
    return codeOf(error);
  }
}

function authority(): Authority {
  const options = { nowMs: clock.wallMs(), lifetimeMs: 30 * dayMs, random };
  return makeAuthority({ ...options, commonName: 'Cofferdam', trustDomain });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}
