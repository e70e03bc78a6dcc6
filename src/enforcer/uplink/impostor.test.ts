/**
 * Goal: nothing is sent before the peer has shown that it is the gateway of this node's trust domain (G22).
 * Method: servers with certificates that TLS by itself accepts, and one that it does not; what they get is
 * counted in bytes. Control: the gateway gets the request.
 */
import { equal, ok } from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createServer } from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import {
  type Authority,
  extendedKeyUsages,
  generateCertificateKey,
  makeAuthority,
  signCertificate,
} from '../../crypto/x509.ts';
import { nodeCredentials } from '../../testing/node-credentials.ts';
import { connect } from './uplink.ts';

const nowMs = systemClock.wallMs();
const about = { trustDomain: 'test', nowMs, lifetimeMs: 3_600_000, random: systemRandom };
const authority = makeAuthority({ ...about, commonName: 'nodes' });

interface Shown {
  readonly by?: Authority;
  readonly ids?: readonly string[];
  readonly answer?: string;
}

/** A TLS server that shows this, answers so, and counts what it is sent. */
async function serve(t: TestContext, { by = authority, ids, answer = '' }: Shown) {
  const key = generateCertificateKey();
  const names = ids ?? ['spiffe://test/gateway'];
  const leaf = signCertificate(
    { commonName: 'nodes', ...by },
    {
      commonName: 'gateway',
      publicKey: createPublicKey(key),
      notBeforeMs: nowMs - 60_000,
      notAfterMs: nowMs + 3_600_000,
      isAuthority: false,
      alternativeNames: [
        { kind: 'ip', value: '127.0.0.1' },
        ...names.map((value) => ({ kind: 'uri', value }) as const),
      ],
      extendedKeyUsages: [extendedKeyUsages.serverAuth],
    },
    systemRandom,
  );
  const got = { bytes: 0, connections: 0 };
  const server = createServer({
    cert: leaf.toString(),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    ca: authority.certificate.toString(),
    requestCert: true,
  });
  server.on('connection', () => (got.connections += 1));
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      got.bytes += data.length;
      socket.end(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { got, port: (server.address() as AddressInfo).port };
}

async function codeOf(port: number): Promise<string> {
  const credentials = nodeCredentials(authority, about, `127.0.0.1:${port}`);
  const { signal } = new AbortController();
  return connect({ clock: systemClock, credentials }, signal).then(
    () => 'connected',
    (error: { readonly code: string }) => error.code,
  );
}

const forbidden = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n';

test('whoever is not the gateway of our trust domain is sent nothing', async (t) => {
  const gateway = await serve(t, { answer: forbidden });
  equal(await codeOf(gateway.port), 'node.refused');
  ok(gateway.got.bytes > 0, 'control: the gateway is asked');
  const impostors: Readonly<Record<string, Shown>> = {
    'a certificate without an id, as the API has': { ids: [] },
    'a node': { ids: ['spiffe://test/node/node-2'] },
    'something else of ours': { ids: ['spiffe://test/console'] },
    'a gateway of another trust domain': { ids: ['spiffe://other/gateway'] },
    'a gateway twice': { ids: ['spiffe://test/gateway', 'spiffe://test/gateway'] },
    'another authority': { by: makeAuthority({ ...about, commonName: 'nodes' }) },
  };
  for (const [what, shown] of Object.entries(impostors)) {
    const { got, port } = await serve(t, { ...shown, answer: forbidden });
    equal(await codeOf(port), 'gateway.impostor', what);
    equal(got.bytes, 0, what);
  }
});

test('a gateway sends a node nowhere else', async (t) => {
  const elsewhere = await serve(t, { answer: forbidden });
  const location = `Location: wss://127.0.0.1:${elsewhere.port}/v1/stream`;
  const answer = `HTTP/1.1 302 Found\r\n${location}\r\nContent-Length: 0\r\n\r\n`;
  const { port } = await serve(t, { answer });
  equal(await codeOf(port), 'gateway.unreachable');
  equal(elsewhere.got.connections, 0);
});
