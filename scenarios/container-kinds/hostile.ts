/** Containers that work against what is mounted in them, or offer nothing that it can be mounted on. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { isFault } from '../../src/base/fault.ts';
import type { TestContainer } from '../../src/testing/container.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { faultOf, isCurrent, shownOf } from './shown.ts';

const target = '/run/secrets';

/**
 * With CAP_SYS_ADMIN a container can unmount and cover what is ours. It harms itself only, and it is
 * seen. @returns what waits until the node has looked around and said so.
 */
export async function tampering(story: Story): Promise<() => Promise<void>> {
  await story.put('tampered/token', 'before');
  await story.grant('tampered', ['tampered/token']);
  const common = { labels: { app: 'tampered' }, addCapabilities: ['SYS_ADMIN'] } as const;
  const hostConfig = { SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'] };
  const acts = {
    'un-mounter': ['umount', '-l', target],
    'over-mounter': ['mount', '-t', 'tmpfs', 'none', target],
  } as const;
  let unmounter: TestContainer | undefined;
  let coverer: TestContainer | undefined;
  for (const [name, act] of Object.entries(acts)) {
    const container = await story.container({ ...common, hostConfig, name });
    await isCurrent(story, name);
    const done = await container.exec(act);
    equal(done.exitCode, 0, done.stderr);
    equal(readInside(await container.pid(), `${target}/token`), undefined);
    if (name === 'un-mounter') unmounter = container;
    else coverer = container;
  }
  const ids = new Set<unknown>();
  for (const name of Object.keys(acts)) ids.add((await shownOf(story, name))[0]?.workloadId);
  return async () => {
    const told = (program: string): Set<unknown> =>
      new Set(
        story.logged
          .filter((line) => line['program'] === program && line['event'] === 'mount.tampered')
          .map((line) => line['workload']),
      );
    await until('the enforcer has looked around', () => told('gateway').size === 2, {
      withinMs: 40_000,
    });
    deepEqual(told('enforcer'), ids);
    deepEqual(told('gateway'), ids);
    // Nobody can be made to keep a mount: but where it is gone it is made anew.
    await isCurrent(story, 'un-mounter');
    equal(readInside((await unmounter?.pid()) ?? 0, `${target}/token`), 'before');
    equal(await faultOf(story, 'over-mounter'), 'mount.covered');
    // It uncovers the directory again: the next try, which comes by itself, is seen inside.
    await coverer?.exec(['umount', target]);
    await isCurrent(story, 'over-mounter');
    equal(readInside((await coverer?.pid()) ?? 0, `${target}/token`), 'before');
    // A receipt says what is truly there: not that a change arrived which nobody inside can see.
    await story.put('tampered/token', 'after');
    for (const name of Object.keys(acts)) {
      await until(`${name} has the change`, async () => {
        const [shown] = await shownOf(story, name);
        return shown?.state === 'current' && shown.version === 2;
      });
    }
  };
}

/** Targets that are links, files, taken, full, out of bounds: each is named by its fault. */
export async function badTargets(story: Story): Promise<void> {
  await story.put('targets/token', 'not for everywhere');
  const cases = {
    'target-link': { prepare: 'ln -s /etc /run/secrets', fault: 'mount.target-symlink' },
    'target-file': { prepare: 'touch /run/secrets', fault: 'mount.target-invalid' },
    'target-taken': {
      prepare: 'mkdir /run/secrets; touch /run/secrets/mine',
      fault: 'mount.target-occupied',
    },
    'target-full': { prepare: 'true', tmpfs: { '/run': 'nr_inodes=1' }, fault: 'mount.full' },
    'target-elsewhere': { prepare: 'true', target: '/etc/app', fault: 'mount.target-invalid' },
  } as const;
  for (const [name, test] of Object.entries(cases)) {
    const container = await story.container({
      name,
      command: ['sh', '-c', `${test.prepare}; touch /tmp/ready; sleep 1000000`],
      labels: { app: name },
      ...('tmpfs' in test ? { tmpfs: test.tmpfs } : {}),
    });
    const pid = await container.pid();
    await until(`${name} is prepared`, () => readInside(pid, '/tmp/ready') !== undefined);
    await story.grant(name, ['targets/token'], 'target' in test ? { target: test.target } : {});
    equal(await faultOf(story, name), test.fault, name);
    equal(readInside(pid, '/etc/token'), undefined, 'nothing lies where the link leads');
    if (name !== 'target-taken') continue;
    // What was in the way is gone: the next try, which comes by itself, succeeds.
    await container.exec(['rm', '/run/secrets/mine']);
    await isCurrent(story, name);
  }
  // What can never be right is refused when it is said.
  for (const [index, target] of ['run/secrets', '/run/../etc', '/proc/self', '/'].entries()) {
    await rejects(
      story.grant(`target-never-${index}`, ['targets/token'], { target }),
      (error) => isFault(error, 'request.invalid'),
      target,
    );
  }
  ok((await story.audit('delivery.receipt')).some(({ outcome }) => outcome === 'mount.full'));
}
