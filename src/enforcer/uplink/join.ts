/**
 * Joining: a one-time token becomes a node certificate. The key is made here and never leaves; the
 * gateway's key is pinned by the token and checked before a byte is sent.
 */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import { Client } from '../../client/client.ts';
import { readNodeIdentity } from '../../crypto/certificate-identity.ts';
import { makeCsr } from '../../crypto/csr.ts';
import { parseJoinToken } from '../../protocol/join-token.ts';
import type { OperationInput, OperationOutput } from '../../protocol/operations.ts';
import {
  type Credentials,
  type NewCredentials,
  readCredentials,
  saveCredentials,
} from './credentials.ts';

export interface JoinOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly stateDirectory: string;
  /** As printed by `coffer node token`. */
  readonly token: string;
}

/**
 * @throws Fault `node.token-malformed`, `gateway.untrusted`, `gateway.unreachable`, or why the gateway
 *   refused the token
 * @throws Fault `gateway.impostor` if the certificate that came back is not for this node and key
 */
export async function joinGateway(options: JoinOptions): Promise<Credentials> {
  const { clock, random, stateDirectory } = options;
  const token = parseJoinToken(options.token);
  const client = new Client({
    address: `https://${token.address}`,
    trust: { pins: [token.pin] },
    clock,
    random,
  });
  try {
    const redeemed = await redeemToken({
      ...options,
      join: async (request) => (await client.call('node.join', request)).output,
    });
    saveCredentials(stateDirectory, redeemed);
    return readCredentials(redeemed);
  } finally {
    await client.close();
  }
}

/**
 * A new key, and what the gateway certifies it as.
 *
 * @param options.join - Asks the gateway that the token names.
 * @throws Fault `node.token-malformed`; `gateway.impostor` if the certificate is not for this node and key
 */
export async function redeemToken(options: {
  readonly clock: Clock;
  readonly token: string;
  readonly join: (request: OperationInput<'node.join'>) => Promise<OperationOutput<'node.join'>>;
}): Promise<NewCredentials> {
  const { clock, token, join } = options;
  const { node } = parseJoinToken(token);
  // Ed25519: it signs the TLS handshake and, as a witness, checkpoints (C2SP cosignatures demand it).
  const { privateKey } = generateKeyPairSync('ed25519');
  const certificateRequest = pem('CERTIFICATE REQUEST', makeCsr(privateKey));
  const answer = await join({ token, certificateRequest });
  const certificate = new X509Certificate(answer.certificate);
  const authority = new X509Certificate(answer.authority);
  const context = { authority, trustDomain: answer.trustDomain, nowMs: clock.wallMs() };
  const identity = readNodeIdentity(certificate, context);
  const ours = identity.kind === 'node' && identity.name === node;
  if (!ours || !certificate.checkPrivateKey(privateKey)) {
    throw new Fault('gateway.impostor', { reason: 'certificate' });
  }
  return {
    node,
    streamAddress: answer.streamAddress,
    trustDomain: answer.trustDomain,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    certificatePem: answer.certificate,
    authorityPem: answer.authority,
  };
}

export function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
