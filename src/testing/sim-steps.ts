/** What may happen in a simulated run: what operators do, what fails, what time does. */
import { Fault } from '../base/fault.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { type SimNode, targets } from './sim-node.ts';
import type { World } from './sim-world.ts';

export type Step = (world: World, run: RunState) => Promise<string> | string;

export interface RunState {
  words: number;
  containers: number;
  /** Certificates live for a week: a second jump would end those that could not be renewed. */
  hasJumped: boolean;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
export const apps = ['api', 'web'] as const;
const secretNames = ['shop/db', 'shop/key', 'mail/key'] as const;
export const groupNames = ['g-api', 'g-web'] as const;

/** What may happen, and how often compared with the rest. */
export const steps: readonly (readonly [weight: number, step: Step])[] = [
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
  [5, denyOutOfReach],
  [1, stepWallClock],
  [1, daysPass],
  [2, revokeNode],
  [4, joinAgain],
  [1, restartContainer],
  [1, restartEnforcer],
  [1, engineIsAway],
  [2, engineIsBack],
  [3, denyWhileEngineIsAway],
  [1, destroy],
  [1, rotateRootKey],
];

/** Something to lose, so that no run is spent on an empty installation. */
export const beginning: readonly Step[] = [
  ...[put, put, put, changeGrant, changeGrant],
  ...[startContainer, startContainer],
];

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
  await world.untilCertain();
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
  await world.untilCertain();
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
  await world.untilCertain();
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
  await world.untilCertain();
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
          ...(world.random.chance(0.25) ? { onLeaseLoss: 'keep' as const } : {}),
        },
        { ifRevision: there?.revision ?? 0 },
      );
  await world.untilCertain();
  const now = world.gateway.core?.policy.grant(parseName(group));
  if (now)
    world.auditor.grant(group, {
      label: apps[index] ?? '',
      target: now.value.target ?? targets[0],
      secrets: now.value.secrets.map(({ secret }) => secret),
      keep: now.value.onLeaseLoss === 'keep',
      ...(now.value.leaseSeconds === undefined ? {} : { leaseMs: now.value.leaseSeconds * 1000 }),
    });
  else world.auditor.grant(group, undefined);
  return `${remove ? 'delete' : 'put'} grant ${group}: ${outcome}`;
}

function startContainer(world: World, run: RunState): string {
  const node = world.random.pick(world.nodes);
  if (!node || node.containers.size >= 4) return 'start container: enough';
  run.containers += 1;
  const app = world.random.pick(apps) ?? 'api';
  const name = `${node.machine}-c${run.containers}`;
  node.startContainer({ name, labels: { app } });
  return `start ${name} (${app})`;
}

function stopContainer(world: World): string {
  const node = world.random.pick(world.nodes);
  const facts = node && world.random.pick([...node.containers.values()]);
  if (!node || !facts) return 'stop container: none';
  node.stopContainer(facts.id);
  return `stop ${facts.name}`;
}

function restartContainer(world: World): string {
  const node = world.random.pick(world.nodes);
  const facts = node && world.random.pick([...node.containers.values()]);
  if (!node || !facts) return 'restart container: none';
  node.restartContainer(facts.id);
  return `restart ${facts.name}`;
}

function killEnforcer(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.killEnforcer();
  return `kill enforcer of ${node?.machine}`;
}

function restartEnforcer(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.endEnforcer();
  return `restart enforcer of ${node?.machine}`;
}

function startEnforcer(world: World): string {
  const node = world.nodes.find((candidate) => !candidate.enforcerIsUp);
  node?.startEnforcer();
  return `start enforcer of ${node?.machine ?? 'none'}`;
}

function killGateway(world: World): string {
  world.gateway.kill();
  return 'kill gateway';
}

async function startGateway(world: World): Promise<string> {
  await world.startGateway();
  return 'start gateway';
}

function partition(world: World): string {
  const node = world.random.pick(world.nodes);
  if (node) world.network.partition(node.machine, true);
  return `partition ${node?.machine}`;
}

function heal(world: World): string {
  const machine = world.random.pick(world.network.partitioned);
  if (machine !== undefined) world.network.partition(machine, false);
  return `heal ${machine ?? 'none'}`;
}

function cutConnection(world: World): string {
  const node = world.random.pick(world.nodes);
  if (node) world.network.cut(node.machine);
  return `cut ${node?.machine}`;
}

function commitFails(world: World): string {
  const mishap = world.random.pick([
    'crash-before',
    'crash-after',
    'full',
    'failed-before',
    'failed-after',
    'failed-on',
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
  return `${node.machine}: the kernel refuses to ${kind} ${left} times`;
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
  return `${node.machine}: its enforcer dies in the next change, ${isDone ? 'done' : 'not done'}`;
}

function stopEnforcer(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.stopEnforcer(true);
  return `stop enforcer of ${node?.machine}`;
}

function contEnforcer(world: World): string {
  for (const node of world.nodes) node.stopEnforcer(false);
  return 'continue all enforcers';
}

async function sealGateway(world: World): Promise<string> {
  const answer = await world.ask('system.seal', {});
  if (answer !== 'ok') return `seal: ${answer}`;
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
  return `${node.machine}: somebody inside unmounts ${mount.id}`;
}

/** As it is, for longer than anything denied may stay. */
async function waitLong(world: World): Promise<string> {
  await world.pass(30_000);
  return 'wait long';
}

/** A node is cut off, then something that it holds is taken away: only its own clock can tell it to wipe. */
async function denyOutOfReach(world: World): Promise<string> {
  const node = world.random.pick(world.nodes.filter(({ kernel }) => kernel.mounts.size > 0));
  const name = node && heldOn(world, node);
  if (!node || name === undefined) return 'deny out of reach: nothing held';
  // Or only its watchdog's clock.
  const isDead = world.random.chance(0.4);
  if (isDead) node.killEnforcer();
  world.network.partition(node.machine, true);
  await world.startGateway();
  const denied = world.random.chance(0.7) ? await revokeOne(world, name) : await changeGrant(world);
  const how = isDead ? 'partition, kill enforcer of' : 'partition';
  return `${how} ${node.machine}; ${denied}; ${await waitLong(world)}`;
}

/**
 * A node's engine is away and its enforcer another one, which cannot tell the gateway what runs there: only a
 * clock tells it to wipe. Where there is one, the lease is such that the gateway is heard before its end.
 */
async function denyWhileEngineIsAway(world: World): Promise<string> {
  const nodes = world.nodes.filter(({ kernel }) => kernel.mounts.size > 0);
  const isLong = ({ remembered }: SimNode): boolean =>
    remembered?.holdings.some((set) => !set.keepOnLeaseLoss && set.leaseMs > 10_000) === true;
  const node = world.random.pick(nodes.filter(isLong)) ?? world.random.pick(nodes);
  const name = node && heldOn(world, node);
  if (!node || name === undefined) return 'deny while the engine is away: nothing held';
  node.runtime.setUnreachable(true);
  node.killEnforcer();
  world.network.partition(node.machine, false);
  await world.startGateway();
  node.startEnforcer();
  const denied = world.random.chance(0.7) ? await revokeOne(world, name) : await changeGrant(world);
  return `engine away from ${node.machine}; ${denied}; ${await waitLong(world)}`;
}

/** A secret of which something is in a container of this node. */
function heldOn(world: World, node: SimNode): string | undefined {
  const held = [...node.kernel.mounts.values()].flatMap(({ files }) => [...files.keys()]);
  const file = world.random.pick(held);
  return secretNames.find((secret) => secret.endsWith(`/${file}`));
}

/** Not back to before a node was certified: it would be kept out until that time comes again. */
function stepWallClock(world: World): string {
  const hours = world.random.pick([-1, 1]) ?? 1;
  const nowMs = world.time.wallMs + hours * hourMs;
  if (world.nodes.some((node) => nowMs < node.certifiedAtMs)) return 'wall clock: stays';
  world.time.wallOffsetMs += hours * hourMs;
  return `wall clock ${hours} h`;
}

/** Every certificate is due after that, and none has ended. */
function daysPass(world: World, run: RunState): string {
  if (run.hasJumped) return 'days pass: already';
  run.hasJumped = true;
  world.time.wallOffsetMs += 5 * dayMs;
  return 'days pass';
}

async function revokeNode(world: World): Promise<string> {
  const node = world.random.pick(world.nodes.filter((candidate) => world.isServed(candidate)));
  if (!node) return 'revoke node: none';
  const name = parseName(node.name);
  const outcome = await world.ask('node.revoke', { name });
  await world.untilCertain();
  if (world.gateway.core?.identity.nodes.find(name)?.node.state === 'revoked') {
    world.auditor.revoked.add(name);
  }
  return `revoke node ${name}: ${outcome}`;
}

/** The machine gets another name, and keeps its containers. */
async function joinAgain(world: World): Promise<string> {
  const node = world.nodes.find((candidate) => !world.isServed(candidate));
  if (!node) return 'join again: none';
  return `join ${node.machine} again: ${await world.join(node)}`;
}

function engineIsAway(world: World): string {
  const node = world.random.pick(world.nodes);
  node?.runtime.setUnreachable(true);
  return `${node?.machine}: its engine is away`;
}

function engineIsBack(world: World): string {
  for (const { runtime } of world.nodes) runtime.setUnreachable(false);
  return 'all engines are back';
}

/** What was revoked before, so that nobody is to have it. */
async function destroy(world: World): Promise<string> {
  const name = world.random.pick(secretNames) ?? 'shop/db';
  const version = world.random.pick([...(world.auditor.secrets.get(name)?.revoked ?? [])]);
  if (version === undefined) return `destroy ${name}: nothing`;
  const outcome = await world.ask('secret.destroy', { name: parseSecretName(name), version });
  return `destroy ${name} ${version}: ${outcome}`;
}

async function rotateRootKey(world: World): Promise<string> {
  return `rotate root key: ${await world.ask('system.rotate-root-key', {})}`;
}
