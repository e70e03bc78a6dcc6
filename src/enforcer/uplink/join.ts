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
import { type Credentials, loadCredentials, saveCredentials } from './credentials.ts';

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
  // Ed25519: it signs the TLS handshake and, as a witness, checkpoints (C2SP cosignatures demand it).
  const { privateKey } = generateKeyPairSync('ed25519');
  try {
    const { output } = await client.call('node.join', {
      token: options.token,
      certificateRequest: pem('CERTIFICATE REQUEST', makeCsr(privateKey)),
    });
    const certificate = new X509Certificate(output.certificate);
    const authority = new X509Certificate(output.authority);
    const context = { authority, trustDomain: output.trustDomain, nowMs: clock.wallMs() };
    const identity = readNodeIdentity(certificate, context);
    const ours = identity.kind === 'node' && identity.name === token.node;
    if (!ours || !certificate.checkPrivateKey(privateKey)) {
      throw new Fault('gateway.impostor', { reason: 'certificate' });
    }
    saveCredentials(stateDirectory, {
      node: token.node,
      streamAddress: output.streamAddress,
      trustDomain: output.trustDomain,
      privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      certificatePem: output.certificate,
      authorityPem: output.authority,
    });
  } finally {
    await client.close();
  }
  const joined = loadCredentials(stateDirectory);
  if (!joined) throw new Fault('enforcer.not-joined');
  return joined;
}

export function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
