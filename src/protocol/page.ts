/** What many operations have alike: texts, times, and the cursors and pages of lists. */
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';

/** Whatever an answer repeats: what a node said fits, and the longest name. */
export const shortText = schema.string({ max: limits.answerTextCharsMax });

/** RFC 3339, UTC, milliseconds. */
export const timestamp = schema.string({ min: 24, max: 30 });

export const pageMembers = {
  limit: schema.optional(schema.integer({ min: 1, max: limits.pageItemsMax })),
  /** From `nextCursor` of the page before. Opaque. */
  cursor: schema.optional(schema.string({ min: 1, max: 1024 })),
} as const;

export function pageOf<T>(item: schema.Schema<T>) {
  return schema.object({
    items: schema.array(item, { max: limits.pageItemsMax }),
    nextCursor: schema.optional(schema.string({ max: 1024 })),
  });
}
