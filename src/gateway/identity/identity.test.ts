/**
 * Goal: a token works for whom it was made and no one else; a join token works once, for ten minutes,
 * for one name (G16, V8); renewing never adds a right (V4, G17); refusals are alike (V7).
 * Method: plans and the real pipeline over records in memory with a clock that stands still; races of
 * many redemptions; random histories compared with what an administrator allowed.
 */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import crypto, { createPublicKey, X509Certificate } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault, isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { systemRandom } from '../../base/random.ts';
import { keyPin } from '../../crypto/certificate-identity.ts';
import { issueNodeCertificate } from '../../crypto/x509.ts';
import { parseName } from '../../model/name.ts';
import { anonymousFrom } from '../../model/principal.ts';
import { formatJoinToken, parseJoinToken } from '../../protocol/join-token.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { joinNode, makeRequestPem, newKey } from '../../testing/operation-examples.ts';
import { bind, RequestRig } from '../../testing/request-rig.ts';

const isLong = process.env['COFFER_LONG'] === '1';
const nobody = anonymousFrom('test');
const node = parseName('node-1');

async function setUp() {
  const clock = new ManualClock();
  const rig = await new RequestRig({ clock }).withAuthority();
  return { clock, rig, owner: await rig.owner(), nodes: rig.identity.nodes };
}

async function tokenFor(rig: RequestRig, owner: Awaited<ReturnType<RequestRig['owner']>>) {
  return (await rig.ask(owner, 'node.token', { name: node })).output.token;
}

const joinWith = (rig: RequestRig, token: string, certificateRequest = makeRequestPem()) =>
  rig.ask(nobody, 'node.join', { token, certificateRequest });

async function codeOfRefusal(asked: Promise<unknown>): Promise<string> {
  return asked.then(
    () => 'ok',
    (error: unknown) => (isFault(error) ? error.message : 'crash'),
  );
}

test('a token proves its principal; everything else is refused with the same words', async () => {
  const { clock, rig } = await setUp();
  const make = (name: string, tokenEndsAtMs?: number) => {
    const plan = rig.identity.planPrincipal({
      kind: 'machine',
      name: parseName(name),
      bindings: [bind('writer', 'secrets/**')],
      ...(tokenEndsAtMs === undefined ? {} : { tokenEndsAtMs }),
    });
    return rig.records.commit(plan).then(() => plan.token);
  };
  const token = await make('ci', clock.wallMs() + 1000);
  const other = await make('other');
  const principal = await rig.identity.authenticate(token, '10.0.0.1');
  deepEqual([principal.name, principal.kind, principal.source], ['ci', 'machine', '10.0.0.1']);
  deepEqual(rig.identity.bindingsOf(principal), [bind('writer', 'secrets/**')]);

  const [, id = '', secret = ''] = /^coffer_([0-9a-f]{32})_(.*)$/.exec(token) ?? [];
  const [, otherId = ''] = /^coffer_([0-9a-f]{32})_/.exec(other) ?? [];
  const refused = [
    '',
    'coffer',
    `coffer_${id}`,
    `coffer_${'0'.repeat(32)}_${secret}`,
    `coffer_${'0'.repeat(32)}_${'0'.repeat(43)}`,
    `coffer_${otherId}_${secret}`,
    `coffer_${id}_${secret.slice(0, -1)}`,
    `coffer_${id}_${secret} `,
    ` ${token}`,
    token.toUpperCase(),
    `coffer_${id}_${'A'.repeat(43)}`,
  ];
  const said = await Promise.all(
    refused.map((bearer) => codeOfRefusal(rig.identity.authenticate(bearer, 'x'))),
  );
  deepEqual([...new Set(said)], ['auth.failed']);
  await rejects(rig.identity.authenticate(undefined, 'x'), { code: 'auth.required' });
  clock.advance(999);
  await rig.identity.authenticate(token, 'x');
  clock.advance(1);
  await rejects(rig.identity.authenticate(token, 'x'), { code: 'auth.failed' });
});

test('what is stored proves nothing: no token, no secret of one, no name in a key', async () => {
  const { rig, owner } = await setUp();
  // Not a name of hexadecimal letters: ids have those, and sooner or later that name.
  const plan = rig.identity.planPrincipal({ kind: 'user', name: parseName('zoe'), bindings: [] });
  await rig.records.commit(plan);
  const join = parseJoinToken(await tokenFor(rig, owner));
  const dump = rig.records.dump();
  const plain = dump
    .split('\n')
    .map((line) => Buffer.from(line.split(' ')[2] ?? '', 'base64').toString('latin1'))
    .join('\n');
  for (const secret of [plan.token.slice(-43), join.secret]) {
    ok(!dump.includes(secret) && !plain.includes(secret));
    ok(!plain.includes(Buffer.from(secret, 'base64url').toString('latin1')));
  }
  const keys = dump.split('\n').map((line) => line.split(' ')[0]);
  ok(keys.every((key) => !/\/.*(zoe|owner|node-1)/.test(key ?? '')));
  ok(plain.includes(join.id) || dump.includes(join.id), 'control: the scan sees what is there');
});

test('two principals of one name cannot both be made', async () => {
  const { rig } = await setUp();
  const plans = [1, 2].map(() =>
    rig.identity.planPrincipal({ kind: 'user', name: parseName('ada'), bindings: [] }),
  );
  const done = await Promise.allSettled(plans.map((plan) => rig.records.commit(plan)));
  equal(done.filter((outcome) => outcome.status === 'fulfilled').length, 1);
});

test('of 200 redemptions of one join token exactly one succeeds', async () => {
  for (let round = 0; round < (isLong ? 500 : 5); round++) {
    const { rig, owner } = await setUp();
    const token = await tokenFor(rig, owner);
    const request = makeRequestPem();
    const settled = await Promise.allSettled(
      Array.from({ length: 200 }, () => joinWith(rig, token, request)),
    );
    const joined = settled.filter((outcome) => outcome.status === 'fulfilled');
    equal(joined.length, 1);
    for (const outcome of settled) {
      if (outcome.status === 'rejected') equal((outcome.reason as Fault).code, 'auth.failed');
    }
    const entries = rig.audit.kept.filter(
      (entry) => entry.action === 'node.join' && entry.outcome === 'ok',
    );
    deepEqual(
      entries.map((entry) => entry.resource),
      ['nodes/node-1'],
    );
  }
});

test('a join token ends after ten minutes, to the millisecond', async () => {
  for (const [afterMs, works] of [
    [limits.joinTokenMsMax - 1, true],
    [limits.joinTokenMsMax, false],
    [limits.joinTokenMsMax + 1, false],
  ] as const) {
    const { clock, rig, owner } = await setUp();
    const token = await tokenFor(rig, owner);
    clock.advance(afterMs);
    const outcome = await codeOfRefusal(joinWith(rig, token));
    equal(outcome === 'ok', works, `${afterMs}`);
  }
});

test('a join token is for one name, one secret and one use; refusals are alike', async () => {
  const { rig, owner, nodes } = await setUp();
  const token = await tokenFor(rig, owner);
  const parsed = parseJoinToken(token);
  const refused = [
    'coffer-join-nonsense',
    formatJoinToken({ ...parsed, node: parseName('node-2') }),
    formatJoinToken({ ...parsed, secret: 'A'.repeat(43) }),
    formatJoinToken({ ...parsed, id: '0'.repeat(32) }),
  ];
  for (const wrong of refused) equal(await codeOfRefusal(joinWith(rig, wrong)), 'auth.failed');
  await rejects(joinWith(rig, token, makeRequestPem().slice(0, 100)), {
    code: 'request.invalid',
  });
  const { output } = await joinWith(rig, token);
  equal(output.name, 'node-1');
  const live = nodes.liveNode(new X509Certificate(output.certificate));
  equal(live.kind === 'live' && live.node.name, 'node-1');
  equal(await codeOfRefusal(joinWith(rig, token)), 'auth.failed');

  const older = await tokenFor(rig, owner);
  const newer = await tokenFor(rig, owner);
  equal(
    await codeOfRefusal(joinWith(rig, older)),
    'auth.failed',
    'a newer token ends an older one',
  );
  const again = await joinWith(rig, newer);
  const before = nodes.liveNode(new X509Certificate(output.certificate));
  deepEqual(
    before,
    { kind: 'refused', reason: 'not-listed', name: node },
    'joining again ends the old key',
  );
  equal(nodes.liveNode(new X509Certificate(again.output.certificate)).kind, 'live');
});

test('a failed join leaves no node, no certificate and the token as it was (V26)', async () => {
  const { rig, owner, nodes } = await setUp();
  const token = await tokenFor(rig, owner);
  const dump = rig.records.dump();
  rig.audit.failure = new Fault('storage.full');
  await rejects(joinWith(rig, token), { code: 'storage.full' });
  await rejects(rig.ask(owner, 'node.token', { name: 'node-9' }), { code: 'storage.full' });
  equal(rig.records.dump(), dump);
  deepEqual(nodes.find(node), undefined);
  rig.audit.failure = undefined;
  await joinWith(rig, token);
});

test('a revoked node is refused at once, gets no new certificate and no new token', async () => {
  const { rig, owner, nodes } = await setUp();
  const { certificate } = await joinNode(rig, owner, nobody, 'node-1');
  const spare = await tokenFor(rig, owner);
  const { output } = await rig.ask(owner, 'node.revoke', { name: node });
  equal(output.state, 'revoked');
  const refused = nodes.liveNode(new X509Certificate(certificate));
  deepEqual(refused, { kind: 'refused', reason: 'revoked', name: node });
  throws(() => nodes.planRenew(node, makeRequestPem()), { code: 'certificate.refused' });
  equal(await codeOfRefusal(joinWith(rig, spare)), 'auth.failed');
  await rejects(rig.ask(owner, 'node.token', { name: node }), { code: 'node.revoked' });
  await rig.ask(owner, 'node.revoke', { name: node });
  deepEqual(nodes.find(node)?.node.certificates, [], 'nothing is listed');
  ok(!rig.records.dump().includes('join-token/'), 'no token is left');
});

test('certificates of another authority, or that nobody listed, are not live', async () => {
  const { rig, owner, nodes } = await setUp();
  const key = newKey();
  await joinWith(rig, await tokenFor(rig, owner), makeRequestPem(key));
  const elsewhere = await setUp();
  const foreign = await joinNode(elsewhere.rig, elsewhere.owner, nobody, 'node-1');
  const outcome = nodes.liveNode(new X509Certificate(foreign.certificate));
  equal(outcome.kind === 'refused' && outcome.reason, 'other-authority');
  const plan = nodes.planRenew(node, makeRequestPem(key));
  const renewed = new X509Certificate(plan.certificate);
  deepEqual(
    nodes.liveNode(renewed),
    { kind: 'refused', reason: 'not-listed', name: node },
    'not committed',
  );
  await rig.records.commit(plan);
  equal(nodes.liveNode(renewed).kind, 'live', 'control: committed');
});

test('the certificate in use stays on the list, however many answers are lost', async () => {
  const { rig, owner, nodes } = await setUp();
  const key = newKey();
  const { output } = await joinWith(rig, await tokenFor(rig, owner), makeRequestPem(key));
  const inUse = new X509Certificate(output.certificate);
  for (let lost = 0; lost < 2 * limits.nodeCertificatesMax; lost += 1) {
    const live = nodes.liveNode(inUse);
    ok(live.kind === 'live');
    await rig.records.commit(nodes.planRenew(node, makeRequestPem(key), live.certificate));
    equal(nodes.liveNode(inUse).kind, 'live');
  }
  const stored = nodes.find(node)?.node.certificates;
  equal(stored?.length, limits.nodeCertificatesMax);
  // Control: of certificates that are not in use the oldest go.
  for (let more = 0; more < limits.nodeCertificatesMax; more += 1) {
    await rig.records.commit(nodes.planRenew(node, makeRequestPem(key)));
  }
  equal(nodes.liveNode(inUse).kind, 'refused');
});

test('a node that was let in is live until it is revoked or joins again, however often it renews', async () => {
  const { clock, rig, owner, nodes } = await setUp();
  const key = newKey();
  await joinWith(rig, await tokenFor(rig, owner), makeRequestPem(key));
  const letIn = nodes.find(node)?.node;
  ok(letIn);
  for (let day = 0; day < 3; day += 1) {
    clock.advance((limits.nodeCertificateMs * 2) / 3);
    await rig.records.commit(nodes.planRenew(node, makeRequestPem(key)));
  }
  const listed = nodes.find(node)?.node.certificates.map(({ serial }) => serial);
  equal(listed?.includes(letIn.certificates[0]?.serial ?? ''), false, 'its certificate has ended');
  equal(nodes.isStillLive(letIn), true, 'control');
  // Also with the same key: it may be on another machine.
  await joinWith(rig, await tokenFor(rig, owner), makeRequestPem(key));
  equal(nodes.isStillLive(letIn), false, 'joined again');
  const again = nodes.find(node)?.node;
  ok(again && nodes.isStillLive(again), 'control');
  await rig.ask(owner, 'node.revoke', { name: node });
  equal(nodes.isStillLive(again), false, 'revoked');
});

test('a certificate with the serial number of a listed one is not that one', async () => {
  const { clock, rig, owner, nodes } = await setUp();
  const { certificate } = await joinNode(rig, owner, nobody, 'node-1');
  const listed = new X509Certificate(certificate);
  const twin = issueNodeCertificate(rig.identity.authorityForGateway(), {
    nodeName: 'node-1',
    publicKey: createPublicKey(newKey()),
    trustDomain: 'test.example',
    nowMs: clock.wallMs(),
    lifetimeMs: 3_600_000,
    random: { ...systemRandom, bytes: () => Buffer.from(listed.serialNumber, 'hex') },
  });
  equal(twin.serialNumber, listed.serialNumber);
  deepEqual(nodes.liveNode(twin), { kind: 'refused', reason: 'not-listed', name: node });
  equal(nodes.liveNode(listed).kind, 'live', 'control');
});

test('of two plans about one node that were made at once, the one that comes second conflicts', async () => {
  const key = newKey();
  type Rig = Awaited<ReturnType<typeof setUp>>;
  type Plan = Parameters<Rig['rig']['records']['commit']>[0];
  const tokenOf = async ({ rig, owner }: Rig) => parseJoinToken(await tokenFor(rig, owner));
  const joining = async (rig: Rig): Promise<() => Plan> => {
    const { id: publicId, secret } = await tokenOf(rig);
    const given = {
      publicId,
      secret,
      node: 'node-1',
      certificateRequest: makeRequestPem(newKey()),
    };
    return () => rig.nodes.planJoin(given);
  };
  const renewing =
    async ({ nodes }: Rig) =>
    () =>
      nodes.planRenew(node, makeRequestPem(key));
  const revoking =
    async ({ nodes }: Rig) =>
    () =>
      nodes.planRevoke(node);
  const tokening =
    async ({ nodes }: Rig) =>
    () =>
      nodes.planToken(node);
  const pairs = [
    [renewing, revoking, 'a renewal brings no revoked node back'],
    [joining, revoking, 'nor does a join'],
    [tokening, revoking, 'nor a token'],
    [joining, tokening, 'a token that a newer one ended is not redeemed'],
    [renewing, renewing, 'no renewal loses another’s certificate'],
    [revoking, renewing, 'what is revoked is what is there'],
    [revoking, joining, 'that too'],
  ] as const;
  for (const [late, early, why] of pairs) {
    const rig = await setUp();
    await joinWith(rig.rig, await tokenFor(rig.rig, rig.owner), makeRequestPem(key));
    const [makeLate, makeEarly] = [await late(rig), await early(rig)];
    const [second, first] = [makeLate(), makeEarly()];
    await rig.rig.records.commit(first);
    await rejects(rig.rig.records.commit(second), { code: 'request.conflict' }, why);
    if (early === revoking) equal(rig.nodes.find(node)?.node.state, 'revoked');
  }
});

test('a join token that somehow outlived its node’s revocation is refused', async () => {
  const { rig, owner, nodes } = await setUp();
  await joinNode(rig, owner, nobody, 'node-1');
  const token = await tokenFor(rig, owner);
  const view = rig.records.view('join-token');
  const kept = await view.get(parseJoinToken(token).id);
  await rig.ask(owner, 'node.revoke', { name: node });
  const back = view.put(kept?.id ?? '', kept?.bytes ?? Buffer.alloc(0));
  await rig.records.commit({ writes: [back], expectations: [] });
  equal(await codeOfRefusal(joinWith(rig, token)), 'auth.failed');
  equal(nodes.find(node)?.node.state, 'revoked');
});

test('a new token ends the older one of its name, however many others have ended', async () => {
  const { clock, rig, owner } = await setUp();
  for (let index = 0; index < 40; index++) {
    await rig.ask(owner, 'node.token', { name: `other-${index}` });
  }
  clock.advance(limits.joinTokenMsMax - 1);
  const older = await tokenFor(rig, owner);
  clock.advance(1);
  await tokenFor(rig, owner);
  equal(await codeOfRefusal(joinWith(rig, older)), 'auth.failed');
});

test('every refused token costs the same: one hash, and one comparison in constant time', async (t) => {
  const { rig } = await setUp();
  const plan = rig.identity.planPrincipal({ kind: 'user', name: parseName('zoe'), bindings: [] });
  await rig.records.commit(plan);
  const compared = t.mock.method(crypto, 'timingSafeEqual').mock;
  const hashed = t.mock.method(crypto, 'createHash').mock;
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const id = plan.token.slice(0, -43);
  for (const bearer of [
    '',
    'nonsense',
    `${id}${'A'.repeat(43)}`,
    `${id.replace(/[0-9a-f]{32}/, 'f'.repeat(32))}${'A'.repeat(43)}`,
  ]) {
    compared.resetCalls();
    hashed.resetCalls();
    await rejects(rig.identity.authenticate(bearer, 'x'), { code: 'auth.failed' });
    deepEqual([compared.callCount(), hashed.callCount()], [1, 1], bearer);
  }
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant('renew' as const) },
  { weight: 2, arbitrary: fc.constant('renew-other-key' as const) },
  { weight: 2, arbitrary: fc.constant('wait' as const) },
  { weight: 1, arbitrary: fc.constant('join-again' as const) },
  { weight: 1, arbitrary: fc.constant('revoke' as const) },
);

test('property: whatever is renewed, name and key stay and no right is added', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12, size: 'max' }), async (steps) => {
      const { clock, rig, owner, nodes } = await setUp();
      let key = newKey();
      let isRevoked = false;
      const join = async (): Promise<X509Certificate> => {
        const { output } = await joinWith(rig, await tokenFor(rig, owner), makeRequestPem(key));
        return new X509Certificate(output.certificate);
      };
      let newest = await join();
      const earlier: X509Certificate[] = [];
      for (const taken of steps) {
        if (taken === 'wait') clock.advance(limits.nodeCertificateMs / 3);
        else if (taken === 'revoke') {
          await rig.ask(owner, 'node.revoke', { name: node });
          isRevoked = true;
        } else if (taken === 'join-again') {
          if (isRevoked) continue;
          key = newKey();
          earlier.push(newest);
          newest = await join();
        } else if (taken === 'renew-other-key' || isRevoked) {
          const request = makeRequestPem(taken === 'renew' ? key : newKey());
          throws(() => nodes.planRenew(node, request), { code: 'certificate.refused' });
        } else {
          const plan = nodes.planRenew(node, makeRequestPem(key));
          await rig.records.commit(plan);
          newest = new X509Certificate(plan.certificate);
          const lifeMs = newest.validToDate.getTime() - clock.wallMs();
          ok(lifeMs <= limits.nodeCertificateMs, 'no certificate outlives its ceiling');
        }
        equal(keyPin(newest), keyPin(createPublicKey(key)), 'the key stays the one that joined');
        equal(newest.subjectAltName, 'URI:spiffe://test.example/node/node-1');
        for (const old of earlier) equal(nodes.liveNode(old).kind, 'refused');
        const hasEnded = newest.validToDate.getTime() < clock.wallMs();
        equal(nodes.liveNode(newest).kind, isRevoked || hasEnded ? 'refused' : 'live');
      }
      const stored = nodes.find(node)?.node;
      ok((stored?.certificates.length ?? 0) <= limits.nodeCertificatesMax);
    }),
    { numRuns: isLong ? 5000 : 60 },
  );
});
