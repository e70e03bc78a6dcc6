/**
 * The process that `scale` measures: opens the store, takes the nodes' reports, and makes changes. Under
 * the flags of the product. Says what it measured as JSON, in one message.
 *
 * usage: scale-core.ts <directory> <sizes as JSON>
 */
import { parseName, parseSecretName } from '../src/model/name.ts';
import type { AssignedSet } from '../src/model/assignment.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { type BenchCore, openBenchCore } from './core.ts';
import { fakeWorkload } from './fleet-workload.ts';
import { memoryOf } from './report.ts';
import { grantAt, groupAt, labelsAt, type ScaleSizes, secretAt } from './scale-store.ts';
import { sharedMs } from './shared-clock.ts';

export interface ScaleMeasured {
  readonly startedS: number;
  readonly startedMib: number;
  readonly deliveredS: number;
  readonly residentMib: number;
  /** By what was changed, in milliseconds. */
  readonly changes: Readonly<Record<string, readonly number[]>>;
}

const rounds = 100;
const [directory = '', sizesText = '{}'] = process.argv.slice(2);
const sizes = JSON.parse(sizesText) as ScaleSizes;
const perGroup = sizes.workloads / sizes.grants;
/** Sets handed to connections so far. */
const handed = { sets: 0 };

const beganMs = sharedMs();
const bench = await openBenchCore(directory);
const startedS = (sharedMs() - beganMs) / 1000;
const startedMib = memoryOf(process.pid).residentMib;
const deliveringMs = sharedMs();
connectNodes(bench);
await untilSent(sizes.workloads);
const deliveredS = (sharedMs() - deliveringMs) / 1000;
const changes = await change(bench);
const { residentMib } = memoryOf(process.pid);
const measured: ScaleMeasured = { startedS, startedMib, deliveredS, residentMib, changes };
process.send?.(measured, () => process.exit(0));

/** Nodes that acknowledge at once. */
function connectNodes({ core: { delivery } }: BenchCore): void {
  const each = sizes.workloads / sizes.nodes;
  for (let at = 0; at < sizes.nodes; at += 1) {
    const node = `node-${at}`;
    const workloads = Array.from({ length: each }, (_, index) =>
      fakeWorkload(node, index, labelsAt((at * each + index) % sizes.grants)),
    );
    const send = (set: AssignedSet): void => {
      handed.sets += 1;
      const { workloadId, target, setRevision, terms } = set;
      const files = set.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
      const outcome = files.length === 0 ? 'gone' : 'placed';
      const said = { workloadId, target, setRevision, terms, files, outcome } as const;
      setImmediate(() => delivery.receipt(node, { ...said, fault: '', tookUs: 1 }));
    };
    delivery.connected(node, { send, ready: true }, { workloads, held: [] });
  }
}

async function untilSent(count: number): Promise<void> {
  const startedMs = sharedMs();
  while (handed.sets < count) {
    if (sharedMs() - startedMs > 300_000) throw new Error(`${handed.sets} of ${count} sets sent`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * From a change being committed to the last set it makes due being decided, recorded and handed to its
 * node's connection: for the workloads of one group.
 */
async function change(opened: BenchCore) {
  const { core, requests } = opened;
  const principal = await opened.owner('changer');
  const handle = async (operation: string, input: object, more: object = {}): Promise<number> => {
    const before = handed.sets;
    await requests.handle({ operation, principal, input, requestId: 'bench', ...more } as never);
    const committedMs = sharedMs();
    core.delivery.changed();
    await untilSent(before + perGroup);
    const tookMs = sharedMs() - committedMs;
    // The receipts first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return tookMs;
  };
  const changes: Record<string, number[]> = { 'secret put': [], 'grant put': [], 'group put': [] };
  for (let round = 0; round < rounds; round += 1) {
    const index = (round * 97) % (sizes.grants - 1);
    const name = parseSecretName(secretAt(index * sizes.granted));
    const value = SecretValue.copy(Buffer.from(`changed in round ${round}`));
    changes['secret put']?.push(await handle('secret.put', { name }, { value }));
    const grant = { ...grantAt(index, sizes.granted), onChange: { signal: 'SIGHUP' } };
    const grantRevision = core.policy.grant(parseName(groupAt(index)))?.revision;
    changes['grant put']?.push(await handle('grant.put', grant, { ifRevision: grantRevision }));
    // Another group's workloads instead of its own: these come in and those go out.
    const match = { docker: { labels: labelsAt(index + 1) } };
    const group = { name: parseName(groupAt(index)), match };
    const groupRevision = core.policy.group(parseName(groupAt(index)))?.revision;
    changes['group put']?.push(await handle('group.put', group, { ifRevision: groupRevision }));
  }
  return changes;
}
