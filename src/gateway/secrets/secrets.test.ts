/**
 * Goal: versions and stages stay sound whatever is done to a secret, and nothing that was revoked or
 * destroyed is ever opened again.
 * Method: drive plans against records in memory; compare long random histories with a small model;
 * race plans that were made from the same state.
 */
import { deepEqual, doesNotMatch, equal, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { unreachable } from '../../base/assert.ts';
import { isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { parseSecretName } from '../../model/name.ts';
import { deliverableVersion } from '../../model/secret.ts';
import { SecretValue } from '../../model/secret-value.ts';
import { MemoryRecords } from '../../testing/memory-records.ts';
import { parseLabelSelector, Secrets, type SecretPlan, SecretValues } from './secrets.ts';

const name = parseSecretName('payments/db-password');
const valueOf = (text: string): SecretValue => SecretValue.copy(Buffer.from(text));

function setUp() {
  const records = new MemoryRecords();
  const values = records.view('value');
  const secrets = new Secrets({
    secrets: records.view('secret'),
    values,
    clock: systemClock,
    random: systemRandom,
  });
  records.follow(secrets.projection);
  const opener = new SecretValues(values, secrets.reader);
  const put = (text: string, more: { stage?: 'current' | 'pending'; createOnly?: boolean } = {}) =>
    secrets.planPut({ name, value: valueOf(text), by: 'ada', ...more });
  const current = () => secrets.reader.find(name)?.secret;
  return { records, secrets, opener, put, current };
}

async function textOf(opener: SecretValues, plan: SecretPlan, version: number): Promise<string> {
  const value = await opener.openValue(plan.secret.id, version);
  return value.use((bytes) => bytes.toString());
}

test('put, promote and roll back move the stages, and values open by version', async () => {
  const { records, secrets, opener, put, current } = setUp();
  const first = put('one');
  await records.commit(first);
  await records.commit(put('two'));
  await records.commit(put('three', { stage: 'pending' }));
  const stages = () => [current()?.current, current()?.previous, current()?.pending];
  deepEqual(stages(), [2, 1, 3]);
  await records.commit(secrets.planPromote(name));
  deepEqual(stages(), [3, 2, 0]);
  await records.commit(secrets.planRollback(name));
  deepEqual(stages(), [2, 3, 0]);
  equal(await textOf(opener, first, 2), 'two');
  equal(await textOf(opener, first, 3), 'three');
  throws(() => secrets.planPromote(name), { code: 'secret.nothing-pending' });
});

test('a revoked, destroyed or deleted value is not opened', async () => {
  const { records, secrets, opener, put } = setUp();
  const plan = put('one');
  await records.commit(plan);
  const { id } = plan.secret;
  throws(() => secrets.planDestroy(name, 1), { code: 'secret.version-current' });
  await records.commit(secrets.planDelete(name));
  await rejects(opener.openValue(id, 1), { code: 'secret.deleted' });
  throws(() => put('two'), { code: 'secret.deleted' });
  await records.commit(secrets.planRestore(name));
  equal(await textOf(opener, plan, 1), 'one', 'control: restored, it opens');
  await records.commit(secrets.planRevoke(name));
  await rejects(opener.openValue(id, 1), { code: 'secret.version-not-stored' });
  throws(() => secrets.planRollback(name, 1), { code: 'secret.version-not-stored' });
  ok(records.dump().includes(`value/${id}.1`));
  await records.commit(secrets.planDestroy(name, 1));
  ok(!records.dump().includes(`value/${id}.1`), 'its record is gone');
  await rejects(opener.openValue(id, 1), { code: 'secret.version-not-stored' });
});

test('a value that is revoked while it is read is not handed out', async () => {
  const { records, secrets, put } = setUp();
  const plan = put('one');
  await records.commit(plan);
  const values = records.view('value');
  const slow = {
    ...values,
    get: async (id: string) => {
      const record = await values.get(id);
      await records.commit(secrets.planRevoke(name));
      return record;
    },
  };
  await rejects(new SecretValues(slow, secrets.reader).openValue(plan.secret.id, 1), {
    code: 'secret.version-not-stored',
  });
});

test('of plans made from one state exactly one commits: creations and new versions', async () => {
  const { records, put, current } = setUp();
  for (const round of [1, 2, 3]) {
    const plans = Array.from({ length: 20 }, (_, index) => put(`${round}.${index}`));
    const outcomes = await Promise.allSettled(plans.map((plan) => records.commit(plan)));
    equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
    equal(current()?.versions.length, round);
  }
  throws(() => put('x', { createOnly: true }), { code: 'secret.exists' });
});

test('values are 1 byte to the limit long', () => {
  const { put } = setUp();
  throws(() => put(''), { code: 'request.invalid' });
  throws(() => put('x'.repeat(limits.secretValueBytesMax + 1)), { code: 'limit.exceeded' });
  ok(put('x'.repeat(limits.secretValueBytesMax)));
});

test('no name, label or value is part of a storage key', async () => {
  const { records, secrets, put } = setUp();
  await records.commit(put('canary'));
  await records.commit(secrets.planUpdate(name, { labels: { tier: 'backend' } }));
  const keys = records
    .dump()
    .split('\n')
    .map((line) => line.split(' ')[0]);
  for (const key of keys) doesNotMatch(key ?? '', /payments|password|backend|canary/);
});

test('a change that changes nothing writes nothing', async () => {
  const { records, secrets, put } = setUp();
  await records.commit(put('one'));
  equal(secrets.planRestore(name).writes.length, 0);
  equal(secrets.planUpdate(name, { labels: {} }).writes.length, 0);
  equal(secrets.planUpdate(name, { labels: { a: '1' } }).writes.length, 1);
});

test('list goes in order of names, by prefix, and reloads the same; selectors select', async () => {
  const { records, secrets } = setUp();
  const names = ['a/one', 'a/two', 'ab', 'b/one', 'b/two/three'];
  for (const text of names.toReversed()) {
    const at = parseSecretName(text);
    await records.commit(secrets.planPut({ name: at, value: valueOf('v'), by: 'ada' }));
    await records.commit(secrets.planUpdate(at, { labels: { first: text.charAt(0), [text]: '' } }));
  }
  await records.commit(secrets.planDelete(parseSecretName('ab')));
  const list = (prefix: string, more: { after?: string; select?: string } = {}) => {
    const selects = more.select === undefined ? () => true : parseLabelSelector(more.select);
    return [...secrets.reader.list({ prefix, after: more.after ?? '' })]
      .filter(({ secret }) => selects(secret.labels))
      .map(({ secret }) => secret.name);
  };
  const expected = ['a/one', 'a/two', 'ab', 'b/one', 'b/two/three'];
  deepEqual(list(''), expected);
  deepEqual(list('a'), ['a/one', 'a/two', 'ab']);
  deepEqual(list('', { after: 'a/two' }), ['ab', 'b/one', 'b/two/three']);
  deepEqual(list('b/', { after: 'a/two' }), ['b/one', 'b/two/three']);
  deepEqual(list('a/', { after: 'b/one' }), []);
  deepEqual(list('', { select: 'first=b' }), ['b/one', 'b/two/three']);
  deepEqual(list('', { select: 'first!=b,a/two' }), ['a/two']);
  deepEqual(list('', { select: '!a/one,first=a' }), ['a/two', 'ab']);
  records.load(secrets.projection);
  deepEqual(list(''), expected);
  for (const wrong of ['', '=', 'a==b', 'a=b,', '!a=b', 'a b', 'a=b!c']) {
    throws(() => parseLabelSelector(wrong), { code: 'request.invalid' }, wrong);
  }
});

/** What a history of commands must lead to, in the plainest words. */
interface Model {
  next: number;
  readonly state: Map<number, 'stored' | 'revoked' | 'destroyed'>;
  readonly everDestroyed: Set<number>;
}

const aVersion = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 60 }));
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      stage: fc.constantFrom('current' as const, 'pending' as const),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('rollback' as const, 'revoke' as const, 'destroy' as const),
      version: aVersion,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('destroyCurrent' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('promote' as const, 'restore' as const, 'rollbackPrevious' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('delete' as const, 'revokeAll' as const) }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

function planOf(set: ReturnType<typeof setUp>, given: Command): SecretPlan {
  const { secrets } = set;
  switch (given.do) {
    case 'put':
      return set.put('v', { stage: given.stage });
    case 'rollback':
      return secrets.planRollback(name, given.version);
    case 'rollbackPrevious':
      return secrets.planRollback(name);
    case 'revoke':
      return secrets.planRevoke(name, given.version);
    case 'revokeAll':
      return secrets.planRevoke(name);
    case 'destroy':
      return secrets.planDestroy(name, given.version);
    case 'destroyCurrent':
      return secrets.planDestroy(name, set.current()?.current ?? 1);
    case 'promote':
      return secrets.planPromote(name);
    case 'delete':
      return secrets.planDelete(name);
    case 'restore':
      return secrets.planRestore(name);
    default:
      return unreachable(given);
  }
}

test('property: numbers are never reused, stages stay sound, what was lost stays lost', async () => {
  const runs = process.env['COFFER_LONG'] === '1' ? 5000 : 300;
  const history = fc.array(command, { minLength: 1, maxLength: 150, size: 'max' });
  await fc.assert(
    fc.asyncProperty(history, async (commands) => {
      const set = setUp();
      const model: Model = { next: 1, state: new Map(), everDestroyed: new Set() };
      for (const given of commands) {
        try {
          await set.records.commit(planOf(set, given));
        } catch (error) {
          ok(isFault(error), 'refusals are faults');
          continue;
        }
        checkStep(set, model, given);
      }
    }),
    { numRuns: runs },
  );
});

function checkStep(set: ReturnType<typeof setUp>, model: Model, given: Command): void {
  const secret = set.current();
  ok(secret);
  if (given.do === 'put') {
    equal(secret.versions.at(-1)?.number, model.next, 'numbers count up, never reused');
    model.next++;
  }
  ok(secret.versions.length <= limits.secretVersionsMax);
  const kept = new Map(secret.versions.map((version) => [version.number, version.state]));
  for (const [number, state] of model.state) {
    if (!kept.has(number)) model.everDestroyed.add(number);
    if (state !== 'stored') ok(kept.get(number) !== 'stored', 'nothing comes back');
    if (state === 'destroyed') ok([undefined, 'destroyed'].includes(kept.get(number)));
  }
  for (const [number, state] of kept) {
    model.state.set(number, state);
    if (state === 'destroyed') model.everDestroyed.add(number);
  }
  const stages = [secret.current, secret.previous, secret.pending].filter((number) => number > 0);
  equal(new Set(stages).size, stages.length, 'a version has one stage');
  for (const number of stages) ok(kept.has(number) && kept.get(number) !== 'destroyed');
  const deliverable = deliverableVersion(secret);
  if (deliverable !== undefined) ok(!model.everDestroyed.has(deliverable));
  const dump = set.records.dump();
  for (const number of model.everDestroyed) ok(!dump.includes(`${secret.id}.${number} `));
  for (const [number, state] of kept) {
    equal(dump.includes(`${secret.id}.${number} `), state !== 'destroyed', 'values are kept');
  }
}

test('the record that a value came from is wiped, also when it may not be given out', async () => {
  const { records, secrets, put } = setUp();
  const plan = put('one');
  await records.commit(plan);
  const read: Buffer[] = [];
  let meanwhile = async (): Promise<unknown> => undefined;
  const view = records.view('value');
  const watched = {
    ...view,
    get: async (id: string) => {
      const record = await view.get(id);
      await meanwhile();
      if (record) read.push(record.bytes);
      return record;
    },
  };
  const opener = new SecretValues(watched, secrets.reader);
  equal(await textOf(opener, plan, 1), 'one', 'control');
  meanwhile = () => records.commit(secrets.planRevoke(name, 1));
  await rejects(opener.openValue(plan.secret.id, 1), { code: 'secret.version-not-stored' });
  equal(read.length, 2);
  ok(read.every((bytes) => bytes.every((byte) => byte === 0)));
});
