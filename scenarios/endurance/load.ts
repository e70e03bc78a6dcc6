/** All that makes programs of ours take hold of something, over and over: and let go of it again. */
import { systemClock as clock } from '../../src/base/clock.ts';
import { parseSecretName } from '../../src/model/name.ts';
import type { TestContainer } from '../../src/testing/container.ts';
import type { Story } from '../../src/testing/story.ts';

const secretsCount = 8;

export class Load implements AsyncDisposable {
  readonly #story: Story;
  readonly #stop = new AbortController();
  readonly #loops: readonly Promise<void>[];
  /** A container that is there all the time. */
  readonly staying: TestContainer;
  rotations = 0;
  containers = 0;

  private constructor(story: Story, staying: TestContainer) {
    this.#story = story;
    this.staying = staying;
    this.#loops = [this.#rotate(), this.#comeAndGo(), this.#ask()];
  }

  static async start(story: Story): Promise<Load> {
    const names = Array.from({ length: secretsCount }, (_, index) => nameOf(index));
    for (const name of names) await story.put(name, 'first');
    await story.grant('endurance', names);
    const stay = () => story.container({ labels: { app: 'endurance' } });
    const [staying] = await Promise.all([stay(), stay(), stay(), stay()]);
    return new Load(story, staying);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  /** Puts new values, and revokes one now and then. */
  async #rotate(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.rotations += 1;
      const name = nameOf(this.rotations % secretsCount);
      await this.#story.put(name, `value ${this.rotations} `.repeat(50));
      if (this.rotations % 25 === 0) {
        await this.#story.client.call('secret.revoke', { name: parseSecretName(name) });
        await this.#story.put(name, `value ${this.rotations}`);
      }
      // About half of what the machine could do.
      await clock.sleep(20);
    }
  }

  /** Containers come, get their set, and go. */
  async #comeAndGo(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await using _container = await this.#story.container({ labels: { app: 'endurance' } });
      await clock.sleep(300);
      this.containers += 1;
    }
  }

  async #ask(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#story.holdings();
      await this.#story.client.call('system.status', {});
      await clock.sleep(200);
    }
  }
}

function nameOf(index: number): string {
  return `endurance/secret-${index}`;
}
