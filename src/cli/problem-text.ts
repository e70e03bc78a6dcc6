/**
 * What went wrong, for people: what failed, on which server, what was missing, what to do next, and
 * the request id to ask about. With `-o json`: the same as one line of RFC 9457.
 */
import { Fault, isFault } from '../base/fault.ts';
import { errorFields } from '../base/log.ts';
import { problemOf } from '../protocol/problem.ts';
import type { Paint } from './paint.ts';
import { jsonText, visible } from './visible-text.ts';

export interface ProblemPlace {
  readonly command: string;
  /** Undefined before anything was connected to. */
  readonly where: string | undefined;
  readonly json: boolean;
  readonly paint: Paint;
}

/** @returns whole lines for standard error. */
export function formatProblem(error: unknown, place: ProblemPlace): string {
  const fault = isFault(error) ? error : new Fault('gateway.bug');
  const requestId = fault.detail['requestId'];
  const id = typeof requestId === 'string' ? requestId : '';
  if (place.json) return `${jsonText(problemOf(error, id))}\n`;
  const { paint } = place;
  const subject = place.command === '' ? 'coffer' : `coffer ${place.command}`;
  const lines = [`${paint('red', 'error')}: ${subject}: ${visible(sentenceOf(fault))}`];
  if (isInFile(fault)) {
    const { file, line, column, problem } = fault.detail;
    lines.push(`  at       ${visible(`${String(file)}:${line}:${column} ${String(problem)}`)}`);
  }
  for (const { pointer, detail } of fault.errors.slice(0, 20)) {
    lines.push(`  at       ${visible(pointer === '' ? '/' : pointer)}: ${visible(detail)}`);
  }
  if (fault.errors.length > 20) lines.push(`  …and ${fault.errors.length - 20} more`);
  const { action, resource } = fault.detail;
  if (typeof action === 'string' && typeof resource === 'string') {
    lines.push(`  missing  ${visible(action)} on ${visible(resource)}`);
  }
  if (place.where !== undefined) lines.push(`  server   ${place.where}`);
  lines.push(`  next     ${nextStep(error, fault)}`);
  if (id !== '') lines.push(`  request  ${visible(id)}`);
  return `${lines.join('\n')}\n`;
}

/** Then it is said in a line that editors can follow. */
function isInFile({ detail }: Fault): boolean {
  return detail['line'] !== undefined && detail['column'] !== undefined;
}

/** The code, then the facts that are not said in lines of their own. */
function sentenceOf(fault: Fault): string {
  if (fault.code === 'cli.usage') return String(fault.detail['problem']);
  const said = new Set(['requestId', 'action', 'didYouMean', fault.errors.length > 0 ? 'at' : '']);
  if (isInFile(fault)) for (const fact of ['file', 'line', 'column', 'problem']) said.add(fact);
  if (fault.errors.length > 0) said.add('problem');
  const facts = Object.entries(fault.detail)
    .filter(([key, value]) => value !== undefined && !said.has(key))
    .map(([key, value]) => `${key} ${String(value)}`);
  const sentence = facts.length === 0 ? fault.code : `${fault.code} (${facts.join(', ')})`;
  const { didYouMean } = fault.detail;
  return didYouMean === undefined ? sentence : `${sentence}; did you mean ${String(didYouMean)}?`;
}

function nextStep(error: unknown, fault: Fault): string {
  if (isFault(error)) return fault.spec.hint;
  // A bug of ours: its class and place, never its text, which may hold input.
  const { error: name, at } = errorFields(error);
  return `This is a defect of Cofferdam: report ${String(name)} ${String(at ?? '')}`.trim();
}
