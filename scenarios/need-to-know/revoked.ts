/** G21: a revoked node gets nothing more, also not by TLS sessions that it kept. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { systemClock as clock } from '../../src/base/clock.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import { isFault } from '../../src/base/fault.ts';
import {
  generateCertificateKey,
  issueNodeCertificate,
  issueServerCertificate,
  makeAuthority,
} from '../../src/crypto/x509.ts';
import { parseName } from '../../src/model/name.ts';
import { type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { FakeEnforcer } from './fake-enforcer.ts';

const sessionsKept = 50;
const request =
  'GET /v1/stream HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n';

export async function revokedNode(story: Story): Promise<void> {
  using node = await FakeEnforcer.join(story, 'leaver');
  await node.connect();
  await node.hello([]);
  const { privateKeyPem, certificatePem, authorityPem, streamAddress } = node.credentials;
  const options: ConnectionOptions = {
    host: '127.0.0.1',
    port: Number(streamAddress.split(':')[1]),
    key: privateKeyPem,
    cert: certificatePem,
    ca: authorityPem,
    checkServerIdentity: () => undefined,
  };
  const kept = await keepSessions(options);
  equal((await answerTo(options)).status, '101', 'while it is live it is let in');
  await node.connect();
  await node.hello([]);

  await story.client.call('node.revoke', { name: parseName('leaver') });
  await until('its stream is closed', () => !node.isConnected, { withinMs: 2000 });
  deepEqual(node.refusals, ['node.refused']);
  await rejects(node.connect(), (error) => isFault(error, 'node.refused'));
  let resumed = 0;
  for (let index = 0; index < sessionsKept; index += 1) {
    const session = kept[index];
    const answer = await answerTo(session ? { ...options, session } : options);
    equal(answer.status, '403');
    resumed += Number(answer.isResumed);
  }
  equal(resumed, 0);
  deepEqual(node.received, []);
}

/**
 * Control: a server that issues tickets lets the same sessions back in, without a look at the certificate.
 */
export async function resumptionElsewhere(): Promise<void> {
  const life = { nowMs: clock.wallMs(), lifetimeMs: 3_600_000, random };
  const authority = makeAuthority({ ...life, commonName: 'Control', trustDomain: 'control' });
  const keys = { server: generateCertificateKey(), node: generateCertificateKey() };
  const server = createServer({
    key: pemOf(keys.server),
    cert: issueServerCertificate(authority, {
      ...life,
      publicKey: createPublicKey(keys.server),
      dnsNames: [],
      ipAddresses: ['127.0.0.1'],
    }).toString(),
    ca: authority.certificate.toString(),
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 101 Hello\r\n\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const options: ConnectionOptions = {
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      key: pemOf(keys.node),
      cert: issueNodeCertificate(authority, {
        ...life,
        publicKey: createPublicKey(keys.node),
        trustDomain: 'control',
        nodeName: 'leaver',
      }).toString(),
      ca: authority.certificate.toString(),
    };
    const [session] = await keepSessions(options);
    ok(session, 'it gives out sessions');
    const answer = await answerTo({ ...options, session });
    deepEqual([answer.status, answer.isResumed], ['101', true]);
  } finally {
    await closed(server);
  }
}

async function keepSessions(options: ConnectionOptions): Promise<readonly Buffer[]> {
  const sessions: Buffer[] = [];
  for (let index = 0; index < sessionsKept; index += 1) {
    const socket = connect(options);
    socket.on('session', (session) => sessions.push(session));
    await answered(socket);
  }
  return sessions;
}

async function answerTo(
  options: ConnectionOptions,
): Promise<{ readonly status: string; readonly isResumed: boolean }> {
  const socket = connect(options);
  let isResumed = false;
  socket.once('secureConnect', () => (isResumed = socket.isSessionReused()));
  const status = await answered(socket);
  return { status, isResumed };
}

/** Asks for the stream, and gives the status of the answer: `none` where there was none. */
async function answered(socket: TLSSocket): Promise<string> {
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (text.includes('\r\n\r\n')) socket.destroy();
  });
  socket.write(request);
  await once(socket, 'close');
  return /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'none';
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}
