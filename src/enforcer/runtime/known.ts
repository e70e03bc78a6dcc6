/**
 * What a watch has told so far, and what it has to tell next: the pure middle of every runtime.
 */
import type { RuntimeContainer, RuntimeEvent } from './runtime.ts';

/** By container id. */
export type Known = Map<string, Pick<RuntimeContainer, 'pid' | 'startedAtMs' | 'name'>>;

/** What there was to see under an id: a running container, or none. */
export interface Look {
  readonly id: string;
  readonly container: RuntimeContainer | undefined;
}

/**
 * Brings `known` up to date with one look at one container, and gives the events that this makes.
 *
 * A new process under the same id is a stop and a start. The start time is compared as well, because
 * a container that restarts may get its old pid again.
 */
export function differences(known: Known, { id, container }: Look): readonly RuntimeEvent[] {
  const before = known.get(id);
  if (container === undefined) {
    return known.delete(id) ? [{ kind: 'stopped', id }] : [];
  }
  const { pid, startedAtMs, name } = container;
  known.set(id, { pid, startedAtMs, name });
  if (before === undefined) return [{ kind: 'started', container }];
  if (before.pid === pid && before.startedAtMs === startedAtMs) {
    return before.name === name ? [] : [{ kind: 'renamed', container }];
  }
  return [
    { kind: 'stopped', id },
    { kind: 'started', container },
  ];
}
