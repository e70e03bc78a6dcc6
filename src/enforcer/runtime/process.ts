/**
 * The runtime for plain processes, where there is no container engine: whoever starts one registers
 * it (`registration.ts`), and this tells of it for as long as exactly that process lives.
 *
 * Ends of processes are noticed within a second; starts at once.
 */
import { watch as watchDirectory } from 'node:fs';
import { isFault } from '../../base/fault.ts';
import { errorFields } from '../../base/log.ts';
import { HeldProcess } from '../../linux/process.ts';
import { Changes } from './changes.ts';
import { differences, type Known } from './known.ts';
import { listRegistrations, openRegistrations, readRegistration } from './registration.ts';
import type { Runtime, RuntimeContainer, RuntimeContext, RuntimeEvent } from './runtime.ts';

/** Between two looks at all of them: /proc tells nobody that a process ended, one has to look. */
const lookMs = 1_000;

export interface ProcessRuntimeOptions extends RuntimeContext {
  readonly directory: string;
}

export class ProcessRuntime implements Runtime {
  readonly kind = 'process';
  readonly #options: ProcessRuntimeOptions;
  readonly #unreadable = new Set<string>();

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options;
  }

  async inspect(id: string): Promise<RuntimeContainer | undefined> {
    const registration = readRegistration(this.#options.directory, id);
    if (registration === undefined) return undefined;
    using held = HeldProcess.openSame(registration);
    if (held === undefined) return undefined;
    return {
      id,
      name: registration.name,
      pid: registration.pid,
      image: { reference: registration.image ?? '', id: '', digests: [] },
      labels: registration.labels,
      startedAtMs: registration.startedAtMs,
      user: '',
      readOnlyRoot: false,
      privileged: false,
      hostPid: false,
      sandboxed: false,
    };
  }

  async *watch(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const { directory, clock } = this.#options;
    openRegistrations(directory);
    const changes = new Changes();
    const watcher = watchDirectory(directory, { persistent: false }, () => changes.add('any'));
    watcher.on('error', () => changes.add('any'));
    const onAbort = (): void => changes.end();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const known: Known = new Map();
      let synced = false;
      while (!signal.aborted) {
        const ids = new Set([...listRegistrations(directory), ...known.keys()]);
        for (const id of ids) {
          const look = await this.#look(id);
          if (look !== 'unreadable') yield* differences(known, look);
        }
        if (!synced) yield { kind: 'synced' };
        synced = true;
        if (!signal.aborted) await changes.take(1, { clock, quietMs: lookMs });
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      watcher.close();
    }
  }

  async #look(
    id: string,
  ): Promise<
    { readonly id: string; readonly container: RuntimeContainer | undefined } | 'unreadable'
  > {
    try {
      const container = await this.inspect(id);
      this.#unreadable.delete(id);
      return { id, container };
    } catch (error) {
      if (!isFault(error, 'runtime.invalid')) throw error;
      // Said once, not every second.
      if (!this.#unreadable.has(id)) {
        this.#options.log.warn('runtime.unreadable', { container: id, ...errorFields(error) });
      }
      this.#unreadable.add(id);
      return 'unreadable';
    }
  }
}
