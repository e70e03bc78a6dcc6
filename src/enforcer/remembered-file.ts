/**
 * The remembered state, written down: one small file on a tmpfs, replaced by rename. Written soon after
 * each change, and before it where the watchdog's knowledge must not lag.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import { type RememberedState, stateFromText, stateToText } from './remembered.ts';

const name = 'holdings.json';
/** One write for a burst of changes; far below any lease. */
const soonMs = 50;

/** Where it lies. */
export interface RememberedPlace {
  /** @returns undefined where there is nothing. */
  read(): string | undefined;
  /** The whole, or nothing of it. */
  write(text: string): void;
}

/** In a directory that is there. */
export function placeIn(directory: string): RememberedPlace {
  const path = join(directory, name);
  return {
    read() {
      try {
        return readFileSync(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    write(text) {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    },
  };
}

export class RememberedFile {
  readonly #place: RememberedPlace;
  readonly #clock: Clock;
  readonly #log: Log;
  /** The last one that was read: a watchdog reads once a second, and it changes with the gateway's words. */
  #read: { readonly text: string; readonly state: RememberedState } | undefined;
  #pending: (() => RememberedState) | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: {
    readonly place: RememberedPlace;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#place = options.place;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** @returns undefined where there is none, or none that can be read. */
  load(): RememberedState | undefined {
    try {
      const text = this.#place.read();
      if (text === undefined) return undefined;
      if (this.#read?.text !== text) this.#read = { text, state: stateFromText(text) };
      return this.#read.state;
    } catch (error) {
      this.#log.warn('remembered.unreadable', errorFields(error));
      return undefined;
    }
  }

  soon(state: () => RememberedState): void {
    this.#pending = state;
    this.#timer ??= this.#clock.setTimer(soonMs, () => this.flush());
  }

  /**
   * Writes what was given to `soon`, together with all that is given to it in this turn: a hundred sets that
   * arrive together are one write, and the file grows with them.
   *
   * @returns When that is done. Should it fail, the log says so.
   */
  written(): Promise<void> {
    return (this.#writing ??= this.#clock.nextTurn().then(() => {
      this.#writing = undefined;
      this.flush();
    }));
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const pending = this.#pending;
    this.#pending = undefined;
    if (!pending) return;
    try {
      this.#place.write(stateToText(pending()));
    } catch (error) {
      this.#log.error('remembered.not-written', errorFields(error));
    }
  }
}
