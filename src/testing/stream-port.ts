/**
 * A node port on loopback without a gateway around it, and what connects to it: byte by byte, so that tests
 * can leave out or spoil any of it.
 */
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { type Log, silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import {
  type Authority,
  generateCertificateKey,
  issueGatewayCertificate,
  issueNodeCertificate,
  makeAuthority,
} from '../crypto/x509.ts';
import { NodeStreams, StreamServer, type StreamServerOptions } from '../gateway/stream/stream.ts';

const about = {
  trustDomain: 'test',
  nowMs: systemClock.wallMs(),
  lifetimeMs: 3_600_000,
  random: systemRandom,
};

export function newAuthority(): Authority {
  return makeAuthority({ ...about, commonName: 'test' });
}

function pem(key: ReturnType<typeof generateCertificateKey>): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

export interface StreamPortOptions {
  readonly isLive?: () => boolean;
  /** Of the port. */
  readonly clock?: Clock;
  /** Of the streams of whoever was let in. */
  readonly streamsClock?: Clock;
  readonly log?: Log;
  readonly limits?: StreamServerOptions['limits'];
}

export async function startStreamPort(t: TestContext, options: StreamPortOptions = {}) {
  const { isLive = () => true, log = silentLog, limits = {} } = options;
  const { clock = systemClock, streamsClock = systemClock } = options;
  const ours = newAuthority();
  const gatewayKey = generateCertificateKey();
  const certificate = issueGatewayCertificate(ours, {
    ...about,
    publicKey: createPublicKey(gatewayKey),
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
  });
  const nothing = (): void => {};
  const streams = new NodeStreams({
    clock: streamsClock,
    random: systemRandom,
    log,
    delivery: {
      admits: () => true,
      noted: nothing,
      connected: nothing,
      disconnected: nothing,
      workloadStarted: nothing,
      workloadStopped: nothing,
      receipt: nothing,
      drained: nothing,
      shortestLeaseMs: () => Infinity,
    },
    audit: {
      observe: async () => 'consistent',
      checkpoint: async () => ({ note: '', size: 0, verifierKey: '', consistency: [] }),
    },
    nodes: { seen: nothing, witnessed: nothing },
    leaseMs: 1000,
    leaseEveryMs: 1000,
    checkpointEveryMs: 1000,
  });
  const server = await StreamServer.listen({
    host: '127.0.0.1',
    port: 0,
    clock,
    log,
    limits,
    tls: {
      certificate: certificate.toString(),
      privateKey: pem(gatewayKey),
      authority: ours.certificate.toString(),
    },
    streams,
    liveNode: ({ subjectAltName }, source) => {
      if (!isLive()) throw new Fault('node.refused', { reason: 'revoked' });
      const node = subjectAltName?.split('/node/')[1] ?? '';
      return { node, source, isLive, renew: async () => '', witnessKey: '' };
    },
  });
  t.after(() => server.close());
  return { server, streams, ours };
}

export function nodeTls(by: Authority, nodeName = 'node-1'): ConnectionOptions {
  const key = generateCertificateKey();
  const certificate = issueNodeCertificate(by, {
    ...about,
    nodeName,
    publicKey: createPublicKey(key),
  });
  return { key: pem(key), cert: certificate.toString(), rejectUnauthorized: false };
}

/** Of the socket below, which `tls.connect` passes it on to. */
const halfOpen: object = { allowHalfOpen: true };

export const upgrade = `GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;

/** The first bytes that the gateway answers; empty when it closes without any. */
export async function ask(
  port: number,
  options: ConnectionOptions,
  request = upgrade,
): Promise<[string, TLSSocket]> {
  const socket = connect({ ...options, port, host: '127.0.0.1', ...halfOpen });
  socket.on('error', () => {});
  socket.write(request);
  const first = await Promise.race([
    once(socket, 'data').then(([data]) => String(data)),
    once(socket, 'end').then(() => ''),
    once(socket, 'close').then(() => ''),
  ]).catch(() => '');
  return [first, socket];
}

/** A plain connection, for whoever speaks no TLS. */
export async function tcp(port: number): Promise<Socket> {
  const socket = connectPlain({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

/** Past its handshake, and silent. */
export async function shakenHands(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ ...options, port, host: '127.0.0.1' });
  await once(socket, 'secureConnect');
  socket.on('error', () => {});
  return socket;
}
