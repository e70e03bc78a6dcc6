/**
 * Goal: a pinned key that is merely shown, by whoever copied its certificate, proves nothing; an address is
 * one of a gateway and holds nothing else.
 * Method: a chain that is named like one below the pinned authority, signed by a stranger's key, over real
 * TLS. Control: the same with the authority's own key.
 */
import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { isFault } from '../base/fault.ts';
import { systemRandom } from '../base/random.ts';
import {
  extendedKeyUsages,
  generateCertificateKey,
  makeAuthority,
  signCertificate,
} from '../crypto/x509.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';
import { makeAgent, parseAddress, pinOf } from './connection.ts';

test('a chain that is only named like one below the pinned authority is not believed', async () => {
  const nowMs = Date.now();
  const times = { notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + 3_600_000 };
  const about = { commonName: 'pinned', trustDomain: 'test', nowMs, random: systemRandom };
  const pinned = makeAuthority({ ...about, lifetimeMs: 7_200_000 });
  const [strangersKey, leafKey] = [generateCertificateKey(), generateCertificateKey()];
  /** What a server shows whose leaf is signed by `by`, in the name of the pinned authority. */
  const shown = (by: KeyObject): { certificate: string; key: string } => {
    const leaf = signCertificate(
      { commonName: 'pinned', privateKey: by, certificate: pinned.certificate },
      {
        ...times,
        commonName: 'gateway',
        publicKey: createPublicKey(leafKey),
        isAuthority: false,
        alternativeNames: [{ kind: 'ip', value: '127.0.0.1' }],
        extendedKeyUsages: [extendedKeyUsages.serverAuth],
      },
      systemRandom,
    );
    return {
      certificate: leaf.toString() + pinned.certificate.toString(),
      key: leafKey.export({ type: 'pkcs8', format: 'pem' }),
    };
  };
  let asked = 0;
  const handle = async (): Promise<unknown> => {
    asked += 1;
    throw new Error('asked');
  };
  const call = async (by: KeyObject): Promise<unknown> => {
    await using gateway = await startHttpGateway(handle, shown(by));
    const trust = { pins: [pinOf(pinned.certificate)] };
    return await gateway.client({ trust, attemptsMax: 1 }).call('system.status', {});
  };
  await rejects(call(strangersKey), { code: 'gateway.untrusted' });
  equal(asked, 0);
  await rejects(call(pinned.privateKey), { code: 'gateway.bug' });
  equal(asked, 1, 'control: it was asked');
});

test('what answers in plain text is no gateway, and that is not said of its identity', async () => {
  const server = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint = { host: '127.0.0.1', port };
  const pins = [`sha256:${'0'.repeat(64)}`];
  try {
    await rejects(
      makeAgent({
        endpoint,
        trust: { pins },
        timeoutMs: 60_000,
        signal: new AbortController().signal,
      }),
      (error) => {
        return isFault(error, 'remote.invalid') && error.detail['problem'] === 'does not speak TLS';
      },
    );
  } finally {
    server.close();
  }
});

test('an address names a host and a port over https, and nothing more', () => {
  deepEqual(parseAddress('https://gateway.example:8443'), { host: 'gateway.example', port: 8443 });
  deepEqual(parseAddress('https://[::1]'), { host: '::1', port: 443 });
  for (const wrong of [
    'gateway.example:8443',
    'http://gateway.example',
    'https://',
    'https://user@gateway.example',
    'https://:password@gateway.example',
    'https://gateway.example/path',
    'https://gateway.example/?query',
    'https://gateway.example/#fragment',
  ]) {
    throws(() => parseAddress(wrong), { code: 'request.invalid' }, wrong);
  }
});
