/**
 * Goal: whatever call fails on the way to a mount, no secret stays in a container that nobody could take
 * away again, and no descriptor stays with us (G26, G34; V20).
 * Method: a process that has ever so many descriptors left, from none to enough; and one in which the kernel
 * refuses a call after the mount can be seen. Control: with enough of them, and no refusal, it is mounted.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { MountHolderOptions } from '../../testing/mount-holder.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const program = fileURLToPath(new URL('../../testing/mount-holder.ts', import.meta.url));
const missing = (tool: string): string | false =>
  spawnSync(tool, ['-V']).status === 0 ? false : `needs ${tool}`;

/** Another process that mounts as it is told. */
class Teller implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #said: AsyncIterator<string>;

  constructor(container: NamespaceContainer, wrapper: readonly string[] = []) {
    const { pid, startTicks, mountNamespace } = container;
    const place = {
      process: { pid, startTicks, mountNamespace },
      target: '/run/secrets',
    };
    const options: MountHolderOptions = { id: 'told', place, firstRevision: 1, mode: 'told' };
    const words = [...wrapper, process.execPath, program, JSON.stringify(options)];
    const stdio = ['pipe', 'pipe', 'inherit'] as const;
    this.#child = spawn('env', words, { stdio: [...stdio] });
    this.#said = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async tell(word: 'place' | 'withdraw'): Promise<string> {
    this.#child.stdin.write(`${word}\n`);
    return String((await this.#said.next()).value);
  }

  get descriptors(): readonly string[] {
    return readdirSync(`/proc/${this.#child.pid}/fd`).toSorted((a, b) => Number(a) - Number(b));
  }

  /** So many can be opened from now on, and no more. */
  leave(descriptors: number): void {
    const used = new Set(this.descriptors.map(Number));
    const free = Array.from({ length: 1024 }, (_, fd) => fd).filter((fd) => !used.has(fd));
    const argv = ['--pid', String(this.#child.pid), `--nofile=${free[descriptors]}:`];
    equal(spawnSync('prlimit', argv).status, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await ended;
  }
}

const sets = (container: NamespaceContainer): Promise<string> =>
  container.run('grep -c coffer: /proc/mounts; find /run -type f');

describe('a mount that fails half way', { skip: whyNoContainers(), timeout: 120_000 }, () => {
  for (const readOnlyRoot of [false, true]) {
    test(`for want of descriptors leaves nothing, ${JSON.stringify({ readOnlyRoot })}`, async (t) => {
      if (missing('prlimit')) return t.skip('needs prlimit: apt-get install util-linux');
      await using container = await NamespaceContainer.start({ readOnlyRoot });
      await using teller = new Teller(container);
      deepEqual(
        [await teller.tell('place'), await teller.tell('withdraw')],
        ['mounted', 'withdrawn'],
      );
      const before = teller.descriptors;
      const said: string[] = [];
      for (let left = 0; said.at(-1) !== 'mounted' && left < 64; left += 1) {
        teller.leave(left);
        said.push(await teller.tell('place'));
        teller.leave(500);
        if (said.at(-1) === 'mounted') await teller.tell('withdraw');
        equal(await sets(container), '0', `with ${left} left it said ${said.at(-1)}`);
        deepEqual(teller.descriptors, before, `with ${left} left it said ${said.at(-1)}`);
      }
      equal(said.pop(), 'mounted', 'control');
      deepEqual(new Set(said), new Set(['mount.failed']));
      ok(said.length > 6, 'one descriptor after the other was missing');
      deepEqual(
        [await teller.tell('place'), await teller.tell('withdraw')],
        ['mounted', 'withdrawn'],
      );
      equal(await container.run('grep -c coffer /proc/mounts'), '0', 'and no stand-in stays');
    });
  }

  // The first makes the view read-only, the second our own handle of it writable.
  for (const [when, isErased] of [
    ['2', true],
    ['2+', false],
  ] as const) {
    test(`because the handle stays read-only leaves nothing, call ${when} refused`, async (t) => {
      if (missing('strace')) return t.skip('needs strace: apt-get install strace');
      await using container = await NamespaceContainer.start();
      const directory = mkdtempSync(join(tmpdir(), 'coffer-strace-'));
      t.after(() => rmSync(directory, { recursive: true }));
      const log = join(directory, 'log');
      const inject = `inject=mount_setattr:error=EPERM:when=${when}`;
      const trace = 'trace=mount_setattr,move_mount,ftruncate,umount2';
      {
        const wrapper = ['strace', '-f', '-qq', '-o', log, '-e', trace, '-e', inject];
        await using teller = new Teller(container, wrapper);
        equal(await teller.tell('place'), 'mount.failed');
        equal(await sets(container), '0');
        if (isErased) equal(await teller.tell('place'), 'mounted', 'control');
      }
      const calls = readFileSync(log, 'utf8').matchAll(/^\d+ +(\w+)\(/gm);
      const afterwards = [...calls].map(([, call]) => call).slice(2);
      equal(afterwards[0], 'mount_setattr');
      const erased = afterwards.slice(0, afterwards.indexOf('umount2')).includes('ftruncate');
      equal(erased, isErased, 'before it was detached');
    });
  }
});
