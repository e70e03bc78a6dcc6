/**
 * What somebody may have meant by a name that the gateway does not know. Only what the caller may list
 * is suggested, and nobody waits long for it.
 */
import { Fault, isFault } from '../base/fault.ts';
import type { CommandSpec, WordKind } from './command-spec.ts';
import type { Given } from './given.ts';
import { liveNames } from './live-names.ts';
import { nearest } from '../base/nearest-word.ts';
import type { Session } from './session.ts';

const waitMsMax = 1000;

type LiveKind = Exclude<WordKind, 'file' | 'context'>;

/** @returns the fault, with the name that was typed, and `didYouMean` if something is near enough. */
export async function withSuggestion(
  problem: unknown,
  session: Session,
  { words = [] }: CommandSpec,
  given: Given,
): Promise<unknown> {
  if (!isFault(problem, 'resource.unknown') && !isFault(problem, 'group.unknown')) return problem;
  const { resource, kind: said } = problem.detail;
  const collection = typeof resource === 'string' ? resource.split('/')[0] : undefined;
  const kind = isFault(problem, 'group.unknown') ? 'group' : (collection?.slice(0, -1) ?? said);
  const word =
    words.find(({ kind: of }) => of === kind || of === `deleted-${kind}`) ??
    words.find(({ kind: of }) => of === 'grant');
  const typed = word && given.maybeWord(word.name);
  if (!isLive(kind) || typed === undefined) return problem;
  const among = word?.kind === 'deleted-secret' ? word.kind : kind;
  const near = await nearestName(session, among, typed);
  // The gateway does not repeat a word that may be a value. Whoever typed it has it on the screen.
  const name = resource === undefined && said === kind ? { name: typed } : {};
  const detail = { ...problem.detail, ...name, didYouMean: near };
  return new Fault(problem.code, detail, { errors: problem.errors, cause: problem });
}

/** @returns undefined if nothing is near enough, or it cannot be known in time. */
export async function nearestName(
  session: Session,
  kind: LiveKind,
  typed: string,
): Promise<string | undefined> {
  const known = await soon(session, namesNear(session, kind, typed)).catch(() => []);
  const near = nearest(typed, known);
  return near === typed ? undefined : near;
}

function isLive(kind: unknown): kind is LiveKind {
  return ['secret', 'group', 'grant', 'node', 'workload'].includes(kind as string);
}

async function namesNear(
  session: Session,
  kind: LiveKind,
  typed: string,
): Promise<readonly string[]> {
  const folder = typed.slice(0, typed.lastIndexOf('/') + 1);
  const beside = await liveNames(session, kind, folder);
  if (!kind.endsWith('secret') || folder === '' || nearest(typed, beside) !== undefined)
    return beside;
  return await liveNames(session, kind, '');
}

async function soon<T>(session: Session, answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = session.io.clock.setTimer(waitMsMax, () => reject(new Fault('cli.timeout')));
  try {
    return await Promise.race([answer, promise]);
  } finally {
    timer.cancel();
  }
}
