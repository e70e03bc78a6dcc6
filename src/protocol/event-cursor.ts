/**
 * Operations that answer more than one object, and where a stream of events goes on after a break: each
 * event is an audit entry or tells of one, and has its number. Both ends of HTTP read it here.
 */
import type { OperationName } from './operations.ts';

/** Operations with `reply: 'events'`. A test holds this against the table. */
export const eventOperations = [
  'audit.tail',
  'event.watch',
] as const satisfies readonly OperationName[];
export type EventOperation = (typeof eventOperations)[number];

/** The member of an event that is its id, and the member of the input that starts after that id. */
export const eventCursor = { id: 'sequence', after: 'after' } as const;

/** Operations with `reply: 'file'`. A test holds this against the table. */
export const fileOperations = ['system.backup'] as const satisfies readonly OperationName[];
export type FileOperation = (typeof fileOperations)[number];

export type JsonOperation = Exclude<OperationName, EventOperation | FileOperation>;

export function isEventOperation(name: OperationName): name is EventOperation {
  return (eventOperations as readonly OperationName[]).includes(name);
}
