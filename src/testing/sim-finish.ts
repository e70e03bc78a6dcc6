/**
 * The end of a simulated run: everything is mended, and then everything that is must be what should be, and
 * stay so; the log must verify, and no value may be readable anywhere.
 */
import { X509Certificate } from 'node:crypto';
import { openCheckpoint } from '../crypto/checkpoint.ts';
import { EntryTree } from '../crypto/merkle-verify.ts';
import { parseVerifier } from '../crypto/note.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './sim-world.ts';

const settleMsMax = 60_000;
/** A certificate is looked at once a minute; one that was refused is asked for again within ten. */
const renewalMsMax = 15 * 60_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** After that a connection was a good one, and its node dials again before a lease ends. */
const steadyMs = 16_000;
/** How many runs see the certificates through. */
const renewalShare = 0.25;

/** Mends everything, waits, and compares all that is with all that should be. */
export async function finish(world: World): Promise<void> {
  await mend(world);
  // What is overdue happens first.
  await world.pass(5000);
  await settle(world);
  // It is to stay so, whatever time people think it is.
  world.isCalm = true;
  world.time.wallOffsetMs += hourMs;
  await world.pass(6500);
  if (world.random.chance(renewalShare)) await outliveCertificates(world);
  for (const place of world.places()) world.auditor.settled(place);
  await verifyLog(world);
  await scanEverything(world);
}

async function mend(world: World): Promise<void> {
  world.mishaps.length = 0;
  world.time.wallOffsetMs = world.time.wallOffsetMsMax;
  for (const machine of world.network.partitioned) world.network.partition(machine, false);
  for (const node of world.nodes) {
    node.kernel.before = () => {};
    node.runtime.setUnreachable(false);
    node.stopEnforcer(false);
  }
  await world.startGateway();
  for (const node of world.nodes) {
    if (world.isServed(node)) node.startEnforcer();
    else await join(world, node);
  }
}

/** A gateway that could record nothing takes a moment. */
async function join(world: World, node: SimNode): Promise<void> {
  const endMs = world.time.nowMs + settleMsMax;
  for (;;) {
    const joined = await world.join(node);
    if (joined === 'ok') return;
    if (world.time.nowMs > endMs)
      return world.auditor.violate(`${node.machine} could not join: ${joined}`);
    await world.pass(1000);
  }
}

async function settle(world: World): Promise<void> {
  const endMs = world.time.nowMs + settleMsMax;
  while (world.time.nowMs < endMs && !world.isSettled) await world.pass(1000);
}

/** Days pass until every certificate is due, and more until the old ones have ended. */
async function outliveCertificates(world: World): Promise<void> {
  await renewed(world);
  world.time.wallOffsetMs += 5 * dayMs;
  await renewed(world);
  world.time.wallOffsetMs += 3 * dayMs;
  await world.pass(steadyMs);
  for (const { machine } of world.nodes) world.network.cut(machine);
  await world.pass(1000);
  await settle(world);
  for (const node of world.nodes) {
    if (!world.isReached(node)) world.auditor.violate(`${node.machine} did not come back`);
  }
}

async function renewed(world: World): Promise<void> {
  const endMs = world.time.nowMs + renewalMsMax;
  const isDue = (node: SimNode): boolean => {
    const { validFromDate, validToDate } = new X509Certificate(
      node.disk.joined?.certificatePem ?? '',
    );
    const leftMs = validToDate.getTime() - world.time.wallMs;
    return leftMs < (validToDate.getTime() - validFromDate.getTime()) / 3 - hourMs;
  };
  while (world.nodes.some(isDue)) {
    if (world.time.nowMs > endMs) return world.auditor.violate('a certificate is not renewed');
    await world.pass(1000);
  }
}

/** The tree that the entries give is the one that was signed, and all that was seen was assigned first. */
async function verifyLog({ gateway, auditor }: World): Promise<void> {
  const audit = gateway.core?.audit;
  if (!audit) return;
  const { note, size, verifierKey } = await audit.checkpoint();
  const verifier = parseVerifier(verifierKey);
  const opened = verifier && openCheckpoint(note, verifier);
  const tree = new EntryTree();
  const assigned = new Set<string>();
  const withdrawn = new Set<string>();
  for (let from = 0; from < size; ) {
    const page = await audit.entries({ from, limit: 256 });
    for (const entry of page.entries) {
      if (entry.sequence >= size) break;
      tree.add(entry.bytes);
      if (entry.action === 'delivery.assign') {
        assigned.add(`${entry.detail['workload']} ${entry.resource} ${entry.detail['version']}`);
      }
      if (entry.action === 'delivery.withdraw')
        withdrawn.add(`${entry.detail['workload']} ${entry.detail['target']}`);
    }
    if (page.next === undefined) break;
    from = page.next;
  }
  const same =
    opened?.kind === 'verified' && Buffer.compare(opened.checkpoint.root, tree.root()) === 0;
  if (!same) auditor.violate('the entries do not give the signed root');
  for (const lost of auditor.lost) {
    if (!withdrawn.has(lost))
      auditor.violate(`${lost} was to be kept, and is gone without an entry`);
  }
  for (const [name, { words }] of auditor.secrets) {
    words.forEach((word, index) => {
      for (const [workload, facts] of auditor.seen.get(word) ?? []) {
        if (!auditor.wasGranted(facts, name)) {
          auditor.violate(`${facts.name} read ${name}, which was never granted to it`);
        }
        if (assigned.has(`${workload} secrets/${name} ${index + 1}`)) continue;
        auditor.violate(
          `${workload} read version ${index + 1} of ${name}, which no entry assigned`,
        );
      }
    });
  }
}

async function scanEverything({ log, nodes, gateway, auditor }: World): Promise<void> {
  for (const line of log) auditor.scan('the log', line);
  for (const { machine, disk } of nodes)
    auditor.scan(`what ${machine} remembers`, disk.remembered ?? '');
  for (let after = ''; ; ) {
    const rows = await gateway.disk.list('', { limit: 1000, ...(after === '' ? {} : { after }) });
    for (const row of rows) {
      auditor.scan('the storage', row.bytes);
      auditor.scan('a storage key', row.key);
    }
    const last = rows.at(-1);
    if (!last) return;
    after = last.key;
  }
}
