/** `coffer doctor`: each step from here to the gateway, and what a node needs; with what to do. */
import type { CommandSpec } from './command-spec.ts';
import { gatewayChecks } from './doctor-gateway.ts';
import { isNode, nodeChecks } from './doctor-node.ts';
import { showText } from './output.ts';
import { needed } from './permissions.ts';
import type { Session } from './session.ts';
import { formatRows } from './table.ts';
import { visible } from '../base/visible-text.ts';

export interface Finding {
  readonly check: string;
  readonly result: 'pass' | 'warn' | 'fail' | 'skip';
  readonly found: string;
  /** What to do, unless all is well. */
  readonly fix?: string;
}

const colours = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;

const doctor: CommandSpec = {
  name: 'doctor',
  summary: 'Check each step from here to the gateway, and this node',
  details:
    'Exits with 1 if a check fails. On a node, or with --node, it also checks the kernel and the engine.',
  examples: ['coffer doctor', 'coffer doctor --node', "coffer doctor -o json | jq '.items[]'"],
  options: [
    { flags: '--node', about: 'also check what an enforcer needs on this machine' },
    { flags: '--engine-socket <path>', about: 'socket of the container engine' },
    { flags: '--state <directory>', about: 'state directory of the enforcer' },
  ],
  // Whoever may not ask for the status is told that the token is good, and no more.
  permissions: () => [needed('system.seal-status')],
  async run(session, given) {
    const findings: Finding[] = [];
    for await (const finding of gatewayChecks(session)) findings.push(finding);
    const places = {
      socket: given.text('engineSocket') ?? '/var/run/docker.sock',
      state: given.text('state') ?? '/var/lib/coffer/enforcer',
    };
    if (given.flag('node') || (await isNode(places))) {
      for await (const finding of nodeChecks(session, places)) findings.push(finding);
    }
    await showText(
      session,
      { items: findings },
      {
        name: 'doctor',
        text: () => findingsText(session, findings),
      },
    );
    return findings.some(({ result }) => result === 'fail') ? 1 : 0;
  },
};

function findingsText(session: Session, findings: readonly Finding[]): string {
  const paint = session.paint('stdout');
  const lines = formatRows(
    findings.map(({ check, result, found }) => [result, check, found].map(visible)),
  ).split('\n');
  return findings
    .map(({ result, fix }, at) => {
      const line = lines[at]?.replace(/^\w+/, (word) => paint(colours[result], word)) ?? '';
      return fix === undefined ? `${line}\n` : `${line}\n       fix: ${visible(fix)}\n`;
    })
    .join('');
}

export const commands: readonly CommandSpec[] = [doctor];
