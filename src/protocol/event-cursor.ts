/**
 * Where a stream of events goes on after a break: which member of an event is its id, and which
 * member of the input starts after that id. Both ends of HTTP read it here.
 */
import type { OperationName } from './operations.ts';

export interface EventCursor {
  readonly id: string;
  readonly after: string;
}

export const eventCursors = {
  'audit.tail': { id: 'sequence', after: 'after' },
  'event.watch': { id: 'revision', after: 'afterRevision' },
} as const satisfies Partial<Record<OperationName, EventCursor>>;

/** Operations with `reply: 'events'`. A test holds this against the table. */
export type EventOperation = keyof typeof eventCursors;

/** Operations with `reply: 'file'`. A test holds this against the table. */
export const fileOperations = ['system.backup'] as const satisfies readonly OperationName[];
export type FileOperation = (typeof fileOperations)[number];

export type JsonOperation = Exclude<OperationName, EventOperation | FileOperation>;

export function isEventOperation(name: OperationName): name is EventOperation {
  return Object.hasOwn(eventCursors, name);
}
