/**
 * Faults: operating errors with a stable code. One class, one table (`fault-table.ts`); a bug is an
 * assertion instead (`assert.ts`).
 *
 * A fault's message is built from its code and detail. The detail may be shown, logged and audited,
 * so nothing that came from a secret may be put into it. The cause stays in the process.
 */
import { type FaultCode, type FaultSpec, faults } from './fault-table.ts';

/** Facts about a fault. Values are shown to people: ids, names, counts, places. Never values. */
export type FaultDetail = Readonly<Record<string, string | number | boolean | undefined>>;

/** One thing wrong with one place of an input. `pointer` is an RFC 6901 JSON pointer. */
export interface FaultError {
  readonly pointer: string;
  readonly detail: string;
}

export interface FaultOptions extends ErrorOptions {
  readonly errors?: readonly FaultError[];
}

export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  readonly detail: FaultDetail;
  readonly errors: readonly FaultError[];

  constructor(code: FaultCode, detail: FaultDetail = {}, options: FaultOptions = {}) {
    super(formatMessage(code, detail), options);
    this.code = code;
    this.detail = detail;
    this.errors = options.errors ?? [];
  }

  get spec(): FaultSpec {
    return faults[this.code];
  }
}

/** The same fault anew, for one more who is told of it: its stack is theirs. */
export function repeatFault(fault: Fault): Fault {
  return new Fault(fault.code, fault.detail, { cause: fault, errors: fault.errors });
}

export function isFault(error: unknown, code?: FaultCode): error is Fault {
  return error instanceof Fault && (code === undefined || error.code === code);
}

/** The code of an error as it may be shown to anyone: bugs show nothing but that they are bugs. */
export function codeOf(error: unknown): FaultCode {
  return error instanceof Fault ? error.code : 'gateway.bug';
}

function formatMessage(code: FaultCode, detail: FaultDetail): string {
  const facts = Object.entries(detail)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? JSON.stringify(value) : value}`);
  return [code, ...facts].join(' ');
}
