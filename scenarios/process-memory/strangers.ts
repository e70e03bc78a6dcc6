/** G44: who may look into a process of ours: root alone. */
import { deepEqual } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import type { Story } from '../../src/testing/story.ts';
import { pidOf } from './signals.ts';

const nobody = 65_534;
/** Opening the first is allowed exactly to those who may trace the process. */
const doors = ['mem', 'environ', 'maps', 'auxv', 'fd/1', 'cwd/', 'root/'];

/** Prints the doors that open. */
function attack(pid: number): readonly string[] {
  const tries = doors.map((door) => {
    const path = `/proc/${pid}/${door}`;
    const isDirectory = door.endsWith('/');
    return isDirectory
      ? `ls ${path} >/dev/null 2>&1 && echo ${door}`
      : `(: < ${path}) 2>/dev/null && echo ${door}`;
  });
  return ['sh', '-c', `${tries.join('; ')}; echo done`];
}

export function otherUser(story: Story): void {
  for (const name of ['gateway', 'enforcer'] as const) {
    deepEqual(openedBy(pidOf(story, name)), [], name);
  }
  const own = spawn('sleep', ['60'], { uid: nobody, gid: nobody, stdio: 'ignore' });
  try {
    const opened = openedBy(own.pid ?? 0);
    deepEqual(opened.slice(0, 3), ['mem', 'environ', 'maps'], 'control: its own process it reads');
  } finally {
    own.kill('SIGKILL');
  }
}

/** Root in a container that sees the host's processes, without and with the power to trace them. */
export async function rootInContainer(story: Story): Promise<void> {
  const plain = await story.container({ hostPid: true });
  const tracing = await story.container({ hostPid: true, addCapabilities: ['SYS_PTRACE'] });
  for (const name of ['gateway', 'enforcer'] as const) {
    const argv = attack(pidOf(story, name));
    deepEqual(linesOf((await plain.exec(argv)).stdout), [], name);
    const found = linesOf((await tracing.exec(argv)).stdout);
    deepEqual(
      found.slice(0, 3),
      ['mem', 'environ', 'maps'],
      'control: with that power it reads all',
    );
  }
}

function openedBy(pid: number): readonly string[] {
  const [program = '', ...argv] = attack(pid);
  const { stdout } = spawnSync(program, argv, { uid: nobody, gid: nobody, encoding: 'utf8' });
  return linesOf(stdout);
}

function linesOf(text: string): readonly string[] {
  const lines = text.trim().split('\n');
  if (lines.at(-1) !== 'done') throw new Error(`the attack did not run: ${text}`);
  return lines.slice(0, -1);
}
