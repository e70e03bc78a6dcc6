/**
 * Assertions: for what only a bug of ours can make false. They stay on in production and are never
 * caught. What input, disk or network can make false is a `Fault` instead (`fault.ts`).
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** @throws AssertionError naming the broken invariant. The text is ours; never put input into it. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** Narrows away `undefined` where an invariant says it cannot be there. */
export function defined<T>(value: T | undefined, invariant: string): T {
  assert(value !== undefined, invariant);
  return value;
}

/** For the `default` of a switch over a closed union: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable case of type ${typeof value}`);
}
