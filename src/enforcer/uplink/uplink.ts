/**
 * The uplink: this node's connection to its gateway. The face of the room.
 *
 * Promises
 *   - Nothing is sent before the peer has shown a certificate of the authority that this node joined,
 *     naming the gateway of its trust domain. An impostor learns this node's certificate, which is no
 *     secret, and nothing else.
 *   - It tries again for ever, with growing pauses and jitter, until it is told to stop. Where the gateway
 *     will not let this node in as it is, the pauses grow to minutes, and the log says what to do.
 */
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { WebSocket } from 'ws';
import type { Clock } from '../../base/clock.ts';
import { Fault, isFault } from '../../base/fault.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { readGatewayIdentity } from '../../crypto/certificate-identity.ts';
import { SSL_OP_CLEANSE_PLAINTEXT } from '../../wire/cleanse-plaintext.ts';
import type { Link } from '../../wire/link.ts';
import { webSocketLink } from '../../wire/web-socket-link.ts';
import type { Credentials } from './credentials.ts';

export {
  type Credentials,
  hasJoined,
  loadCredentials,
  openStateDirectory,
  parseState,
  saveCertificate,
  writeState,
} from './credentials.ts';
export { type JoinOptions, joinGateway } from './join.ts';
export { NodeCertificate, type NodeCertificateOptions } from './node-certificate.ts';

export interface UplinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** One attempt: `connect`, with the credentials of the moment. */
  readonly connect: (signal: AbortSignal) => Promise<Link>;
}

const connectWithinMs = 10_000;
const pauseMsFirst = 200;
const pauseMsMax = 15_000;
const pauseDoublingsMax = 16;
/** Only a person can help; who does need not wait: joining again is a restart. */
const refusedPauseMsMax = 5 * 60_000;

/**
 * Keeps one connection after another.
 *
 * @param use - Takes a link over and resolves once it is done with it.
 */
export async function keepConnected(
  options: UplinkOptions,
  signal: AbortSignal,
  use: (link: Link) => Promise<void>,
): Promise<void> {
  const { clock, random, log, connect: attempt } = options;
  let failures = 0;
  let refusals = 0;
  while (!signal.aborted) {
    const startedMs = clock.monotonicMs();
    try {
      const link = await attempt(signal);
      log.info('gateway.connected');
      refusals = 0;
      await use(link);
      // A connection that held for a while was a good one: the next pause is short again.
      if (clock.monotonicMs() - startedMs > pauseMsMax) failures = 0;
    } catch (error) {
      refusals = logFailure(log, error) ? Math.min(refusals + 1, pauseDoublingsMax) : 0;
    }
    const ceilingMs =
      refusals > 0
        ? Math.min(pauseMsFirst * 2 ** refusals, refusedPauseMsMax)
        : Math.min(pauseMsFirst * 2 ** failures, pauseMsMax);
    failures = Math.min(failures + 1, pauseDoublingsMax);
    // Full jitter: after an outage five thousand nodes must not come back at once.
    const pauseMs = pauseMsFirst / 2 + ceilingMs * random.fraction();
    await clock.sleep(pauseMs, signal).catch(() => {});
  }
}

/** @returns whether the gateway will not let this node in as it is. */
function logFailure(log: Log, error: unknown): boolean {
  const isRefused = isFault(error, 'node.refused') || isFault(error, 'certificate.ended');
  if (isRefused) log.error('gateway.refused', { ...errorFields(error), hint: error.spec.hint });
  else if (isFault(error, 'gateway.impostor')) log.error('gateway.impostor', errorFields(error));
  else log.warn('gateway.unreachable', errorFields(error));
  return isRefused;
}

/** @throws Fault `gateway.unreachable`, `gateway.impostor`, `node.refused`, `certificate.ended` */
export async function connect(
  { clock, credentials }: { readonly clock: Clock; readonly credentials: Credentials },
  signal: AbortSignal,
): Promise<Link> {
  const { authority, trustDomain } = credentials;
  let impostor: string | undefined;
  // Passed on to tls.connect by ws, whose own type leaves most of these options out.
  const tls: ConnectionOptions = {
    key: credentials.privateKeyPem,
    cert: credentials.certificatePem,
    ca: credentials.authorityPem,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
    secureOptions: SSL_OP_CLEANSE_PLAINTEXT,
    // Who it is counts, not where: the name in the certificate is the gateway's, not the host's.
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
      const nowMs = clock.wallMs();
      const shown = new X509Certificate(certificate.raw);
      const identity = readGatewayIdentity(shown, { authority, trustDomain, nowMs });
      if (identity.kind === 'gateway') return undefined;
      impostor = identity.reason;
      return new Error('not the gateway');
    },
  };
  const socket = new WebSocket(`wss://${credentials.streamAddress}/v1/stream`, {
    ...(tls as object),
    perMessageDeflate: false,
    followRedirects: false,
    maxPayload: limits.streamFrameBytesMax,
    handshakeTimeout: connectWithinMs,
  });
  let stream: Socket | undefined;
  socket.once('upgrade', (response) => (stream = response.socket));
  const abort = (): void => socket.terminate();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, { statusCode }) => {
        const refused = statusCode === 403;
        reject(refused ? new Fault('node.refused') : new Error(`answered ${statusCode}`));
      });
    });
  } catch (error) {
    socket.on('error', () => {});
    socket.terminate();
    if (isFault(error, 'node.refused')) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const untrusted =
      impostor ?? (/CERT|SIGNATURE|ISSUER|SELF_SIGNED|PURPOSE/.test(code ?? '') ? code : undefined);
    if (untrusted !== undefined)
      throw new Fault('gateway.impostor', { reason: untrusted }, { cause: error });
    // TLS refuses it before the gateway can say why; a gateway that is merely gone will refuse it too.
    const ends = credentials.certificate.validToDate;
    if (ends.getTime() <= clock.wallMs()) {
      const detail = { node: credentials.node, ended: ends.toISOString() };
      throw new Fault('certificate.ended', detail, { cause: error });
    }
    const address = credentials.streamAddress;
    throw new Fault('gateway.unreachable', { address, reason: code }, { cause: error });
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return webSocketLink(socket, { reads: stream, joins: stream });
}
