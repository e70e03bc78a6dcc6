/** Puts a counter as fast as it is taken, also while the gateway is away. */
import { systemClock } from '../../src/base/clock.ts';
import { isFault } from '../../src/base/fault.ts';
import { type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';

export class Storm implements AsyncDisposable {
  readonly #story: Story;
  readonly #secret: string;
  #count = 0;
  #calm = true;
  #blowing: Promise<void> = Promise.resolve();

  constructor(story: Story, secret: string) {
    this.#story = story;
    this.#secret = secret;
  }

  get count(): number {
    return this.#count;
  }

  blow(): void {
    if (!this.#calm) return;
    this.#calm = false;
    this.#blowing = this.#blow();
  }

  /** Ends it with one value that was surely taken. @returns that value. */
  async settle(): Promise<string> {
    this.#calm = true;
    await this.#blowing;
    await until('the gateway takes a value', () => this.#put());
    return String(this.#count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#calm = true;
    await this.#blowing;
  }

  async #blow(): Promise<void> {
    while (!this.#calm) if (!(await this.#put())) await systemClock.sleep(10);
  }

  async #put(): Promise<boolean> {
    // Also if it fails: it may have been taken, so its number is used up.
    this.#count += 1;
    try {
      await this.#story.put(this.#secret, String(this.#count));
      return true;
    } catch (error) {
      if (!isFault(error)) throw error;
      return false;
    }
  }
}
