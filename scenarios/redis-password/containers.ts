/**
 * redis in one container, and clients that log in to it over and over from others, each time with what
 * their file says at that moment.
 */
import { createHash } from 'node:crypto';
import type { TestContainer } from '../../src/testing/container.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';

/** What redis reads at its start. Passwords are hashed in it, and it is a secret all the same. */
export function accessFile(adminPassword: string, appPasswords: readonly string[]): string {
  const hashes = (passwords: readonly string[]): string =>
    passwords.map((text) => `#${createHash('sha256').update(text).digest('hex')}`).join(' ');
  return [
    'user default off',
    `user admin on ${hashes([adminPassword])} ~* &* +@all`,
    `user app on ${hashes(appPasswords)} ~* &* +@all`,
    '',
  ].join('\n');
}

const redisCommand =
  'until [ -s /run/secrets/users.acl ]; do /bin/busybox sleep 0.05; done; ' +
  'exec /usr/bin/redis-server --save "" --dir /tmp --aclfile /run/secrets/users.acl ' +
  '--unixsocket /sock/redis.sock --unixsocketperm 777';

export function startRedis(story: Story, socketDirectory: string): Promise<TestContainer> {
  return story.container({
    image: 'redis',
    command: ['/bin/busybox', 'sh', '-c', redisCommand],
    user: '1000:1000',
    labels: { app: 'redis' },
    binds: [`${socketDirectory}:/sock`],
  });
}

/** `read` is the shell's own: between reading the password and using it lies only redis-cli's start. */
const clientCommand = `
until [ -s /run/secrets/redis-password ]; do /bin/busybox sleep 0.05; done
good=0 bad=0
while :; do
  password=
  IFS= read -r password < /run/secrets/redis-password
  answer=$(REDISCLI_AUTH=$password /usr/bin/redis-cli --user app PING 2>&1)
  if [ "$answer" = PONG ]; then good=$((good + 1)); else bad=$((bad + 1)); echo "$answer"; fi
  echo "$good $bad." > /tmp/logins
done`;

export interface Logins {
  readonly good: number;
  readonly bad: number;
}

export class Client {
  readonly container: TestContainer;
  readonly pid: number;

  private constructor(container: TestContainer, pid: number) {
    this.container = container;
    this.pid = pid;
  }

  static async start(story: Story, redis: TestContainer, uid: number): Promise<Client> {
    const container = await story.container({
      image: 'redis',
      command: ['/bin/busybox', 'sh', '-c', clientCommand],
      user: `${uid}:${uid}`,
      labels: { app: 'redis-client' },
      network: redis,
    });
    return new Client(container, await container.pid());
  }

  logins(): Logins {
    const [, good, bad] = /^(\d+) (\d+)\.$/m.exec(readInside(this.pid, '/tmp/logins') ?? '') ?? [];
    return good === undefined || bad === undefined
      ? this.#last
      : (this.#last = { good: Number(good), bad: Number(bad) });
  }

  #last: Logins = { good: 0, bad: 0 };

  /** Two whole rounds: the second of them began, and read its file, after this was called. */
  async goRound(): Promise<void> {
    const total = (): number => this.logins().good + this.logins().bad;
    const before = total();
    await until('the client logs in twice', () => total() >= before + 2);
  }
}
