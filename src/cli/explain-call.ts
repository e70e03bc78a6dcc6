/**
 * `--curl`: the HTTP call that a command would make, as a line for the shell. It trusts exactly the gateway
 * that the command would: the token is sent to nobody else.
 */
import { hash } from 'node:crypto';
import type { CallOptions } from '../client/client.ts';
import { parseAddress, pinnedCertificate } from '../client/connection.ts';
import { requestOf } from '../client/outgoing.ts';
import { hostNameOf } from '../crypto/certificate-identity.ts';
import { type OperationName, operationNamed } from '../protocol/operations.ts';
import { usage } from './command-spec.ts';
import { authorityFile } from './places.ts';
import { writePrivateFile } from './private-file.ts';
import type { Session } from './session.ts';
import type { Settings } from './settings.ts';

const timeoutMs = 10_000;

/** @returns whole lines. */
export async function explainCall(
  session: Session,
  name: OperationName,
  input: unknown,
  options: CallOptions,
): Promise<string> {
  const settings = await session.settings();
  if (settings.server.value === undefined) {
    throw usage('no gateway is named: give --server or COFFER_ADDR');
  }
  const outgoing = requestOf(name, input, { ...options, token: '$COFFER_TOKEN' });
  const { words: trust, server } = await trustOf(session, settings, settings.server.value);
  const words = ['curl', '--fail-with-body', ...trust];
  if (outgoing.method !== 'GET') words.push('--request', outgoing.method);
  for (const [key, value] of Object.entries(outgoing.headers)) {
    if (key === 'content-length') continue;
    // Double quotes for the one header in which the shell is to fill in the token.
    words.push(
      '--header',
      key === 'authorization' ? `"${key}: ${value}"` : quote(`${key}: ${value}`),
    );
  }
  if (operationNamed(name).preconditioned === true && options.ifRevision === undefined) {
    words.push('--header', `'if-match: "REVISION"'`);
  }
  if (outgoing.body === 'value') words.push('--data-binary', '@-');
  else if (outgoing.body !== undefined)
    words.push('--data-raw', quote(outgoing.body.toString('utf8')));
  words.push(quote(`${server}${outgoing.path}`));
  return `${words.join(' ')}\n`;
}

interface CurlTrust {
  readonly words: readonly string[];
  /** By the name in its certificate. */
  readonly server: string;
}

/**
 * curl compares a pin with the gateway's own key alone, and ours may be that of an authority; so the
 * certificate with the pinned key is looked for as the command would, and kept in a file.
 */
async function trustOf(session: Session, settings: Settings, server: string): Promise<CurlTrust> {
  const { env } = session.io;
  const trust = await settings.readTrust();
  const { ca, pins = [] } = trust;
  if (pins.length === 0) {
    if (ca === undefined) return { words: [], server };
    const file = settings.caFile ?? (await keep(authorityFile(env, idOf(ca)), ca));
    return { words: ['--cacert', quote(file)], server };
  }
  const endpoint = parseAddress(server);
  const { signal } = session;
  const looking = { endpoint, trust, timeoutMs, signal };
  const { certificate, isOwn } = await pinnedCertificate(looking);
  const pem = certificate.toString();
  const words = ['--cacert', quote(await keep(authorityFile(env, idOf(pem)), pem))];
  // Whose own key is pinned may be reached by any name; curl wants one that is in the certificate.
  const name = isOwn ? hostNameOf(certificate) : undefined;
  if (name === undefined || name === endpoint.host) return { words, server };
  const address = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  const way = `${name}:${endpoint.port}:${address}:${endpoint.port}`;
  return {
    words: [...words, '--connect-to', quote(way)],
    server: `https://${name}:${endpoint.port}`,
  };
}

async function keep(path: string, pem: string): Promise<string> {
  await writePrivateFile(path, pem);
  return path;
}

/** By what it holds, so that none is ever the wrong one. */
function idOf(pem: string): string {
  return hash('sha256', pem, 'hex').slice(0, 16);
}

function quote(text: string): string {
  return /^[A-Za-z0-9_./:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
