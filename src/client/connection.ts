/**
 * Connections to a gateway: TLS to exactly the gateway that is meant.
 *
 * Promises
 *   - A connection is handed out only after its handshake was verified, so no byte of a request, and
 *     no token, reaches anything that has not proved who it is.
 *   - With pins, some certificate of the presented chain has a pinned key, and OpenSSL verifies the
 *     whole chain with that certificate as the only authority. Merely sending along a certificate
 *     whose key is pinned proves nothing: certificates are public.
 *   - The host name is checked too, except where the gateway's own key is pinned: that key is the name.
 */
import { hash, X509Certificate } from 'node:crypto';
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import {
  checkServerIdentity,
  connect,
  type ConnectionOptions,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls';
import { Fault } from '../base/fault.ts';

export interface Trust {
  /** Authorities, PEM. Those of the system if there are neither these nor pins. */
  readonly ca?: string;
  /** SHA-256 of a public key (SubjectPublicKeyInfo): `sha256:` and 64 hexadecimal digits. */
  readonly pins?: readonly string[];
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface ConnectOptions {
  readonly endpoint: Endpoint;
  readonly trust: Trust;
  readonly timeoutMs: number;
  /** Ends the handshakes that are under way. */
  readonly signal: AbortSignal;
}

const pinPattern = /^sha256:[0-9a-f]{64}$/;

/** @throws Fault `request.invalid` if this is no address of a gateway: `https://host[:port]`. */
export function parseAddress(address: string): Endpoint {
  const url = URL.parse(address);
  const bare = url?.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (url?.protocol !== 'https:' || !bare || url.hostname === '' || url.password !== '') {
    throw new Fault('request.invalid', { what: 'address', problem: 'must be https://host:port' });
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? 443 : Number(url.port) };
}

/** @throws Fault `gateway.unreachable`, `gateway.untrusted` */
export async function makeAgent(options: ConnectOptions): Promise<Agent> {
  const rules = await trustRules(options);
  return new VerifiedAgent(options, rules);
}

/** How OpenSSL is to verify this gateway. */
async function trustRules(options: ConnectOptions): Promise<ConnectionOptions> {
  const { ca, pins = [] } = options.trust;
  if (pins.length === 0) return ca === undefined ? {} : { ca };
  const { certificate, isOwn } = await pinnedCertificate(options);
  return {
    ca: certificate.toString(),
    allowPartialTrustChain: true,
    ...(isOwn ? { checkServerIdentity: () => undefined } : {}),
  };
}

/**
 * Looks for the certificate whose key is pinned. That it is presented proves nothing yet: what it is good for
 * is to verify with it.
 *
 * @returns it, and whether it is the gateway's own
 * @throws Fault `gateway.unreachable`, `gateway.untrusted`, `request.invalid`
 */
export async function pinnedCertificate(
  options: ConnectOptions,
): Promise<{ readonly certificate: X509Certificate; readonly isOwn: boolean }> {
  const { pins = [] } = options.trust;
  if (!pins.every((pin) => pinPattern.test(pin))) {
    throw new Fault('request.invalid', {
      what: 'pin',
      problem: 'must be sha256: and 64 hex digits',
    });
  }
  const chain = await presentedChain(options);
  const pinned = chain.findIndex((certificate) => pins.includes(pinOf(certificate)));
  const certificate = chain[pinned];
  if (!certificate) {
    const found = chain.map(pinOf).join(' ');
    throw new Fault('gateway.untrusted', { problem: 'it shows none of the pinned keys', found });
  }
  return { certificate, isOwn: pinned === 0 };
}

export function pinOf(certificate: X509Certificate): string {
  const key = certificate.publicKey.export({ format: 'der', type: 'spki' });
  return `sha256:${hash('sha256', key, 'hex')}`;
}

/** Looks at what is presented, believing nothing and sending nothing. */
async function presentedChain(options: ConnectOptions): Promise<readonly X509Certificate[]> {
  const socket = await handshake(options, { rejectUnauthorized: false });
  const chain: X509Certificate[] = [];
  const fingerprints = new Set<string>();
  let next: PeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw && !fingerprints.has(next.fingerprint256) && chain.length < 10) {
    fingerprints.add(next.fingerprint256);
    chain.push(new X509Certificate(next.raw));
    next = 'issuerCertificate' in next ? (next.issuerCertificate as PeerCertificate) : undefined;
  }
  socket.destroy();
  return chain;
}

function handshake(options: ConnectOptions, rules: ConnectionOptions): Promise<TLSSocket> {
  const { endpoint, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...endpoint,
      servername: /^[\d.]+$|:/.test(endpoint.host) ? '' : endpoint.host,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      timeout: timeoutMs,
      checkServerIdentity: (_name, certificate) => checkServerIdentity(endpoint.host, certificate),
      ...rules,
    });
    const onTimeout = (): void => {
      socket.destroy();
      reject(new Fault('gateway.unreachable', { ...endpoint, problem: 'handshake timed out' }));
    };
    const onError = (error: NodeJS.ErrnoException): void => reject(connectFault(error, endpoint));
    const onClose = (): void =>
      reject(
        new Fault('gateway.unreachable', { ...endpoint, problem: 'hung up in the handshake' }),
      );
    const onAbort = (): void => void socket.destroy();
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    socket.once('timeout', onTimeout).on('error', onError).once('close', onClose);
    socket.once('close', () => signal.removeEventListener('abort', onAbort));
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('timeout', onTimeout).off('error', onError).off('close', onClose);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

const verifyCodes =
  /^(CERT_|UNABLE_TO_|ERR_TLS_CERT_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_|INVALID_|ERR_SSL_)/;

/** What OpenSSL makes of an answer in plain text. */
const plainAnswers: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]);

function connectFault(error: NodeJS.ErrnoException, endpoint: Endpoint): Fault {
  const problem = error.code ?? 'unknown';
  if (plainAnswers.has(problem)) {
    return new Fault('remote.invalid', { ...endpoint, problem: 'does not speak TLS' });
  }
  const code = verifyCodes.test(problem) ? 'gateway.untrusted' : 'gateway.unreachable';
  return new Fault(code, { ...endpoint, problem }, { cause: error });
}

class VerifiedAgent extends Agent {
  readonly #options: ConnectOptions;
  readonly #rules: ConnectionOptions;

  constructor(options: ConnectOptions, rules: ConnectionOptions) {
    const agentOptions: AgentOptions = { keepAlive: true, maxSockets: 64, maxFreeSockets: 8 };
    super(agentOptions);
    this.#options = options;
    this.#rules = rules;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    void this.#handOut((error, socket) => callback?.(error, socket as Duplex));
    return undefined;
  }

  async #handOut(done: (error: Error | null, socket?: Duplex) => void): Promise<void> {
    let socket: Duplex;
    try {
      socket = await handshake(this.#options, { ...this.#rules, rejectUnauthorized: true });
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null, socket);
  }
}
