/**
 * Join tokens: everything that a new node needs to find the gateway, to know that it is the right
 * one, and to prove that it may join. One use, one node, ten minutes.
 *
 * `coffer-join-` and base64url of JSON. The gateway keeps only a hash of the secret part.
 */
import { Fault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { nameSchema } from '../model/group.ts';

const prefix = 'coffer-join-';

const joinTokenSchema = schema.object({
  /** `host:port` of the gateway's API. */
  address: schema.string({ min: 3, max: 512 }),
  /** `sha256:` and 64 hexadecimal digits: of a public key in the chain that the gateway shows there. */
  pin: schema.string({ min: 71, max: 71, pattern: /^sha256:[0-9a-f]{64}$/ }),
  node: nameSchema,
  /** Public; what the token is looked up by. */
  id: schema.string({ min: 8, max: 64 }),
  /** 256 bits, base64url. */
  secret: schema.string({ min: 43, max: 43, pattern: /^[A-Za-z0-9_-]{43}$/ }),
});

export type JoinToken = schema.Infer<typeof joinTokenSchema>;

export function formatJoinToken(token: JoinToken): string {
  return prefix + Buffer.from(JSON.stringify(token), 'utf8').toString('base64url');
}

/** @throws Fault `node.token-malformed`; the token's text is never in it. */
export function parseJoinToken(text: string): JoinToken {
  if (!text.startsWith(prefix) || text.length > 2048) throw new Fault('node.token-malformed');
  try {
    const json = Buffer.from(text.slice(prefix.length), 'base64url').toString('utf8');
    return schema.parse(joinTokenSchema, JSON.parse(json), 'join token');
  } catch {
    throw new Fault('node.token-malformed');
  }
}
