/** What is asked and what is answered, whoever carries it: HTTP, the node stream, rotation, a test. */
import type { Principal } from '../model/principal.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { OperationName, OperationOutput } from './operations.ts';

export interface OperationRequest<Name extends OperationName> {
  readonly operation: Name;
  readonly principal: Principal;
  /** Not yet parsed: `handle` does that first. */
  readonly input: unknown;
  /** The body of an operation with `body: 'value'`. `handle` wipes it, whatever happens. */
  readonly value?: SecretValue;
  readonly requestId: string;
  /** If-Match: the revision that the caller saw; 0 for "must not exist yet". */
  readonly ifRevision?: number;
  /** Decide, plan and report, but write nothing but the audit entry. */
  readonly dryRun?: boolean;
  /** Scoped to the principal; the same key with the same input replays the first answer. */
  readonly idempotencyKey?: string;
}

export interface OperationReply<Name extends OperationName> {
  readonly output: OperationOutput<Name>;
  /** Revision of the object in `output`, for ETag; absent where the output is no single object. */
  readonly revision?: number;
  readonly replayed?: boolean;
}

/**
 * The one way in: parse, decide, run, record with the effect, reply.
 *
 * @throws Fault for every refusal, after it is on the audit log.
 */
export type Handle = <Name extends OperationName>(
  request: OperationRequest<Name>,
) => Promise<OperationReply<Name>>;
