/**
 * Who asks without a right: a node that lies, a node that was revoked, a server that pretends to be
 * the gateway, a token that was used.
 *
 * 1. Three containers on node-1 hold a secret each.
 * 2. Another node, with a certificate like any other, claims these containers, what they hold, their
 *    receipts, their end, and containers that it made up; it repeats what it has said. It gets nothing, its
 *    claims are on record, and the containers keep what they have.
 * 3. Control: what is due on its own node it gets. It may not renew for another key.
 * 4. A revoked node is cut off, and fifty kept TLS sessions do not let it in. Control: elsewhere they do.
 * 5. Impostors of the gateway hear nothing; files stay as they are.
 * 6. Join tokens.
 */
import { test } from 'node:test';
import { NetworkPath } from '../../src/testing/network-path.ts';
import { Story } from '../../src/testing/story.ts';
import { badCertificates, metOnTheWay } from './impostors.ts';
import { joinTokens } from './join-tokens.ts';
import { asksForEverything, getsItsOwn, renewsAnotherKey, startVictims } from './liar.ts';
import { resumptionElsewhere, revokedNode } from './revoked.ts';

test('who asks without a right', async (t) => {
  await using path = await NetworkPath.open();
  const { gatewayArguments } = path;
  await using story = await Story.open(t, { images: ['busybox'], gatewayArguments });
  if (!story) return;
  const victims = await startVictims(story);
  await t.test('2. a node asks for everything', () => asksForEverything(story, victims));
  await t.test('3a. control: it gets its own', () => getsItsOwn(story));
  await t.test('3b. it renews for another key', () => renewsAnotherKey(story));
  await t.test('4a. a revoked node', () => revokedNode(story));
  await t.test('4b. control: resumption elsewhere', resumptionElsewhere);
  await t.test('5a. certificates that are not the gateway’s', badCertificates);
  await t.test('5b. impostors on the way', () => metOnTheWay(story, path));
  await t.test('6. join tokens', () => joinTokens(story));
});
