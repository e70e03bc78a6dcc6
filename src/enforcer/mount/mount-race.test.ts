/**
 * Goal: nothing that a container does to its file system while we mount makes us touch anything
 * outside (G31; THREAT-MODEL, V18).
 * Method: a thread swaps a directory for a link to a directory of the host, atomically and without
 * pause, while the target is looked up, made and mounted on: until that has often succeeded and has often
 * met the link. The control looks at the path first and opens it second, as one naively would, and is
 * caught outside.
 */
import { equal, match, ok } from 'node:assert/strict';
import {
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openat, statx } from '../../linux/libc.ts';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import { ExchangeAttacker } from '../../testing/exchange-attacker.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';
import { findTargetDirectory, makeTargetDirectory } from './target-directory.ts';

const long = process.env['COFFER_LONG'] === '1';
const lookups = long ? 300_000 : 5_000;
const mountRounds = long ? 10_000 : 300;
/** So often at the least each of the two must have been met, the directory and the link. */
const often = 20;

const trap = mkdtempSync(join(tmpdir(), 'coffer-trap-'));
after(() => rmSync(trap, { recursive: true }));

/** A container in which `secrets` and a link to the host's trap are swapped without pause. */
async function underAttack(
  act: (container: NamespaceContainer, rootFd: number) => Promise<void> | void,
): Promise<void> {
  await using container = await NamespaceContainer.start({
    prepare: `mkdir run/secrets run/secrets/app; ln -s ${trap} run/link`,
  });
  const directory = `/proc/${container.pid}/root/run`;
  const rootFd = openat(AT_FDCWD, `/proc/${container.pid}/root`, O_PATH | O_DIRECTORY);
  const attacker = new ExchangeAttacker({ directory, names: ['secrets', 'link'] });
  try {
    await attacker.started();
    await act(container, rootFd);
  } finally {
    close(rootFd);
    ok((await attacker.stop()) > 0);
  }
}

const isTrap = (fd: number): boolean => Number(statx(fd).inode) === statSync(trap).ino;

/** So many times, and on until both have been met often. Only a meeting with the link may fail. */
async function doOften(times: number, act: (round: number) => unknown): Promise<void> {
  const met = { directory: 0, link: 0 };
  for (let round = 0; round < times || met.directory < often || met.link < often; round += 1) {
    ok(round < 1000 * times, `met the directory ${met.directory} and the link ${met.link} times`);
    try {
      await act(round);
      met.directory += 1;
    } catch (error) {
      // Where the mount was to go is somewhere else by now: it was undone.
      const isUndone = isFault(error, 'mount.failed') && error.detail['state'] === 'over-mounted';
      if (!isUndone && !isFault(error, 'mount.target-symlink')) throw error;
      met.link += 1;
    }
  }
}

describe('a target that is swapped for a link', {
  skip: whyNoContainers(),
  timeout: 1_200_000,
}, () => {
  test('is never looked up outside', async () => {
    await underAttack((_container, rootFd) =>
      doOften(lookups, () => {
        const fd = findTargetDirectory(rootFd, ['run', 'secrets']);
        ok(fd !== undefined, 'one of the two is always there');
        equal(isTrap(fd), false);
        close(fd);
      }),
    );
  });

  test('control: to look first and open second ends outside', async () => {
    await underAttack((container) => {
      const path = `/proc/${container.pid}/root/run/secrets`;
      let escapes = 0;
      for (let round = 0; round < 1_000_000 && escapes === 0; round += 1) {
        // It looks and sees the directory; by the time it opens, that may be the link.
        if (lstatSync(path).isSymbolicLink()) continue;
        const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
        if (isTrap(fd)) escapes += 1;
        close(fd);
      }
      ok(escapes > 0);
    });
  });

  test('is never made outside', async () => {
    const root = { uid: 0, gid: 0 };
    await underAttack((_container, rootFd) =>
      doOften(lookups, (round) => {
        const segments = ['run', 'secrets', `made-${round % 64}`];
        close(makeTargetDirectory(rootFd, segments, root).fd);
      }),
    );
    equal(readdirSync(trap).length, 0);
  });

  test('is never mounted on outside, and what is reported in place is in place', async () => {
    await underAttack(async (container) => {
      await using opened = new TestMounts();
      const { mounts } = opened;
      const place = placeIn(container, '/run/secrets/app');
      await doOften(mountRounds, async (round) => {
        const id = `race-${round}`;
        try {
          await mounts.place(id, place, setOf(1, { a: 'secret' }));
          const text = readFileSync(`/proc/${container.pid}/mountinfo`, 'utf8');
          const ours = parseMountinfo(text).filter(({ source }) => source === `coffer:${id}`);
          equal(ours.length, 1);
          // The directory, under the name that it has at this moment.
          match(ours[0]?.mountPoint ?? '', /^\/run\/(secrets|link)\/app$/);
        } finally {
          await mounts.withdraw(id);
        }
      });
      equal(await container.run('grep -c coffer /proc/mounts'), '0');
    });
    equal(readdirSync(trap).length, 0);
    equal(readFileSync('/proc/self/mountinfo', 'utf8').includes('coffer:race'), false);
    // The trap is a directory like any other: the attack could have worked.
    mkdirSync(join(trap, 'app'));
  });
});
