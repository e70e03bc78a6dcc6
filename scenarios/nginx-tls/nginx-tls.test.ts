/**
 * A web server whose certificate changes while it is visited.
 *
 * 1. nginx waits for its certificate and key, which come as one set of files.
 * 2. Visitors make one TLS connection after the other, and verify each.
 * 3. Both are rotated by two puts. In between they do not fit each other; nginx is told by SIGHUP,
 *    refuses to load them and goes on with what it has. No visitor notices.
 * 4. Both are rotated in one step: one secret that holds both. Nothing ever misfits.
 * 5. Both are prepared as pending, then promoted: the misfit lasts milliseconds.
 * 6. All is revoked. The files go; nginx serves from its memory until it is stopped, which is why
 *    a revoked certificate must also be revoked by its authority.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { parseSecretName } from '../../src/model/name.ts';
import { readInside, Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { type Issued, ShopAuthority } from './certificates.ts';
import { startNginx } from './nginx.ts';
import { Visitor } from './visitor.ts';

const secrets = ['shop/tls.crt', 'shop/tls.key', 'shop/bundle.pem'] as const;
const bundleOf = (issued: Issued): string => `${issued.certificate}${issued.key}`;

test('a TLS certificate and its key change while nginx serves, and no handshake fails', async (t) => {
  await using story = await Story.open(t, { images: ['nginx'] });
  if (!story) return;
  const authority = new ShopAuthority();

  t.diagnostic('1. nginx starts, and gets certificate and key as one set');
  const first = authority.issue();
  await story.put('shop/tls.crt', first.certificate);
  await story.put('shop/tls.key', first.key);
  await story.put('shop/bundle.pem', bundleOf(first));
  using nginx = await startNginx(story);
  await story.grant('shop', secrets, { onChange: { signal: 'SIGHUP' } });
  const logged = async (text: string): Promise<number> =>
    (await nginx.container.logs()).stderr.split(text).length - 1;
  await until('nginx serves', async () => (await logged('start worker processes')) > 0);
  const before = (await nginx.container.inspect())['State'] as { Pid: number; StartedAt: string };

  t.diagnostic('2. visitors come');
  await using pair = new Visitor(nginx.pairPort, authority.certificate);
  await using bundle = new Visitor(nginx.bundlePort, authority.certificate);
  const shows = (visitor: Visitor, issued: Issued) => (): boolean =>
    visitor.serial === issued.serial;
  await until('the pair is shown', shows(pair, first));
  await until('the bundle is shown', shows(bundle, first));
  {
    await using stranger = new Visitor(nginx.pairPort, new ShopAuthority().certificate);
    await until('control: a visitor notices what does not verify', () => {
      return stranger.failures.length > 0 && stranger.handshakes === 0;
    });
  }

  t.diagnostic('3. two puts: between them certificate and key do not fit');
  const misfit = 'key values mismatch';
  for (let round = 1; round <= times(3, 100); round += 1) {
    const next = authority.issue();
    const misfits = await logged(misfit);
    await story.put('shop/tls.crt', next.certificate);
    await until('nginx refuses the misfit', async () => (await logged(misfit)) > misfits);
    const visited = pair.handshakes;
    await until('visitors come in between', () => pair.handshakes > visited + 5);
    equal(pair.serial === next.serial, false, 'the new one is not shown before its key is there');
    await story.put('shop/tls.key', next.key);
    await until('the new pair is shown', shows(pair, next));
  }

  t.diagnostic('4. one secret with both: one put, one set, nothing misfits');
  const misfits = await logged(misfit);
  for (let round = 1; round <= times(3, 100); round += 1) {
    const next = authority.issue();
    await story.put('shop/bundle.pem', bundleOf(next));
    await until('the new bundle is shown', shows(bundle, next));
  }
  equal(await logged(misfit), misfits);

  t.diagnostic('5. pending, then promoted');
  const last = authority.issue();
  await story.put('shop/tls.crt', last.certificate, 'pending');
  await story.put('shop/tls.key', last.key, 'pending');
  const [name, keyName] = [parseSecretName(secrets[0]), parseSecretName(secrets[1])];
  equal(pair.serial === last.serial, false, 'what is pending is not delivered');
  await Promise.all([
    story.client.call('secret.promote', { name }),
    story.client.call('secret.promote', { name: keyName }),
  ]);
  await until('the promoted pair is shown', shows(pair, last));

  const after = (await nginx.container.inspect())['State'] as { Pid: number; StartedAt: string };
  deepEqual([after.Pid, after.StartedAt], [before.Pid, before.StartedAt], 'it was not restarted');

  t.diagnostic('6. revoked: the files go, what nginx has in memory it has');
  const pid = await nginx.container.pid();
  for (const secret of secrets) {
    await story.client.call('secret.revoke', { name: parseSecretName(secret) });
  }
  await until('the files are gone', () =>
    secrets.every((secret) => readInside(pid, `/run/secrets/${secret.slice(5)}`) === undefined),
  );
  await until('the receipts are in', async () => (await story.holdings()).length === 0);
  const visited = pair.handshakes;
  await until('nginx serves from memory', () => pair.handshakes > visited + 5);

  const receipts = await story.audit('delivery.receipt');
  equal(receipts.at(-1)?.detail['receipt'], 'gone');
  equal(receipts.at(-1)?.detail['node'], 'node-1');
  ok(receipts.every(({ outcome }) => outcome === 'ok'));
  const withdrawn = await story.audit('delivery.withdraw');
  deepEqual(
    new Set(withdrawn.slice(-3).map(({ resource }) => resource)),
    new Set(secrets.map((secret) => `secrets/${secret}`)),
  );
  deepEqual([...pair.failures, ...bundle.failures], [], 'no visitor was turned away');
  t.diagnostic(`${pair.handshakes + bundle.handshakes} handshakes, none failed`);
});
