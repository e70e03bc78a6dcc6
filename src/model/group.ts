/**
 * A container group: a selector over what a workload is. All conditions that are given must hold.
 *
 * Strong conditions (image digest, Kubernetes namespace with service account, node) entitle; names
 * and labels only narrow, because whoever creates a container can choose them.
 */
import * as schema from '../base/schema.ts';
import { limits } from '../base/limits.ts';
import { type Name, nameRule, parseName } from './name.ts';

const shortText = schema.string({ min: 1, max: limits.labelValueCharsMax });

export const nameSchema = schema.text<Name>(parseName, {
  max: limits.nameSegmentCharsMax,
  description: nameRule,
});

/** Docker's and Kubernetes' label keys: wider than our own names, and compared byte for byte. */
export const labelKeyPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/;
const labelKey = schema.string({ min: 1, max: 253, pattern: labelKeyPattern });
export const labelsSchema = schema.record(
  labelKey,
  schema.string({ max: limits.labelValueCharsMax }),
  {
    max: limits.labelsMax,
  },
);

export const groupMatchSchema = schema.object({
  /** `repository@sha256:…`: the digest. Else a glob on the reference, `*` within a segment, `**` across. */
  image: schema.optional(schema.string({ min: 1, max: 512 })),
  node: schema.optional(schema.string({ min: 1, max: 128 })),
  docker: schema.optional(
    schema.object({
      name: schema.optional(shortText),
      labels: schema.optional(labelsSchema),
    }),
  ),
  kubernetes: schema.optional(
    schema.object({
      namespace: schema.optional(shortText),
      serviceAccount: schema.optional(shortText),
      pod: schema.optional(shortText),
      container: schema.optional(shortText),
      labels: schema.optional(labelsSchema),
    }),
  ),
  process: schema.optional(
    schema.object({
      name: schema.optional(shortText),
      labels: schema.optional(labelsSchema),
    }),
  ),
});

export type GroupMatch = schema.Infer<typeof groupMatchSchema>;

export interface Group {
  readonly name: Name;
  readonly match: GroupMatch;
}
