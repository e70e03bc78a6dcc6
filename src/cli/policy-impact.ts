/** What a change of policy does to running containers, and what deserves a second look, in words. */
import type { PolicyImpactView } from '../protocol/operations-policy.ts';
import { count } from '../base/count.ts';
import type { Session } from './session.ts';
import { visible } from '../base/visible-text.ts';

/** Containers that are named one by one before the rest is counted. */
const impactShownMax = 20;

export function impactLines({ impact, impactTotal }: PolicyImpactView): readonly string[] {
  if (impactTotal === 0) return ['no running container is affected'];
  const shown = impact.slice(0, impactShownMax).map(({ workload, node, ...changes }) => {
    const { gains, loses, updates } = changes;
    const parts = [
      ...(gains.length > 0 ? [`gains ${gains.join(', ')}`] : []),
      ...(loses.length > 0 ? [`loses ${loses.join(', ')}`] : []),
      ...(updates.length > 0 ? [`changes ${updates.join(', ')}`] : []),
    ];
    return `  ${workload} on ${node} ${parts.join('; ')}`;
  });
  const more = impactTotal - shown.length;
  return [
    `${count(impactTotal, 'running container')} affected:`,
    ...shown,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}

/** What follows a warning, from its punctuation on. */
const sentences: Readonly<Record<string, string>> = {
  'labels-only':
    ': anyone who can start a container can match this group. Add an image digest or a node, which they cannot fake.',
  'matches-everything': ': every container, or every one of a runtime, matches this group.',
  'matches-nothing': ': no running container matches this group now.',
  'kubernetes-unreported':
    ': the group asks for a pod, but no node reports pods, so nothing can match it.',
  'secret-withheld': ', so no container receives it now.',
  'target-nested':
    ': another grant puts files there, in a container that receives both. One of the two directories lies inside the other, so only one can be mounted. Put them beside each other.',
  'secret-unknown': ': this secret does not exist yet. It will be delivered once it does.',
};

/** `secret-unknown: payments/db` → that, and what it means. */
export function warningText(warning: string): string {
  const [code = ''] = warning.split(':');
  return `${warning}${sentences[code] ?? ''}`;
}

/** One line of standard error for each. */
export function noteWarnings(session: Session, subject: string, warnings: readonly string[]): void {
  const paint = session.paint('stderr');
  for (const warning of warnings) {
    session.warn(
      `${paint('yellow', 'warning')}: ${visible(`${subject}: ${warningText(warning)}`)}`,
    );
  }
}
