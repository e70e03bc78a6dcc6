/** Operations on tokens: who may ask for what, as programs and people prove it. */
import { Fault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { limits } from '../base/limits.ts';
import { nameSchema } from '../model/group.ts';
import { type PathPattern, parsePathPattern } from '../model/name.ts';
import { operation } from './operation.ts';
import { pageMembers, pageOf, shortText, timestamp } from './page.ts';

const token = (input: { readonly name: string }): string => `tokens/${input.name}`;
const hoursMax = 10 * 366 * 24;

const pathCharsMax = (limits.nameSegmentsMax + 1) * (limits.nameSegmentCharsMax + 1);
const pathSchema = schema.text<PathPattern>(parsePathPattern, {
  max: pathCharsMax,
  description: 'a resource, such as secrets/payments/**; * is one segment, ** at the end all below',
});
/** Resources that have names below them, and those that are one thing. */
const namedCollections = ['secrets', 'groups', 'grants', 'nodes', 'workloads', 'tokens'];
const soleResources = ['policy', 'holdings', 'audit', 'events', 'system'];

/** A misspelt one would be taken and match nothing. @throws Fault `name.invalid` */
function parseGivenPath(text: string): PathPattern {
  const path = parsePathPattern(text);
  const [first = '', ...rest] = path.split('/');
  const isKnown = first.startsWith('*') || namedCollections.includes(first);
  const isWhole = first.startsWith('*') || rest.length > 0;
  if ((isKnown && isWhole) || (soleResources.includes(first) && rest.length === 0)) return path;
  throw new Fault('name.invalid', { kind: 'path' });
}

const givenPathSchema = schema.text<PathPattern>(parseGivenPath, {
  max: pathCharsMax,
  description:
    `${namedCollections.join(', ')} with a name, such as secrets/payments/** ` +
    `(* is one segment, ** at the end all below); ${soleResources.join(', ')} alone; or ** for all`,
});
const roleSchema = schema.oneOf(['owner', 'operator', 'writer', 'auditor'] as const);

export const tokenView = schema.object({
  /** Of the principal, as the audit log names it. */
  id: shortText,
  name: nameSchema,
  kind: schema.oneOf(['user', 'machine'] as const),
  bindings: schema.array(
    schema.object({ role: nameSchema, paths: schema.array(pathSchema, { max: 64 }) }),
    { max: 64 },
  ),
  createdAt: timestamp,
  /** Left out: until it is revoked. */
  endsAt: schema.optional(timestamp),
});
export type TokenView = schema.Infer<typeof tokenView>;

/** Who asks, as the gateway sees them. */
export const selfView = schema.object({
  id: shortText,
  name: nameSchema,
  kind: schema.oneOf(['user', 'machine'] as const),
  /** How that was proved: `token`. */
  method: shortText,
  /** The address that the request came from. */
  source: shortText,
  bindings: tokenView.members.bindings,
  /** Of the token. Left out: until it is revoked. */
  endsAt: schema.optional(timestamp),
});
export type SelfView = schema.Infer<typeof selfView>;

export const tokenOperations = {
  'token.whoami': operation({
    summary: 'Show whose token is in use, what it permits, and until when',
    method: 'GET',
    path: '/v1/tokens:whoami',
    body: 'none',
    reply: 'json',
    input: schema.object({}),
    output: selfView,
    resource: () => 'tokens',
    effect: 'read',
    access: 'self',
  }),
  'token.list': operation({
    summary: 'List tokens: for whom, with which role and paths, and until when',
    method: 'GET',
    path: '/v1/tokens',
    body: 'none',
    reply: 'json',
    input: schema.object({ ...pageMembers }),
    output: pageOf(tokenView),
    resource: () => 'tokens',
    effect: 'read',
    access: 'permission',
  }),
  'token.create': operation({
    summary: 'Create a token for a person or program: one role on some paths; shown once',
    method: 'POST',
    path: '/v1/tokens',
    body: 'json',
    reply: 'json',
    input: schema.object({
      name: nameSchema,
      role: roleSchema,
      paths: schema.array(givenPathSchema, { min: 1, max: 16 }),
      /** Left out: until it is revoked. */
      hours: schema.optional(schema.integer({ min: 1, max: hoursMax })),
    }),
    output: schema.object({
      name: nameSchema,
      /** `coffer_…`. Nothing keeps it. */
      token: schema.string({ max: 256 }),
      endsAt: schema.optional(timestamp),
    }),
    resource: token,
    effect: 'change',
    access: 'permission',
    credential: true,
  }),
  'token.revoke': operation({
    summary: 'Revoke a token: its next request is refused, and its streams end',
    method: 'POST',
    path: '/v1/tokens/{name}:revoke',
    body: 'json',
    reply: 'json',
    input: schema.object({ name: nameSchema }),
    output: tokenView,
    resource: token,
    effect: 'change',
    access: 'permission',
  }),
} as const;
