/**
 * What went wrong, for people, in the one shape that all programs have: what failed, on which server,
 * what was missing, what to do next, and the request id to ask about. With `-o json`: the same as one
 * line of RFC 9457.
 */
import { Fault, isFault } from '../base/fault.ts';
import { errorFields } from '../base/log.ts';
import { problemOf } from './problem.ts';
import { makePaint, type Paint } from '../base/paint.ts';
import type { ProgramIo } from '../base/program.ts';
import { jsonText, visible } from '../base/visible-text.ts';

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

/**
 * Runs a program, and says what ended it.
 *
 * @param command - As it is called: `gateway`, `backup restore`.
 * @returns the exit code
 */
export async function reportingFaults(
  io: ProgramIo,
  { command, json = false }: { readonly command: string; readonly json?: boolean },
  run: () => Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const paint = makePaint(io, 'stderr', undefined);
    io.stderr.write(formatProblem(error, { command, where: undefined, json, paint }));
    return isFault(error) ? error.spec.exit : 1;
  }
}

/** Then it is said in a line that editors can follow. */
function isInFile({ detail }: Fault): boolean {
  return detail['line'] !== undefined && detail['column'] !== undefined;
}

/** The code, then the facts that are not said in lines of their own. */
function sentenceOf(fault: Fault): string {
  if (fault.code === 'cli.usage') return String(fault.detail['problem']);
  const { what, problem } = fault.detail;
  // `request.invalid: --listen must be host:port`
  const isSaid = what !== undefined && problem !== undefined && fault.errors.length === 0;
  const code = isSaid ? `${fault.code}: ${String(what)} ${String(problem)}` : fault.code;
  const said = new Set([
    'requestId',
    'action',
    'didYouMean',
    'retryAfterSeconds',
    fault.errors.length > 0 ? 'at' : '',
  ]);
  if (isSaid) for (const fact of ['what', 'problem', 'at']) said.add(fact);
  if (isInFile(fault)) for (const fact of ['file', 'line', 'column', 'problem']) said.add(fact);
  if (fault.errors.length > 0) said.add('problem');
  const facts = Object.entries(fault.detail)
    .filter(([key, value]) => value !== undefined && value !== '' && !said.has(key))
    .map(([key, value]) => `${key} ${String(value)}`);
  const sentence = facts.length === 0 ? code : `${code} (${facts.join(', ')})`;
  const { didYouMean } = fault.detail;
  return didYouMean === undefined ? sentence : `${sentence}; did you mean ${String(didYouMean)}?`;
}

function nextStep(error: unknown, fault: Fault): string {
  if (isFault(error)) return fault.spec.hint;
  // A bug of ours: its class and place, never its text, which may hold input.
  const { error: name, at } = errorFields(error);
  return `This is a defect of Cofferdam: report ${String(name)} ${String(at ?? '')}`.trim();
}
