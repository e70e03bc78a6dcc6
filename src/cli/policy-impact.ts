/** What a change of policy does to running containers, and what deserves a second look, in words. */
import type { PolicyImpactView } from '../protocol/operations-policy.ts';
import { count } from './holders.ts';
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

const sentences: Readonly<Record<string, string>> = {
  'labels-only':
    'whoever may start a container can satisfy it; an image digest or a node cannot be chosen',
  'matches-everything': 'every container of every node is in it',
  'matches-nothing': 'no running container is in it now',
  'kubernetes-unreported': 'it asks for a pod, and no node reports pods: nothing can match it',
  'secret-withheld': 'so nobody receives it now',
  'secret-unknown': 'there is no such secret yet; it is delivered once there is',
};

/** `secret-unknown: payments/db` → that, and what it means. */
export function warningText(warning: string): string {
  const [code = ''] = warning.split(':');
  const sentence = sentences[code];
  return sentence === undefined ? warning : `${warning} (${sentence})`;
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
