/**
 * Bearer secrets: a public id to look up, 256 random bits to prove, and their SHA-256 to keep.
 *
 * A fast hash is enough for 256 random bits: there is nothing to guess. Comparing takes the same work
 * whether or not the id is known.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { wipe } from '../../base/bytes.ts';
import type { Random } from '../../base/random.ts';

export interface TokenSecret {
  /** 32 hexadecimal digits. */
  readonly publicId: string;
  /** 43 characters of base64url: shown once. */
  readonly secret: string;
  readonly hash: Buffer;
}

const secretBytes = 32;
const nobodysHash = Buffer.alloc(32);

export function makeTokenSecret(random: Random): TokenSecret {
  const raw = random.bytes(secretBytes);
  const secret = raw.toString('base64url');
  wipe(raw);
  return { publicId: random.bytes(16).toString('hex'), secret, hash: hashSecret(secret) };
}

/** Hashes the text, so that one secret has one spelling. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret, 'latin1').digest();
}

/** @param hash - What is stored under the public id; `undefined` if nothing is. */
export function provesSecret(secret: string, hash: Uint8Array | undefined): boolean {
  const same = timingSafeEqual(hashSecret(secret), hash ?? nobodysHash);
  return same && hash !== undefined;
}

const bearerPattern = /^coffer_(?<publicId>[0-9a-f]{32})_(?<secret>[A-Za-z0-9_-]{43})$/;

export function formatBearer(token: TokenSecret): string {
  return `coffer_${token.publicId}_${token.secret}`;
}

/** `undefined` for what is no token of this form. */
export function parseBearer(
  bearer: string,
): { readonly publicId: string; readonly secret: string } | undefined {
  const { publicId, secret } = bearerPattern.exec(bearer)?.groups ?? {};
  return publicId === undefined || secret === undefined ? undefined : { publicId, secret };
}
