/**
 * `group put` and `grant put`: what they replace and whom that concerns is said before it is done, and
 * where a running container would lose a secret, asked.
 */
import type { CallOptions } from '../client/client.ts';
import { isPlainObject } from '../base/schema.ts';
import type { PolicyImpactView } from '../protocol/operations-policy.ts';
import type { Given } from './given.ts';
import { confirmByName } from './interaction.ts';
import { revisionOrNew } from './operation-command.ts';
import { impactLines, noteWarnings } from './policy-impact.ts';
import type { Session } from './session.ts';
import { unifiedDiff } from './unified-diff.ts';
import { visibleLines } from '../base/visible-text.ts';
import { formatYaml } from './yaml-text.ts';

type PutView = PolicyImpactView & {
  readonly revision: number;
  readonly warnings: readonly string[];
};

export interface PolicyPut<Was, View extends Was & PutView> {
  /** `grant/payments-api` */
  readonly subject: string;
  readonly name: string;
  /** What is there now. */
  readonly read: () => Promise<{ readonly output: Was; readonly revision?: number }>;
  readonly documentOf: (view: Was) => object;
  /** @returns undefined if it ended there: `--dry-run=client`. */
  readonly put: (options: CallOptions) => Promise<View | undefined>;
  readonly show: (view: View) => Promise<void>;
}

export async function putPolicy<Was, View extends Was & PutView>(
  session: Session,
  given: Given,
  what: PolicyPut<Was, View>,
): Promise<void> {
  if (session.isExplaining || session.dryRun === 'client') {
    await what.put({});
    return;
  }
  let before: Was | undefined;
  const ifRevision = await revisionOrNew(async () => {
    const reply = await what.read();
    before = reply.output;
    return reply;
  });
  const rehearsed = await what.put({ ifRevision, dryRun: true });
  if (!rehearsed) return;
  noteWarnings(session, what.subject, rehearsed.warnings);
  if (before !== undefined) noteReplaced(session, what, before, rehearsed);
  if (session.dryRun === 'server') {
    noteImpact(session, what.subject, rehearsed);
    await what.show(rehearsed);
    return;
  }
  await confirmLosses(session, given, what, rehearsed);
  const done = await what.put({ ifRevision });
  if (!done) return;
  await what.show(done);
  noteImpact(session, what.subject, done);
}

function noteReplaced<Was, View extends Was & PutView>(
  session: Session,
  { subject, documentOf }: PolicyPut<Was, View>,
  before: Was,
  after: View,
): void {
  const names = { before: `a/${subject}`, after: `b/${subject}` };
  const textOf = (view: Was): string => formatYaml(inOrder(documentOf(view)));
  const diff = unifiedDiff(textOf(before), textOf(after), names);
  session.note(diff === '' ? `${subject} is unchanged` : `replaces ${subject}:`);
  if (diff !== '') session.note(visibleLines(diff).trimEnd());
}

/** Members by name, so that the order in which they were typed is no difference. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (!isPlainObject(value)) return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([key, member]) => [key, inOrder(member)]));
}

/** A group of which nobody is a member, or that is granted nothing, concerns nobody: no word about that. */
function noteImpact(session: Session, subject: string, view: PolicyImpactView): void {
  if (view.impactTotal === 0 && subject.startsWith('group/')) return;
  for (const line of impactLines(view)) session.note(visibleLines(line));
}

async function confirmLosses(
  session: Session,
  given: Given,
  what: { readonly name: string },
  rehearsed: PolicyImpactView,
): Promise<void> {
  const impact = rehearsed.impact.filter(({ loses }) => loses.length > 0);
  if (impact.length === 0) return;
  await confirmByName(session, {
    name: what.name,
    what: impactLines({ ...rehearsed, impact }),
    yes: given.flag('yes'),
  });
}
