/**
 * What an operation is. Everything that anyone can ask of the gateway is one value of this type in
 * the table in `operations.ts`; routes, OpenAPI, the typed client, CLI commands and the audit
 * vocabulary are read off that table. An operation's name is also the action that policy decides on.
 */
import type { Schema } from '../base/schema.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Operation<Input, Output> {
  readonly summary: string;
  readonly method: HttpMethod;
  /**
   * `/v1/…` with at most one `{member}` of the input, which may span slashes, and an optional
   * `:verb` at the end (AIP-136).
   */
  readonly path: string;
  /**
   * Where members that are not in the path come from. `none`: the query. `json`: a JSON body.
   * `value`: the query, and the body is a secret value, raw bytes that never become a string.
   */
  readonly body: 'none' | 'json' | 'value';
  /** What the reply is: `json` by the output schema, or one of the streams. */
  readonly reply: 'json' | 'events' | 'file';
  readonly input: Schema<Input>;
  readonly output: Schema<Output>;
  /** What policy decides on and audit records: `secrets/payments/db-password`. */
  readonly resource: (input: Input) => string;
  /** `read` changes nothing; `change` has one atomic effect. */
  readonly effect: 'read' | 'change';
  /**
   * `permission`: a role must allow it. `self`: whoever has a token may, because it is about themselves
   * alone. `public`: proves itself by other means, and says which.
   */
  readonly access: 'permission' | 'self' | { readonly publicBecause: string };
  /** Whether it works while the gateway is sealed. */
  readonly whileSealed?: true;
  /** PUT, PATCH and DELETE of an existing object state the revision they saw (If-Match). */
  readonly preconditioned?: true;
  /** About one object that has a revision: the answer has an ETag, and a change may state the one it saw. */
  readonly revisioned?: true;
  /** Its answer lets somebody in: never rehearsed, never kept to be answered again. */
  readonly credential?: true;
}

export function operation<Input, Output>(
  definition: Operation<Input, Output>,
): Operation<Input, Output> {
  return definition;
}

export type InputOf<O> = O extends { readonly input: Schema<infer Input> } ? Input : never;
export type OutputOf<O> = O extends { readonly output: Schema<infer Output> } ? Output : never;
