/** What the bench `propagate` and the process that reads inside containers say to each other. */

export type ToReader =
  /** Watch this file in the containers of these processes, from now on. */
  | { readonly kind: 'watch'; readonly pids: readonly number[]; readonly file: string }
  /** Say when the file has this content in all of them, or is gone from all of them. */
  | { readonly kind: 'expect'; readonly content: string | undefined };

/** For each container, when the reader had seen it; on CLOCK_MONOTONIC. */
export type FromReader =
  | { readonly kind: 'watching' }
  | { readonly kind: 'seen'; readonly atMs: readonly number[] };
