/**
 * Certificate requests (PKCS#10, RFC 2986) of nodes: they prove that the sender has a private key,
 * and that is all they are asked for. Names and extensions in a request are never looked at; whoever
 * issues the certificate knows better what may stand in it.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { der, derBitString, derInteger, derOid, derSequence, derTags, readDer } from './der.ts';

/** Larger than any honest request; read no further. */
const csrBytesMax = 4096;

export type CsrRefusal = 'malformed' | 'wrong-key-type' | 'wrong-signature';

export type CheckedCsr =
  | { readonly kind: 'checked'; readonly publicKey: KeyObject }
  | { readonly kind: 'refused'; readonly reason: CsrRefusal };

/** The algorithm identifiers that go with the two kinds of key which nodes may have. */
const signatureAlgorithms = {
  ec: derSequence(derOid('1.2.840.10045.4.3.2')), // ecdsa-with-SHA256
  ed25519: derSequence(derOid('1.3.101.112')),
} as const;

/** P-256 or Ed25519; `undefined` for every other key. */
export function certificateKeyType(key: KeyObject): keyof typeof signatureAlgorithms | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return key.asymmetricKeyType === 'ec' && curve === 'prime256v1' ? 'ec' : undefined;
}

/** The algorithm identifier and the signature of `bytes`, as certificates and requests carry them. */
export function signDer(
  bytes: Uint8Array,
  privateKey: KeyObject,
): { readonly algorithm: Buffer; readonly signature: Buffer } {
  const algorithm = derSignatureAlgorithm(privateKey);
  const digest = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return { algorithm, signature: sign(digest, bytes, privateKey) };
}

export function derSignatureAlgorithm(key: KeyObject): Buffer {
  const type = certificateKeyType(key);
  if (type === undefined) throw new TypeError('keys of certificates are P-256 or Ed25519');
  return signatureAlgorithms[type];
}

/** A request for the key's certificate, in DER. @param privateKey - P-256 or Ed25519. */
export function makeCsr(privateKey: KeyObject): Buffer {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const info = derSequence(derInteger(Buffer.of(0)), derSequence(), spki, der(0xa0));
  const { algorithm, signature } = signDer(info, privateKey);
  return derSequence(info, algorithm, derBitString(signature));
}

/** Checks that whoever made the request has the private key to the public key in it. */
export function checkCsr(request: Uint8Array): CheckedCsr {
  const parts = readCsr(request);
  if (parts === undefined) return { kind: 'refused', reason: 'malformed' };
  const publicKey = readPublicKey(parts.spki);
  const type = publicKey === undefined ? undefined : certificateKeyType(publicKey);
  if (publicKey === undefined || type === undefined) {
    return { kind: 'refused', reason: 'wrong-key-type' };
  }
  const valid =
    parts.algorithm.equals(signatureAlgorithms[type]) &&
    verify(type === 'ed25519' ? null : 'sha256', parts.info, publicKey, parts.signature);
  return valid ? { kind: 'checked', publicKey } : { kind: 'refused', reason: 'wrong-signature' };
}

interface CsrParts {
  readonly info: Buffer;
  readonly spki: Buffer;
  readonly algorithm: Buffer;
  readonly signature: Buffer;
}

function readCsr(request: Uint8Array): CsrParts | undefined {
  if (request.length > csrBytesMax) return undefined;
  const outer = readDer(Buffer.from(request));
  if (outer?.length !== 1 || outer[0]?.tag !== derTags.sequence) return undefined;
  const [info, algorithm, signature, ...more] = readDer(outer[0].content) ?? [];
  if (info?.tag !== derTags.sequence || algorithm?.tag !== derTags.sequence) return undefined;
  if (signature?.tag !== derTags.bitString || more.length > 0) return undefined;
  if (signature.content[0] !== 0) return undefined;
  const [version, name, spki, attributes, ...rest] = readDer(info.content) ?? [];
  if (version?.whole.equals(derInteger(Buffer.of(0))) !== true) return undefined;
  if (name?.tag !== derTags.sequence || spki?.tag !== derTags.sequence) return undefined;
  if (attributes?.tag !== 0xa0 || rest.length > 0) return undefined;
  return {
    info: info.whole,
    spki: spki.whole,
    algorithm: algorithm.whole,
    signature: signature.content.subarray(1),
  };
}

/** Only the canonical encoding: no compressed points, no curves spelt out as parameters. */
function readPublicKey(spki: Buffer): KeyObject | undefined {
  try {
    const read = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    // By way of its numbers: OpenSSL writes a key as it read it, a compressed point compressed.
    const key = createPublicKey({ key: read.export({ format: 'jwk' }), format: 'jwk' });
    return key.export({ format: 'der', type: 'spki' }).equals(spki) ? key : undefined;
  } catch {
    return undefined;
  }
}
