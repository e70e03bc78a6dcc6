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

/** Facts that are said elsewhere or are of no use to people. */
const unsaid: ReadonlySet<string> = new Set([
  'requestId',
  'didYouMean',
  'retryAfterSeconds',
  'action',
]);

/** Facts that need no name to be understood. */
const reasons: ReadonlySet<string> = new Set(['problem', 'reason', 'because']);

/**
 * What went wrong as a sentence for people, without a full stop: the first sentence of the table whose
 * facts are all there, then the facts that it leaves out.
 *
 * @param omitted - Facts that the caller says elsewhere.
 */
export function sentenceOf(fault: Fault, omitted: readonly string[] = []): string {
  const { title, says = [] } = fault.spec;
  const facts = new Map(
    Object.entries(fault.detail).filter(
      ([key, value]) => value !== undefined && value !== '' && !omitted.includes(key),
    ),
  );
  const namesOf = (template: string): readonly string[] =>
    [...template.matchAll(placeholder)].map(([, , key = '']) => key);
  const template = says.find((candidate) => namesOf(candidate).every((key) => facts.has(key)));
  const sentence = (template ?? title).replaceAll(placeholder, (_all, named, key: string) => {
    const fact = String(facts.get(key));
    return named === undefined ? fact : nameOfResource(fact);
  });
  for (const key of [...namesOf(template ?? ''), ...unsaid]) facts.delete(key);
  const rest = [...facts].map(([key, value]) =>
    reasons.has(key) ? String(value) : `${wordsOf(key)} ${String(value)}`,
  );
  return rest.length === 0 ? sentence : `${sentence} (${rest.join(', ')})`;
}

const placeholder = /\{(named )?([A-Za-z]+)\}/g;

/** `secrets/payments/db` → `secret payments/db` */
function nameOfResource(resource: string): string {
  const at = resource.indexOf('/');
  return at < 0 ? resource : `${resource.slice(0, at).replace(/s$/, '')} ${resource.slice(at + 1)}`;
}

/** `keyFile` → `key file` */
function wordsOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function formatMessage(code: FaultCode, detail: FaultDetail): string {
  const facts = Object.entries(detail)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? JSON.stringify(value) : value}`);
  return [code, ...facts].join(' ');
}
