/** Operations on secrets. No output here has a member for a value: the store is write-only. */
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';
import { labelsSchema } from '../model/group.ts';
import { secretNameSchema } from '../model/grant.ts';
import { operation } from './operation.ts';
import { pageMembers, pageOf, timestamp } from './page.ts';

const versionNumber = schema.integer({ min: 1, max: 1_000_000_000 });
const nameOnly = schema.object({ name: secretNameSchema });
const nameAndVersion = schema.object({ name: secretNameSchema, version: versionNumber });
const nameAndMaybeVersion = schema.object({
  name: secretNameSchema,
  version: schema.optional(versionNumber),
});
const description = schema.string({ max: 1024 });

export const secretView = schema.object({
  id: schema.string({ max: 64 }),
  name: secretNameSchema,
  revision: schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  description,
  labels: labelsSchema,
  current: schema.integer({ min: 0, max: 1_000_000_000 }),
  previous: schema.integer({ min: 0, max: 1_000_000_000 }),
  pending: schema.integer({ min: 0, max: 1_000_000_000 }),
  versions: schema.array(
    schema.object({
      number: versionNumber,
      stage: schema.oneOf(['pending', 'current', 'previous', 'none'] as const),
      state: schema.oneOf(['stored', 'revoked', 'destroyed'] as const),
      createdAt: timestamp,
      createdBy: schema.string({ max: 128 }),
    }),
    { max: limits.secretVersionsMax },
  ),
  createdAt: timestamp,
  deletedAt: schema.optional(timestamp),
});
export type SecretView = schema.Infer<typeof secretView>;

/** What `generate` draws from. `characters` is every character that may occur, each once. */
export const generateRules = schema.object({
  length: schema.optional(schema.integer({ min: 8, max: 4096 })),
  charset: schema.optional(
    schema.oneOf(['alphanumeric', 'printable', 'hex', 'base64url', 'digits', 'bytes'] as const),
  ),
  exclude: schema.optional(schema.string({ max: 128 })),
});
export type GenerateRules = schema.Infer<typeof generateRules>;

const resource = (input: { readonly name: string }): string => `secrets/${input.name}`;
const putMembers = {
  name: secretNameSchema,
  stage: schema.optional(schema.oneOf(['current', 'pending'] as const)),
  /** Refuse if the secret exists already. */
  createOnly: schema.optional(schema.boolean()),
};

export const secretOperations = {
  'secret.list': operation({
    summary: 'List secrets, without their values',
    method: 'GET',
    path: '/v1/secrets',
    body: 'none',
    reply: 'json',
    input: schema.object({
      ...pageMembers,
      prefix: schema.optional(schema.string({ max: 520 })),
      selector: schema.optional(schema.string({ max: 1024 })),
      deleted: schema.optional(schema.boolean()),
    }),
    output: pageOf(secretView),
    resource: () => 'secrets',
    effect: 'read',
    access: 'permission',
  }),
  'secret.get': operation({
    summary: 'Show the versions and stages of a secret, never its value',
    method: 'GET',
    path: '/v1/secrets/{name}',
    body: 'none',
    reply: 'json',
    input: nameOnly,
    output: secretView,
    resource,
    effect: 'read',
    access: 'permission',
    revisioned: true,
  }),
  'secret.put': operation({
    summary: 'Set a new value; the body is the value, byte for byte',
    method: 'POST',
    path: '/v1/secrets/{name}:put',
    body: 'value',
    reply: 'json',
    input: schema.object(putMembers),
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.generate': operation({
    summary: 'Generate a new random value, without showing it',
    method: 'POST',
    path: '/v1/secrets/{name}:generate',
    body: 'json',
    reply: 'json',
    input: schema.object({ ...putMembers, rules: schema.optional(generateRules) }),
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.update': operation({
    summary: 'Change labels or description',
    method: 'PATCH',
    path: '/v1/secrets/{name}',
    body: 'json',
    reply: 'json',
    input: schema.object({
      name: secretNameSchema,
      labels: schema.optional(labelsSchema),
      description: schema.optional(description),
    }),
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'secret.promote': operation({
    summary: 'Make the pending version current',
    method: 'POST',
    path: '/v1/secrets/{name}:promote',
    body: 'json',
    reply: 'json',
    input: nameOnly,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.rollback': operation({
    summary: 'Make a stored version current again, without showing it',
    method: 'POST',
    path: '/v1/secrets/{name}:rollback',
    body: 'json',
    reply: 'json',
    input: nameAndMaybeVersion,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.revoke': operation({
    summary: 'Withdraw a version from every container, and never deliver it again',
    method: 'POST',
    path: '/v1/secrets/{name}:revoke',
    body: 'json',
    reply: 'json',
    input: nameAndMaybeVersion,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.destroy': operation({
    summary: 'Destroy a version permanently: its key and its ciphertext',
    method: 'POST',
    path: '/v1/secrets/{name}:destroy',
    body: 'json',
    reply: 'json',
    input: nameAndVersion,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'secret.delete': operation({
    summary: 'Withdraw a secret everywhere and hide it; it can be restored',
    method: 'DELETE',
    path: '/v1/secrets/{name}',
    body: 'none',
    reply: 'json',
    input: nameOnly,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'secret.restore': operation({
    summary: 'Restore a deleted secret',
    method: 'POST',
    path: '/v1/secrets/{name}:restore',
    body: 'json',
    reply: 'json',
    input: nameOnly,
    output: secretView,
    resource,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
} as const;
