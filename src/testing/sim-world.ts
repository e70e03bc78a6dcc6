/** A whole installation in virtual time: one gateway, several nodes, what goes wrong, and who watches. */
import { Buffer } from 'node:buffer';
import { createLog } from '../base/log.ts';
import { EntryTree } from '../crypto/merkle-verify.ts';
import { openCheckpoint } from '../crypto/checkpoint.ts';
import { parseVerifier } from '../crypto/note.ts';
import type { OperationInput, OperationName } from '../protocol/operations.ts';
import { SecretValue } from '../model/secret-value.ts';
import { Auditor, type Place } from './auditor.ts';
import type { CommitMishap } from './faulty-physical.ts';
import { SimTime } from './sim-clock.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimConnection } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { SeededRandom } from './sim-random.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly nodes?: number;
}

const leaseMs = 5_000;
/** The longest that a grant of a run has. */
const leaseMsMax = 8_000;
/** Silence is noticed, the lease ends, the watchdog looks once a second and leaves four to the living. */
const denialMsMax = leaseMsMax + 15_000;
const settleMsMax = 60_000;
const operationWithinMs = 2_000;

export class World {
  readonly random: SeededRandom;
  readonly time: SimTime;
  readonly gateway: SimGateway;
  readonly nodes: readonly SimNode[];
  readonly auditor = new Auditor({ denialMsMax });
  readonly #connections = new Map<string, SimConnection>();
  readonly #partitioned = new Set<string>();
  readonly #logged: string[] = [];
  #gatewayIsUp = false;
  /** Nothing fails any more, and everything is in its place. */
  #isCalm = false;
  /** What the next commits do, instead of succeeding. */
  readonly mishaps: CommitMishap[] = [];

  constructor(options: WorldOptions) {
    this.random = new SeededRandom(options.seed);
    this.time = new SimTime(this.random);
    const clock = this.time.clock();
    const log = createLog({ clock, level: 'debug', write: (line) => void this.#logged.push(line) });
    const about = { time: this.time, random: this.random, log };
    this.gateway = new SimGateway({
      ...about,
      leaseMs,
      mishaps: () => {
        const mishap = this.mishaps.shift();
        if (mishap === 'crash-before' || mishap === 'crash-after') this.#crashSoon();
        return mishap;
      },
    });
    this.nodes = Array.from({ length: options.nodes ?? 3 }, (_, index) => {
      const name = `node-${index}`;
      return new SimNode({ ...about, name, dial: () => this.#dial(name) });
    });
    for (const node of this.nodes) this.#watchKernel(node);
  }

  get log(): readonly string[] {
    return this.#logged;
  }

  get gatewayIsUp(): boolean {
    return this.#gatewayIsUp;
  }

  async begin(): Promise<void> {
    await this.startGateway();
    for (const node of this.nodes) node.startEnforcer();
    await this.pass(3000);
  }

  async startGateway(): Promise<void> {
    if (this.#gatewayIsUp) return;
    const outcome = await this.time.until(
      this.gateway.start().then(() => 'started' as const),
      10_000,
    );
    if (outcome === 'started') this.#gatewayIsUp = true;
    else this.auditor.violate('the gateway did not start');
  }

  /** Sealed, no node is served: its port is closed. Starting it unseals. */
  async sealGateway(): Promise<string> {
    if (!this.#gatewayIsUp) return 'down';
    const sealed = this.gateway.seal().then(() => 'sealed');
    const outcome = await this.time.until(sealed, 5000);
    this.#gatewayIsUp = false;
    for (const connection of this.#connections.values()) connection.cut('sealed');
    return outcome;
  }

  killGateway(): void {
    this.#gatewayIsUp = false;
    this.gateway.kill();
    for (const connection of this.#connections.values()) connection.cut('killed');
  }

  partition(node: string, on: boolean): void {
    if (on) this.#partitioned.add(node);
    else this.#partitioned.delete(node);
    this.#connections.get(node)?.partition(on);
  }

  get partitionedNodes(): readonly string[] {
    return [...this.#partitioned];
  }

  cut(node: string): void {
    this.#connections.get(node)?.cut('cut');
  }

  /** Lets time pass, looking into every container on the way. */
  async pass(byMs: number): Promise<void> {
    const stepMs = 250;
    for (let left = byMs; left > 0; left -= stepMs) {
      await this.time.pass(Math.min(stepMs, left));
      for (const place of this.#places()) this.auditor.look(place, this.time.nowMs);
    }
  }

  *#places(): Generator<Place> {
    for (const node of this.nodes) {
      for (const workload of node.containers.values()) {
        yield { workload, files: node.read(workload) };
      }
    }
  }

  #isSettled(): boolean {
    if (!this.nodes.every((node) => node.isConnected)) return false;
    for (const place of this.#places()) if (!this.auditor.isSettled(place)) return false;
    return true;
  }

  /**
   * Asks the gateway, as an operator.
   *
   * @returns `ok`, the code of the fault, or `unknown` when no answer came: it may have been done.
   */
  async ask<Name extends OperationName>(
    operation: Name,
    input: OperationInput<Name>,
    options: { readonly value?: string; readonly ifRevision?: number } = {},
  ): Promise<string> {
    const requests = this.gateway.requests;
    if (!requests) return 'down';
    const value =
      options.value === undefined ? {} : { value: SecretValue.copy(Buffer.from(options.value)) };
    const ifRevision = options.ifRevision === undefined ? {} : { ifRevision: options.ifRevision };
    const asked = requests
      .handle({
        operation,
        principal: this.gateway.owner,
        input,
        requestId: 'sim',
        ...value,
        ...ifRevision,
      })
      .then(
        () => 'ok',
        (error: unknown) =>
          error instanceof Error && 'code' in error ? String(error.code) : 'unknown',
      );
    const outcome = await this.time.until(asked, operationWithinMs);
    return outcome === 'too-late' ? 'unknown' : outcome;
  }

  /** Mends everything, waits, and compares all that is with all that should be. */
  async finish(): Promise<void> {
    this.mishaps.length = 0;
    for (const name of this.partitionedNodes) this.partition(name, false);
    for (const node of this.nodes) node.kernel.before = () => {};
    for (const node of this.nodes) node.stopEnforcer(false);
    await this.startGateway();
    for (const node of this.nodes) if (!node.enforcerIsUp) node.startEnforcer();
    // What is overdue happens first.
    await this.pass(leaseMs);
    const endMs = this.time.nowMs + settleMsMax;
    while (this.time.nowMs < endMs && !this.#isSettled()) await this.pass(1000);
    // It is to stay so, whatever time people think it is.
    this.#isCalm = true;
    this.time.wallOffsetMs += 3_600_000;
    await this.pass(leaseMs + 1500);
    for (const place of this.#places()) this.auditor.settled(place);
    await this.#verifyLog();
    await this.#scanEverything();
  }

  #dial(node: string) {
    if (!this.#gatewayIsUp || this.#partitioned.has(node)) return undefined;
    const connection = new SimConnection(this.time, this.random);
    this.#connections.get(node)?.cut('replaced');
    this.#connections.set(node, connection);
    const peer = this.nodes.find(({ name }) => name === node);
    if (peer) this.gateway.accept(peer, connection.gatewayEnd);
    return connection.enforcerEnd;
  }

  #crashSoon(): void {
    // After the storage has thrown, as a process dies of what it was just doing.
    this.time.at(0, () => this.killGateway());
  }

  #watchKernel(node: SimNode): void {
    const { mounts } = node.kernel;
    const set = mounts.set.bind(mounts);
    mounts.set = (id, mount) => {
      this.auditor.changed(id, mount.revision);
      return set(id, mount);
    };
    const remove = mounts.delete.bind(mounts);
    mounts.delete = (id) => {
      if (this.#isCalm) this.auditor.violate(`${id} was taken away while all was well`);
      return remove(id);
    };
  }

  /** The tree that the entries give is the one that was signed, and all that was seen was assigned first. */
  async #verifyLog(): Promise<void> {
    const audit = this.gateway.core?.audit;
    if (!audit) return;
    const { note, size, verifierKey } = await audit.checkpoint();
    const verifier = parseVerifier(verifierKey);
    const opened = verifier && openCheckpoint(note, verifier);
    const tree = new EntryTree();
    const assigned = new Set<string>();
    for (let from = 0; from < size; ) {
      const page = await audit.entries({ from, limit: 256 });
      for (const entry of page.entries) {
        if (entry.sequence >= size) break;
        tree.add(entry.bytes);
        if (entry.action === 'delivery.assign') {
          assigned.add(`${entry.detail['workload']} ${entry.resource} ${entry.detail['version']}`);
        }
      }
      if (page.next === undefined) break;
      from = page.next;
    }
    const same =
      opened?.kind === 'verified' && Buffer.compare(opened.checkpoint.root, tree.root()) === 0;
    if (!same) this.auditor.violate('the entries do not give the signed root');
    for (const [name, { words }] of this.auditor.secrets) {
      words.forEach((word, index) => {
        for (const [workload, facts] of this.auditor.seen.get(word) ?? []) {
          if (!this.auditor.wasGranted(facts, name)) {
            this.auditor.violate(`${facts.name} read ${name}, which was never granted to it`);
          }
          if (assigned.has(`${workload} secrets/${name} ${index + 1}`)) continue;
          this.auditor.violate(
            `${workload} read version ${index + 1} of ${name}, which no entry assigned`,
          );
        }
      });
    }
  }

  async #scanEverything(): Promise<void> {
    for (const line of this.#logged) this.auditor.scan('the log', line);
    for (const node of this.nodes)
      this.auditor.scan(`what ${node.name} remembers`, node.rememberedText ?? '');
    for (let after = ''; ; ) {
      const rows = await this.gateway.disk.list('', {
        limit: 1000,
        ...(after === '' ? {} : { after }),
      });
      for (const row of rows) {
        this.auditor.scan('the storage', row.bytes);
        this.auditor.scan('a storage key', row.key);
      }
      const last = rows.at(-1);
      if (!last) return;
      after = last.key;
    }
  }
}
