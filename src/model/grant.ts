/**
 * A grant: a group receives secrets, each as a file, and what happens in the workload on a change.
 * A grant is known by its group's name: one grant per group.
 */
import * as schema from '../base/schema.ts';
import { limits } from '../base/limits.ts';
import { nameSchema } from './group.ts';
import { type Name, parseSecretName, type SecretName, secretNameRule } from './name.ts';

export const secretNameSchema = schema.text<SecretName>(parseSecretName, {
  max: limits.nameSegmentsMax * (limits.nameSegmentCharsMax + 1),
  description: secretNameRule,
});

/** Octal, as people write it: "0400". No set-id bits, no execute bits: the mount is noexec. */
export const modeSchema = schema.string({
  min: 4,
  max: 4,
  pattern: /^0[0246]{3}$/,
  description: 'four octal digits without execute bits, such as "0400"',
});
const idSchema = schema.integer({ min: 0, max: 4_294_967_294 });

export const grantedSecretSchema = schema.object({
  secret: secretNameSchema,
  /** The file's name in the workload's directory; the secret's last segment when left out. */
  file: schema.optional(nameSchema),
  mode: schema.optional(modeSchema),
  /** Inside the container; whom its first process runs as when left out, and then they follow it. */
  uid: schema.optional(idSchema),
  gid: schema.optional(idSchema),
});

export const signals = [
  'SIGHUP',
  'SIGINT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGQUIT',
  'SIGWINCH',
] as const;
export type SignalName = (typeof signals)[number];

export const onChangeSchema = schema.object({ signal: schema.optional(schema.oneOf(signals)) });

export const grantSchema = schema.object({
  group: nameSchema,
  secrets: schema.array(grantedSecretSchema, { min: 1, max: limits.setFilesMax }),
  /** Absolute directory inside the container. `/run/secrets` when left out. */
  target: schema.optional(
    schema.string({
      min: 2,
      max: 255,
      pattern: /^(?:\/[A-Za-z0-9._-]+)+$/,
      description: 'an absolute directory inside the container, such as /run/secrets',
    }),
  ),
  onChange: schema.optional(onChangeSchema),
  onLeaseLoss: schema.optional(schema.oneOf(['wipe', 'keep'] as const)),
  /** How long the node may keep the files without hearing from the gateway. By default as it is set there. */
  leaseSeconds: schema.optional(
    schema.integer({ min: limits.leaseMsMin / 1000, max: limits.leaseMsMax / 1000 }),
  ),
});

/** What a change of policy can change about a secret that a workload keeps. */
export const workloadUpdates = ['place', 'mode', 'owner', 'signal', 'lease'] as const;
export type WorkloadUpdate = (typeof workloadUpdates)[number];

export type GrantedSecret = schema.Infer<typeof grantedSecretSchema>;
export type OnChange = schema.Infer<typeof onChangeSchema>;
export type Grant = schema.Infer<typeof grantSchema>;
export type GroupName = Name;
