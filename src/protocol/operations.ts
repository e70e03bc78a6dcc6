/**
 * The operations table: everything that can be asked of the gateway. What is not in it cannot be
 * asked; what is in it has a permission, a resource and a handler, or does not compile.
 */
import type { InputOf, Operation, OutputOf } from './operation.ts';
import { nodeOperations } from './operations-node.ts';
import { policyOperations } from './operations-policy.ts';
import { secretOperations } from './operations-secret.ts';
import { systemOperations } from './operations-system.ts';
import { tokenOperations } from './operations-token.ts';

export const operations = {
  ...secretOperations,
  ...policyOperations,
  ...nodeOperations,
  ...tokenOperations,
  ...systemOperations,
} as const;

export type Operations = typeof operations;
export type OperationName = keyof Operations;
export type OperationInput<Name extends OperationName> = InputOf<Operations[Name]>;
export type OperationOutput<Name extends OperationName> = OutputOf<Operations[Name]>;

export const operationNames = Object.keys(operations) as readonly OperationName[];

/** The same table for code that treats all operations alike. */
export function operationNamed(name: OperationName): Operation<unknown, unknown> {
  return operations[name] as unknown as Operation<unknown, unknown>;
}
