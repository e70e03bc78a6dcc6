/**
 * Where the remembered state lies: one small file on a tmpfs, replaced by rename. Written soon after
 * each change, and at once where the watchdog's knowledge must not lag.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import { type RememberedState, stateFromText, stateToText } from './remembered.ts';

const name = 'holdings.json';
/** One write for a burst of changes; far below any lease. */
const soonMs = 50;

export class RememberedFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #pending: (() => RememberedState) | undefined;
  #timer: Timer | undefined;

  constructor(options: { readonly directory: string; readonly clock: Clock; readonly log: Log }) {
    this.#path = join(options.directory, name);
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** @returns undefined where there is none, or none that can be read. */
  load(): RememberedState | undefined {
    try {
      return stateFromText(readFileSync(this.#path, 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn('remembered.unreadable', errorFields(error));
      }
      return undefined;
    }
  }

  soon(state: () => RememberedState): void {
    this.#pending = state;
    this.#timer ??= this.#clock.setTimer(soonMs, () => this.flush());
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const pending = this.#pending;
    this.#pending = undefined;
    if (!pending) return;
    try {
      writeFileSync(`${this.#path}.new`, stateToText(pending()), { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      this.#log.error('remembered.not-written', errorFields(error));
    }
  }
}
