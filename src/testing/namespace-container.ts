/**
 * A container without a container engine, for tests of what happens in the kernel: namespaces of its
 * own, a root of its own, busybox in it, and its first process a shell that takes commands.
 *
 * Its root file system is a tmpfs inside its own mount namespace, so that nothing stays behind.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { startTicksOf } from './holders.ts';
import { until } from './until.ts';

export interface ContainerOptions {
  /** Uid and gid of the first process, inside. Root when left out. */
  readonly uid?: number;
  /** Puts it into a user namespace whose id 0 is this id outside. */
  readonly firstOutsideId?: number;
  readonly readOnlyRoot?: boolean;
  /** Shell commands, run in the new root (`$root`) before it becomes the root. */
  readonly prepare?: string;
}

/** Why these containers cannot be started here, or false. For `skip`. */
export function whyNoContainers(): string | false {
  const capSysAdmin = 1n << 21n;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if ((BigInt(`0x${effective ?? 0}`) & capSysAdmin) === 0n) {
    return 'needs CAP_SYS_ADMIN: run the tests with sudo, or in a container with --privileged';
  }
  if (!existsSync(busybox)) return 'needs busybox: apt-get install busybox-static';
  return false;
}

const busybox = '/bin/busybox';

const tools =
  'sh cat ls mkdir mv ln rm mount umount stat id sleep grep chmod su echo dd find kill rmdir printf';

/** Runs on the host's binaries, in the new namespaces, until the last line. */
const build = (options: ContainerOptions): string => `
set -eu
root=/tmp
mount --make-rprivate / 2>/dev/null || true
mount -t tmpfs -o mode=755 root $root
cd $root
mkdir -p bin proc run tmp etc dev old
cp ${busybox} bin/busybox
for tool in ${tools}; do
  ln -s busybox bin/$tool
done
echo 'root:x:0:0::/:/bin/sh' > etc/passwd
echo 'app:x:${options.uid ?? 0}:${options.uid ?? 0}::/:/bin/sh' >> etc/passwd
chmod 1777 tmp
${options.prepare ?? ''}
mount -t proc proc proc
pivot_root . old
cd /
exec /bin/sh -c '
  umount -l /old
  rmdir /old
  ${options.readOnlyRoot === true ? 'mount -o remount,ro /' : ''}
  exec ${options.uid === undefined ? '/bin/sh' : 'su -s /bin/sh app'}
'
`;

export class NamespaceContainer implements AsyncDisposable {
  readonly pid: number;
  readonly startTicks: number;
  readonly mountNamespace: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: AsyncIterator<string>;
  #commands = 0;

  private constructor(child: ChildProcessWithoutNullStreams, output: Interface) {
    this.#child = child;
    this.#output = output[Symbol.asyncIterator]();
    this.pid = firstChildOf(child.pid ?? 0);
    this.startTicks = startTicksOf(this.pid) ?? 0;
    this.mountNamespace = statSync(`/proc/${this.pid}/ns/mnt`).ino;
  }

  static async start(options: ContainerOptions = {}): Promise<NamespaceContainer> {
    const enter =
      options.firstOutsideId === undefined ? [] : await userNamespace(options.firstOutsideId);
    const [program, ...words] = [...enter, 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
    const child = spawn(program ?? '', [...words, 'sh', '-c', build(options)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] },
    });
    child.stderr.resume();
    await until(
      'the container is there',
      alive(child, () => firstChildOf(child.pid ?? 0) !== 0),
    );
    const container = new NamespaceContainer(child, createInterface(child.stdout));
    await container.run('true');
    return container;
  }

  /** Runs a shell command inside and gives what it wrote, errors included, without the last newline. */
  async run(command: string): Promise<string> {
    this.#commands += 1;
    const end = `end-${this.#commands}`;
    this.#child.stdin.write(`{ ${command}\n} 2>&1; echo; echo ${end}\n`);
    const lines: string[] = [];
    for (;;) {
      const line = await this.#output.next();
      if (line.done === true) throw new Error(`the container ended: ${lines.join('\n')}`);
      if (line.value === end) return lines.join('\n').trimEnd();
      lines.push(line.value);
    }
  }

  /** The first process goes on as this user of `etc/passwd`, as where an image's entry point does so. */
  become(user: string): Promise<string> {
    // The shell that ran the command is no more when it ends, so the next one says that.
    return this.run(`exec su -s /bin/sh ${user} -c "echo end-${this.#commands + 1}; exec /bin/sh"`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    await until('the container has ended', () => startTicksOf(this.pid) !== this.startTicks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function firstChildOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

/** Words that run what follows as root of a new user namespace. */
async function userNamespace(firstOutsideId: number): Promise<string[]> {
  // It lives for as long as it takes to be entered; processes in it keep the namespace afterwards.
  const holder = spawn('unshare', ['--user', 'sleep', '5'], { stdio: 'ignore' });
  holder.unref();
  const own = readlinkSync('/proc/self/ns/user');
  const isThere = (): boolean => readlinkSync(`/proc/${holder.pid}/ns/user`) !== own;
  await until('the user namespace is there', alive(holder, isThere));
  for (const kind of ['uid', 'gid']) {
    writeFileSync(`/proc/${holder.pid}/${kind}_map`, `0 ${firstOutsideId} 65536`);
  }
  return ['nsenter', '--user', '--target', `${holder.pid}`, '--setuid', '0', '--setgid', '0'];
}

/** What is asked of a child, for as long as it lives. */
function alive(child: ChildProcess, isSo: () => boolean): () => boolean {
  return () => {
    if (child.exitCode !== null) throw new Error('the container ended before it was there');
    return isSo();
  };
}
