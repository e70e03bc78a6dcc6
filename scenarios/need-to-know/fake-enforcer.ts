/**
 * An enforcer that lies: it has a node certificate like any other, speaks the stream's own messages,
 * and keeps everything that it is sent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../../src/base/clock.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import { connect } from '../../src/enforcer/uplink/uplink.ts';
import {
  type Credentials,
  joinGateway,
  openStateDirectory,
} from '../../src/enforcer/uplink/uplink.ts';
import type { HeldSet } from '../../src/model/assignment.ts';
import { parseName } from '../../src/model/name.ts';
import type { WorkloadFacts } from '../../src/model/workload.ts';
import {
  decodeFromGateway,
  encodeFromEnforcer,
  type FromEnforcer,
  type FromGateway,
  streamProtocol,
} from '../../src/protocol/stream-messages.ts';
import { type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import type { Link } from '../../src/wire/link.ts';

export class FakeEnforcer implements Disposable {
  readonly credentials: Credentials;
  /** Text of every file that was ever sent to it. */
  readonly received: string[] = [];
  readonly refusals: string[] = [];
  /** Everything it has sent, for replaying. */
  readonly sent: Uint8Array[] = [];
  readonly #directory: string;
  #link: Link | undefined;
  #ended: string | undefined;
  #isWelcome = false;

  private constructor(directory: string, credentials: Credentials) {
    this.#directory = directory;
    this.credentials = credentials;
  }

  static async join(story: Story, name: string): Promise<FakeEnforcer> {
    const directory = mkdtempSync(join(tmpdir(), 'coffer-fake-'));
    openStateDirectory(directory);
    const { output } = await story.client.call('node.token', { name: parseName(name) });
    const { token } = output;
    return new FakeEnforcer(
      directory,
      await joinGateway({ clock, random, stateDirectory: directory, token }),
    );
  }

  get isConnected(): boolean {
    return this.#link?.isOpen === true;
  }

  /** @throws Fault as an enforcer sees it. */
  async connect(): Promise<void> {
    this.#ended = undefined;
    this.#isWelcome = false;
    const { credentials } = this;
    this.#link = await connect({ clock, credentials }, new AbortController().signal);
    this.#link.open({
      message: (bytes) => this.#message(decodeFromGateway(bytes)),
      closed: (reason) => (this.#ended = reason),
    });
  }

  async hello(workloads: readonly WorkloadFacts[], held: readonly HeldSet[] = []): Promise<void> {
    this.send({
      kind: 'hello',
      protocol: streamProtocol,
      version: 'fake',
      bootId: 'fake',
      workloads,
      held,
      checkpoint: '',
      weakenings: [],
    });
    await until('welcome, or the end', () => this.#isWelcome || this.#ended !== undefined);
  }

  send(message: FromEnforcer): void {
    const bytes = encodeFromEnforcer(message);
    this.sent.push(Uint8Array.from(bytes));
    this.#link?.send(bytes);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#link?.send(Uint8Array.from(bytes));
  }

  disconnect(): void {
    this.#link?.close('done');
  }

  [Symbol.dispose](): void {
    this.disconnect();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #message(message: FromGateway | undefined): void {
    if (message?.kind === 'welcome') this.#isWelcome = true;
    if (message?.kind === 'refused') this.refusals.push(message.code);
    if (message?.kind === 'lease') this.send({ kind: 'lease-seen', serial: message.serial });
    if (message?.kind !== 'assign') return;
    for (const { content } of message.set.files) {
      if (content === 'keep') continue;
      this.received.push(content.use((bytes) => bytes.toString('utf8')));
      content[Symbol.dispose]();
    }
  }
}
