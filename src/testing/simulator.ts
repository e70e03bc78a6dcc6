/**
 * The simulator: real gateway and enforcer code over virtual time, seeded chance, and a disk, a network
 * and a kernel that fail. One seed is one run.
 *
 *   node src/testing/simulator.ts --seed 42 [--steps 40] [--verbose]
 *   node src/testing/simulator.ts --from 1 --to 1000
 */
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { parseName, parseSecretName } from '../model/name.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { Fault } from '../base/fault.ts';
import { fakeFacts, FakeRuntime } from './fake-runtime.ts';
import { targets } from './sim-node.ts';
import { World } from './sim-world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly steps?: number;
  readonly onStep?: (text: string) => void;
  /** Breaks the world on purpose: the auditor must notice. */
  readonly plant?: (world: World) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Of everything that happened, in order: equal for equal seeds. */
  readonly trace: string;
}

const stepsDefault = 24;
const apps = ['api', 'web'] as const;
const secretNames = ['shop/db', 'shop/key', 'mail/key'] as const;
const groupNames = ['g-api', 'g-web'] as const;

type Step = (world: World, run: RunState) => Promise<string> | string;

interface RunState {
  readonly runtimes: Map<string, FakeRuntime>;
  words: number;
  containers: number;
}

/** What may happen, and how often compared with the rest. */
const steps: readonly (readonly [weight: number, step: Step])[] = [
  [10, put],
  [3, revoke],
  [2, rollBack],
  [2, deleteOrRestore],
  [4, changeGrant],
  [9, startContainer],
  [3, stopContainer],
  [3, killEnforcer],
  [8, startEnforcer],
  [2, killGateway],
  [10, startGateway],
  [3, partition],
  [4, heal],
  [2, cutConnection],
  [3, commitFails],
  [3, mountFails],
  [2, dieInAChange],
  [2, stopEnforcer],
  [3, contEnforcer],
  [2, sealGateway],
  [2, waitLong],
  [4, unmountInside],
  [2, denyOutOfReach],
  [1, stepWallClock],
];

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const world = new World({ seed: options.seed });
  const run: RunState = { runtimes: new Map(), words: 0, containers: 0 };
  const trace = createHash('sha256');
  const note = (text: string): void => {
    trace.update(`${Math.round(world.time.nowMs)} ${world.time.happened} ${text}\n`);
    options.onStep?.(`${String(Math.round(world.time.nowMs)).padStart(8)} ms  ${text}`);
  };
  await world.begin();
  for (const [index, name] of groupNames.entries()) {
    const match = { docker: { labels: { app: apps[index] ?? '' } } };
    await world.ask('group.put', { name: parseName(name), match }, { ifRevision: 0 });
  }
  // Something to lose, so that no run is spent on an empty installation.
  for (const step of [put, put, put, changeGrant, changeGrant, startContainer, startContainer]) {
    note(await step(world, run));
  }
  await world.pass(1000);
  options.plant?.(world);
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);
  for (let count = 0; count < (options.steps ?? stepsDefault); count += 1) {
    let at = world.random.integer(total);
    const chosen = steps.find(([weight]) => (at -= weight) < 0) ?? steps[0];
    if (chosen) note(await chosen[1](world, run));
    await world.pass(world.random.integer(world.random.chance(0.2) ? 8000 : 600));
  }
  await world.finish();
  note(`end: ${world.auditor.violations.length} violations`);
  return { seed: options.seed, violations: world.auditor.violations, trace: trace.digest('hex') };
}

async function put(world: World, run: RunState): Promise<string> {
  const name = world.random.pick(secretNames) ?? 'shop/db';
  const secret = world.auditor.secrets.get(name) ?? {
    words: [],
    current: 0,
    revoked: new Set<number>(),
    deleted: false,
  };
  if (secret.deleted) return `put ${name}: deleted`;
  run.words += 1;
  const word = `canary-${run.words}-${world.random.bytes(9).toString('hex')}`;
  const outcome = await world.ask('secret.put', { name: parseSecretName(name) }, { value: word });
  // Without an answer it may have been done: what the log says counts.
  const done =
    outcome === 'ok' ||
    (outcome !== 'down' && (await versionsOf(world, name)) > secret.words.length);
  if (done) {
    secret.words.push(word);
    secret.current = secret.words.length;
    world.auditor.secrets.set(name, secret);
  }
  return `put ${name}: ${outcome}${done ? ` (${secret.current})` : ''}`;
}

/** How many versions there are, looked up after a crash if need be. */
async function versionsOf(world: World, name: string): Promise<number> {
  await world.pass(50);
  await world.startGateway();
  return (
    world.gateway.core?.secrets.reader.find(parseSecretName(name))?.secret.versions.length ?? 0
  );
}

function revoke(world: World): Promise<string> {
  return revokeOne(world, world.random.pick(secretNames) ?? 'shop/db');
}

async function revokeOne(world: World, name: string): Promise<string> {
  const secret = world.auditor.secrets.get(name);
  if (!secret || secret.current === 0) return `revoke ${name}: nothing`;
  const version = secret.current;
  const outcome = await world.ask('secret.revoke', { name: parseSecretName(name), version });
  await world.pass(50);
  await world.startGateway();
  const stored = world.gateway.core?.secrets.reader.find(parseSecretName(name))?.secret;
  const state = stored?.versions.find(({ number }) => number === version)?.state;
  if (state === 'revoked') secret.revoked.add(version);
  return `revoke ${name} ${version}: ${outcome}`;
}

async function rollBack(world: World): Promise<string> {
  const name = world.random.pick(secretNames) ?? 'shop/db';
  const secret = world.auditor.secrets.get(name);
  if (!secret || secret.words.length < 2) return `rollback ${name}: nothing`;
  const outcome = await world.ask('secret.rollback', { name: parseSecretName(name) });
  await world.pass(50);
  await world.startGateway();
  secret.current =
    world.gateway.core?.secrets.reader.find(parseSecretName(name))?.secret.current ??
    secret.current;
  return `rollback ${name}: ${outcome} (${secret.current})`;
}

async function deleteOrRestore(world: World): Promise<string> {
  const name = world.random.pick(secretNames) ?? 'shop/db';
  const secret = world.auditor.secrets.get(name);
  if (!secret) return `delete ${name}: nothing`;
  const revision = world.gateway.core?.secrets.reader.find(parseSecretName(name))?.revision ?? 0;
  const outcome = secret.deleted
    ? await world.ask('secret.restore', { name: parseSecretName(name) })
    : await world.ask('secret.delete', { name: parseSecretName(name) }, { ifRevision: revision });
  await world.pass(50);
  await world.startGateway();
  const stored = world.gateway.core?.secrets.reader.find(parseSecretName(name))?.secret;
  secret.deleted = stored?.deletedAtMs !== undefined;
  return `delete or restore ${name}: ${outcome} (${secret.deleted})`;
}

async function changeGrant(world: World): Promise<string> {
  const index = world.random.integer(groupNames.length);
  const group = groupNames[index] ?? 'g-api';
  const there = world.gateway.core?.policy.grant(parseName(group));
  const remove = there !== undefined && world.random.chance(0.3);
  const secrets = secretNames.filter(() => world.random.chance(0.6));
  const chosen = secrets.length === 0 ? [secretNames[0]] : secrets;
  // Two files of one name in one grant are refused; keep the first.
  const files = new Map(chosen.map((name) => [name.split('/').at(-1), name] as const));
  const granted = [...files.values()].map((name) => ({ secret: parseSecretName(name) }));
  const outcome = remove
    ? await world.ask('grant.delete', { group: parseName(group) }, { ifRevision: there.revision })
    : await world.ask(
        'grant.put',
        {
          group: parseName(group),
          secrets: granted,
          ...(world.random.chance(0.3) ? { target: targets[1] } : {}),
          ...(world.random.chance(0.3) ? { leaseSeconds: 8 } : {}),
        },
        { ifRevision: there?.revision ?? 0 },
      );
  await world.pass(50);
  await world.startGateway();
  const now = world.gateway.core?.policy.grant(parseName(group));
  if (now)
    world.auditor.grant(group, {
      label: apps[index] ?? '',
      target: now.value.target ?? targets[0],
      secrets: now.value.secrets.map(({ secret }) => secret),
    });
  else world.auditor.grant(group, undefined);
  return `${remove ? 'delete' : 'put'} grant ${group}: ${outcome}`;
}

function startContainer(world: World, run: RunState): string {
  const node = world.random.pick(world.nodes);
  if (!node || node.containers.size >= 4) return 'start container: enough';
  const runtime = run.runtimes.get(node.name) ?? new FakeRuntime();
  run.runtimes.set(node.name, runtime);
  run.containers += 1;
  const app = world.random.pick(apps) ?? 'api';
  const container = runtime.start({ name: `${node.name}-c${run.containers}`, labels: { app } });
  const facts: WorkloadFacts = fakeFacts(container, { kind: 'docker', node: node.name });
  node.startContainer(facts);
  return `start ${facts.name} (${app})`;
}

function stopContainer(world: World): string {
  const node = world.random.pick(world.nodes);
  const facts = node && world.random.pick([...node.containers.values()]);
  if (!node || !facts) return 'stop container: none';
  node.stopContainer(facts.id);
  return `stop ${facts.name}`;
}

function killEnforcer(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.killEnforcer();
  return `kill enforcer of ${node?.name}`;
}

function startEnforcer(world: World): string {
  const node = world.nodes.find((candidate) => !candidate.enforcerIsUp);
  node?.startEnforcer();
  return `start enforcer of ${node?.name ?? 'none'}`;
}

function killGateway(world: World): string {
  world.killGateway();
  return 'kill gateway';
}

async function startGateway(world: World): Promise<string> {
  await world.startGateway();
  return 'start gateway';
}

function partition(world: World): string {
  const node = world.random.pick(world.nodes);
  if (node) world.partition(node.name, true);
  return `partition ${node?.name}`;
}

function heal(world: World): string {
  const name = world.random.pick(world.partitionedNodes);
  if (name !== undefined) world.partition(name, false);
  return `heal ${name ?? 'none'}`;
}

function cutConnection(world: World): string {
  const node = world.random.pick(world.nodes);
  if (node) world.cut(node.name);
  return `cut ${node?.name}`;
}

function commitFails(world: World): string {
  const mishap = world.random.pick([
    'crash-before',
    'crash-after',
    'full',
    'failed-before',
    'failed-after',
  ] as const);
  if (mishap) world.mishaps.push(mishap);
  return `the next commit: ${mishap}`;
}

function mountFails(world: World): string {
  const node = world.random.pick(world.nodes);
  const kind = world.random.pick(['place', 'withdraw', 'adopt'] as const);
  let left = 1 + world.random.integer(3);
  if (!node) return 'mounts fail: none';
  node.kernel.before = (what) => {
    if (what !== kind || left <= 0) return;
    left -= 1;
    throw new Fault('mount.full');
  };
  return `${node.name}: the kernel refuses to ${kind} ${left} times`;
}

/** The enforcer is killed while the kernel does its bidding: it was done, or it was not. */
function dieInAChange(world: World): string {
  const node = world.random.pick(world.nodes);
  if (!node) return 'die in a change: none';
  const isDone = world.random.chance(0.5);
  node.kernel.before = () => {
    node.kernel.before = () => {};
    node.killEnforcer();
    if (!isDone) throw new Fault('mount.failed');
  };
  return `${node.name}: its enforcer dies in the next change, ${isDone ? 'done' : 'not done'}`;
}

function stopEnforcer(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.stopEnforcer(true);
  return `stop enforcer of ${node?.name}`;
}

function contEnforcer(world: World): string {
  for (const node of world.nodes) node.stopEnforcer(false);
  return 'continue all enforcers';
}

async function sealGateway(world: World): Promise<string> {
  const state = await world.sealGateway();
  if (state !== 'sealed') return `seal: ${state}`;
  for (const name of secretNames) {
    const input = { name: parseSecretName(name) };
    const put = await world.ask('secret.put', input, { value: 'never stored' });
    const read = await world.ask('secret.get', input);
    for (const answer of [put, read]) {
      if (answer !== 'barrier.sealed') world.auditor.violate(`sealed, and the answer is ${answer}`);
    }
  }
  return 'seal';
}

/** Somebody inside with the right to do so takes a mount of ours away. */
function unmountInside(world: World): string {
  const node = world.random.pick(world.nodes);
  const mount = node && world.random.pick([...node.kernel.mounts.values()]);
  if (!node || !mount) return 'unmount inside: none';
  node.kernel.mounts.delete(mount.id);
  return `${node.name}: somebody inside unmounts ${mount.id}`;
}

/** As it is, for longer than anything denied may stay. */
async function waitLong(world: World): Promise<string> {
  await world.pass(30_000);
  return 'wait long';
}

/** A node is cut off, then something that it holds is taken away: only its own clock can tell it to wipe. */
async function denyOutOfReach(world: World): Promise<string> {
  const node = world.random.pick(world.nodes.filter(({ kernel }) => kernel.mounts.size > 0));
  const held = [...(node?.kernel.mounts.values() ?? [])].flatMap(({ files }) => [...files.keys()]);
  const file = world.random.pick(held);
  const name = secretNames.find((secret) => secret.endsWith(`/${file}`));
  if (!node || name === undefined) return 'deny out of reach: nothing held';
  // Or only its watchdog's clock.
  const isDead = world.random.chance(0.4);
  if (isDead) node.killEnforcer();
  world.partition(node.name, true);
  await world.startGateway();
  const denied = world.random.chance(0.7) ? await revokeOne(world, name) : await changeGrant(world);
  const how = isDead ? 'partition, kill enforcer of' : 'partition';
  return `${how} ${node.name}; ${denied}; ${await waitLong(world)}`;
}

function stepWallClock(world: World): string {
  const hours = world.random.pick([-1, 1]) ?? 1;
  world.time.wallOffsetMs += hours * 3_600_000;
  return `wall clock ${hours} h`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      steps: { type: 'string' },
      verbose: { type: 'boolean' },
    },
  });
  const from = Number(values.seed ?? values.from ?? 1);
  const to = Number(values.seed ?? values.to ?? from);
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  let bad = 0;
  for (let seed = from; seed <= to; seed += 1) {
    const result = await runSeed({
      seed,
      ...(values.steps === undefined ? {} : { steps: Number(values.steps) }),
      ...(values.verbose || values.seed ? { onStep: say } : {}),
    });
    for (const violation of result.violations) say(`seed ${seed}: ${violation}`);
    if (result.violations.length > 0) bad += 1;
    if (values.seed) say(`seed ${seed}: trace ${result.trace}`);
  }
  say(`${to - from + 1} seeds, ${bad} with violations`);
  return bad === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
