/**
 * What went wrong, for people, in the one shape that all programs have: what failed and why, with its
 * code, on which server, what to do next, and the request id to ask about. With `-o json`: the same as one
 * line of RFC 9457.
 */
import { Fault, type FaultError, isFault, sentenceOf } from '../base/fault.ts';
import { errorFields } from '../base/log.ts';
import { problemOf } from './problem.ts';
import { saidHow } from '../base/command-line.ts';
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
  const { didYouMean } = fault.detail;
  const guess = didYouMean === undefined ? '' : `. Did you mean ${String(didYouMean)}?`;
  // Of a wrong command line the code says nothing more.
  const code = fault.code === 'cli.usage' ? '' : ` [${fault.code}]`;
  const lines = [
    `${paint('red', 'error')}: ${subject}: ${visible(`${summaryOf(fault)}${guess}${code}`)}`,
    ...placesOf(fault).map((line) => `  at       ${visible(line)}`),
  ];
  if (fault.errors.length > errorsMax) lines.push(`  …and ${fault.errors.length - errorsMax} more`);
  if (place.where !== undefined) lines.push(`  server   ${place.where}`);
  lines.push(`  next     ${nextStep(error, fault, place)}`);
  if (id !== '') lines.push(`  request  ${visible(id)}`);
  return `${lines.join('\n')}\n`;
}

/**
 * Runs a program, and says what ended it.
 *
 * @param how.command - As it is called: `gateway`, `backup restore`.
 * @param how.argv - What was typed: it may say in which form a failure is shown.
 * @returns the exit code
 */
export async function reportingFaults(
  io: ProgramIo,
  { command, argv }: { readonly command: string; readonly argv: readonly string[] },
  run: () => Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const { output = io.env['COFFER_OUTPUT'], color = io.env['COFFER_COLOR'] } = saidHow(argv);
    const json = output === 'json';
    const paint = makePaint(io, 'stderr', color);
    io.stderr.write(formatProblem(error, { command, where: undefined, json, paint }));
    return isFault(error) ? error.spec.exit : 1;
  }
}

const errorsMax = 20;

/** What went wrong, without the places that have lines of their own. */
function summaryOf(fault: Fault): string {
  const [only] = fault.errors;
  if (only && fault.errors.length === 1 && !isInFile(only.pointer))
    return sayError(fault, only, ' ');
  if (only) return fault.spec.title;
  const { line, column, problem } = fault.detail;
  if (line === undefined || column === undefined) return sentenceOf(fault);
  return sentenceOf(fault, ['line', 'column', ...(problem === undefined ? [] : placeFacts)]);
}

const placeFacts = ['file', 'what', 'problem'];

/** Each in a form that editors can follow, where it is in a file. */
function placesOf(fault: Fault): readonly string[] {
  const { errors, detail } = fault;
  const [only] = errors;
  if (only && (errors.length > 1 || isInFile(only.pointer))) {
    return errors.slice(0, errorsMax).map((error) => sayError(fault, error, ': '));
  }
  const { file, what, line, column, problem = '' } = detail;
  if (only || line === undefined || column === undefined) return [];
  return [`${String(file ?? what)}:${line}:${column} ${String(problem)}`.trimEnd()];
}

/** An error of the whole is said of what it is the whole of: `--key must be …`. */
function sayError(fault: Fault, { pointer, detail }: FaultError, between: string): string {
  return `${pointer || String(fault.detail['what'] ?? '/')}${between}${detail}`;
}

/** `policy.yaml:3:1` */
function isInFile(pointer: string): boolean {
  return /:\d+:\d+/.test(pointer);
}

function nextStep(error: unknown, fault: Fault, { command }: ProblemPlace): string {
  if (fault.code === 'cli.usage' && command !== '') return `See \`coffer ${command} --help\`.`;
  if (isFault(error)) return fault.spec.hint;
  // A bug of ours: its class and place, never its text, which may hold input.
  const { error: name, at } = errorFields(error);
  return `This is a defect in Cofferdam: report ${String(name)} ${String(at ?? '')}`.trim();
}
