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
import { cpuMsOf, memoryOf, quantile } from './report.ts';
import { grantAt, groupAt, labelsAt, type ScaleSizes, secretAt } from './scale-store.ts';
import { sharedMs } from './shared-clock.ts';

interface Took {
  readonly tookMs: number;
  readonly cpuMs: number;
}

export interface ScaleMeasured {
  readonly startedS: number;
  readonly startedCpuS: number;
  readonly startedMib: number;
  readonly deliveredS: number;
  readonly residentMib: number;
  /** By what was changed, in milliseconds. */
  readonly changes: Readonly<Record<string, readonly number[]>>;
  /** By what was asked, in milliseconds. */
  readonly reads: Readonly<Record<string, readonly number[]>>;
}

const rounds = 100;
const waitMsMax = 1_200_000;
const [directory = '', sizesText = '{}'] = process.argv.slice(2);
const sizes = JSON.parse(sizesText) as ScaleSizes;
const perGroup = sizes.workloads / sizes.grants;
/** Sets handed to connections so far. */
const handed = { sets: 0, wanted: 0, reached: (): void => {} };

const beganMs = sharedMs();
const bench = await openBenchCore(directory);
const startedS = (sharedMs() - beganMs) / 1000;
const startedCpuS = cpuMsOf(process.pid) / 1000;
progress(`started in ${startedS.toFixed(1)} s`);
const startedMib = memoryOf(process.pid).residentMib;
const deliveringMs = sharedMs();
// As the node port does when everything was loaded anew.
bench.core.delivery.changed();
connectNodes(bench);
await untilSent(sizes.workloads);
const deliveredS = (sharedMs() - deliveringMs) / 1000;
progress(`delivered in ${deliveredS.toFixed(1)} s`);
await quiet();
const principal = await bench.owner('changer');
const changes = await change(bench);
const reads = await read(bench);
const { residentMib } = memoryOf(process.pid);
const measured: ScaleMeasured = {
  startedS,
  startedCpuS,
  startedMib,
  deliveredS,
  residentMib,
  changes,
  reads,
};
process.send?.(measured, () => process.exit(0));

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

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
      if (handed.sets === handed.wanted) handed.reached();
      const { workloadId, target, setRevision, terms } = set;
      const files = set.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
      const outcome = files.length === 0 ? 'gone' : 'placed';
      const said = { workloadId, target, setRevision, terms, files, outcome } as const;
      setImmediate(() => delivery.receipt(node, { ...said, fault: '', tookUs: 1 }));
    };
    delivery.connected(node, { send, ready: true }, { workloads, held: [] });
  }
}

/** Waits without doing anything, so that what the processor does is the gateway's. */
async function untilSent(count: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const said = (): string => `${handed.sets} of ${count} sets sent`;
  const saying = setInterval(() => progress(said()), 10_000);
  const ending = setTimeout(() => reject(new Error(said())), waitMsMax);
  handed.wanted = count;
  handed.reached = resolve;
  if (handed.sets >= count) resolve();
  await promise.finally(() => {
    clearInterval(saying);
    clearTimeout(ending);
  });
}

/** Until the receipts are recorded: until the log has not grown for a while. */
async function quiet(): Promise<void> {
  const { audit } = bench.core;
  for (let size = -1; size !== audit.size; ) {
    size = audit.size;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * From a change being committed to the last set it makes due being decided, recorded and handed to its
 * node's connection: for the workloads of one group.
 */
async function change({ core, requests }: BenchCore) {
  const until = async (sets: number, begin: () => void): Promise<Took> => {
    const before = handed.sets;
    const beginMs = sharedMs();
    const { user, system } = process.threadCpuUsage();
    begin();
    await untilSent(before + sets);
    const tookMs = sharedMs() - beginMs;
    const used = process.threadCpuUsage({ user, system });
    const cpuMs = (used.user + used.system) / 1000;
    // The receipts first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { tookMs, cpuMs };
  };
  const handle = async (operation: string, input: object, more: object = {}): Promise<Took> => {
    await requests.handle({ operation, principal, input, requestId: 'bench', ...more } as never);
    return until(perGroup, () => core.delivery.changed());
  };
  const changes: Record<string, number[]> = {};
  const took = (what: string, { tookMs, cpuMs }: Took): void => {
    (changes[`${what} → decided, recorded, sent`] ??= []).push(tookMs);
    (changes[`${what}: processor time of that`] ??= []).push(cpuMs);
  };
  for (let round = 0; round < rounds; round += 1) {
    const index = (round * 97) % (sizes.grants - 1);
    const name = parseSecretName(secretAt(index * sizes.granted));
    const value = SecretValue.copy(Buffer.from(`changed in round ${round}`));
    took('secret put', await handle('secret.put', { name }, { value }));
    const grant = { ...grantAt(index, sizes.granted), onChange: { signal: 'SIGHUP' } };
    const grantRevision = core.policy.grant(parseName(groupAt(index)))?.revision;
    took('grant put', await handle('grant.put', grant, { ifRevision: grantRevision }));
    // Another group's workloads instead of its own: these come in and those go out.
    const match = { docker: { labels: labelsAt(index + 1) } };
    const group = { name: parseName(groupAt(index)), match };
    const groupRevision = core.policy.group(parseName(groupAt(index)))?.revision;
    took('group put', await handle('group.put', group, { ifRevision: groupRevision }));
    const node = `node-${index % sizes.nodes}`;
    const started = fakeWorkload(node, sizes.workloads + round, labelsAt(sizes.grants - 1));
    took('workload start', await until(1, () => core.delivery.workloadStarted(node, started)));
    core.delivery.workloadStopped(node, started.id);
  }
  for (const [what, all] of Object.entries(changes))
    progress(`${what} p50 ${quantile(all, 0.5)} ms`);
  return changes;
}

/** What people ask, and what holds the gateway up while it answers. */
async function read({ requests }: BenchCore) {
  const reads: Record<string, number[]> = {};
  const ask = async (what: string, operation: string, input: object): Promise<void> => {
    const beganMs = sharedMs();
    await requests.handle({ operation, principal, input, requestId: 'bench' } as never);
    (reads[what] ??= []).push(sharedMs() - beganMs);
  };
  for (let round = 0; round < 20; round += 1) {
    const secret = secretAt((round * 97 + 5) * sizes.granted);
    const workload = fakeWorkload(`node-${round}`, round).id;
    await ask('page of secrets', 'secret.list', { prefix: `team-${round}` });
    await ask('page of secrets by a label that none has', 'secret.list', { selector: 'a=b' });
    await ask('who can', 'access.who-can', { secret });
    await ask('explain', 'access.explain', { workload, secret });
    await ask('page of groups', 'group.list', {});
    await ask('page of workloads', 'workload.list', {});
    await ask('page of holdings', 'holding.list', {});
  }
  return reads;
}
