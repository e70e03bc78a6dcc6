/**
 * A database password that changes twenty times while everybody is logging in.
 *
 * 1. redis gets its access file, its clients the password, both from Cofferdam.
 * 2. Each rotation: redis learns the new password beside the old one; the new one is put, and is in
 *    every client once the gateway has their receipts; every client has logged in again; redis
 *    forgets the old one. Not one login fails, and nothing is restarted.
 * 3. Control: redis forgets the password before the clients have a new one, and logins fail.
 * 4. redis is restarted: a new mount namespace, and its access file is there again.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readInside, Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { accessFile, Client, startRedis } from './containers.ts';
import { RedisAdmin } from './redis-admin.ts';

const newPassword = (): string => randomBytes(24).toString('base64url');

test('a redis password is rotated under logins, and none fails', async (t) => {
  await using stack = new AsyncDisposableStack();
  const story = await Story.open(t, { images: ['redis'] });
  if (!story) return;
  stack.use(story);
  const directory = mkdtempSync(join(tmpdir(), 'coffer-redis-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  chmodSync(directory, 0o777);
  const socket = join(directory, 'redis.sock');

  t.diagnostic('1. redis starts with its access file, two clients log in without a pause');
  const adminPassword = newPassword();
  let password = newPassword();
  await story.put('cache/users.acl', accessFile(adminPassword, [password]));
  await story.put('cache/redis-password', password);
  await story.grant('redis', ['cache/users.acl']);
  await story.grant('redis-client', ['cache/redis-password']);
  const redis = await startRedis(story, directory);
  const login = (): Promise<RedisAdmin> => RedisAdmin.login(socket, 'admin', adminPassword);
  using admin = await retried(login);
  const clients = [
    await Client.start(story, redis, 1000),
    await Client.start(story, redis, 2000),
  ] as const;
  for (const client of clients) await client.goRound();
  const pids = clients.map(({ pid }) => pid);
  const failed = (): number => clients.reduce((sum, client) => sum + client.logins().bad, 0);
  equal(failed(), 0);

  t.diagnostic('2. rotations');
  const rounds = times(20, 500);
  for (let round = 1; round <= rounds; round += 1) {
    const next = newPassword();
    await admin.command('ACL', 'SETUSER', 'app', `>${next}`);
    await story.put('cache/users.acl', accessFile(adminPassword, [password, next]));
    await story.put('cache/redis-password', next);
    await until('every receipt is in', async () => {
      const holdings = await story.holdings('cache/redis-password');
      return holdings.length === 2 && holdings.every(({ state }) => state === 'current');
    });
    for (const { pid } of clients) equal(readInside(pid, '/run/secrets/redis-password'), next);
    await Promise.all(clients.map((client) => client.goRound()));
    await admin.command('ACL', 'SETUSER', 'app', `<${password}`);
    await story.put('cache/users.acl', accessFile(adminPassword, [next]));
    password = next;
  }
  await Promise.all(clients.map((client) => client.goRound()));
  equal(failed(), 0, (await clients[0].container.logs()).stdout);
  deepEqual(await Promise.all(clients.map(({ container }) => container.pid())), pids);
  const logins = clients.reduce((sum, client) => sum + client.logins().good, 0);
  ok(logins > rounds * 4, 'clients logged in during every rotation');
  t.diagnostic(`${logins} logins over ${rounds} rotations, none failed`);

  t.diagnostic('3. control: without the overlap logins fail');
  const before = failed();
  await admin.command('ACL', 'SETUSER', 'app', `<${password}`);
  await until('logins fail', () => failed() > before);

  t.diagnostic('4. redis is restarted and finds its access file');
  await redis.restart();
  using _again = await retried(login);
});

async function retried<T>(act: () => Promise<T>): Promise<T> {
  let result: { readonly value: T } | undefined;
  await until('redis lets the administrator in', async () => {
    try {
      result = { value: await act() };
    } catch {
      // Not up yet.
    }
    return result !== undefined;
  });
  if (!result) throw new Error('unreachable');
  return result.value;
}
