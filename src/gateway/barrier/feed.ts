/**
 * The change feed: pulled, never called back. Each reader has a bounded set of what changed since it
 * last asked, one row per record; whoever falls too far behind is told so, and reads everything anew.
 */
import type { Change } from './record.ts';

export interface FeedStep {
  /** More changed than is kept: `changes` is empty, read everything again. */
  readonly lost: boolean;
  /** In the order of their last change; each record once. */
  readonly changes: readonly Change[];
}

export interface Feed {
  /** Waits until something changed. @throws the signal's reason when it aborts. */
  next(signal: AbortSignal): Promise<FeedStep>;
  close(): void;
}
