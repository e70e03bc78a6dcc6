/**
 * Goal: what the simulator runs on behaves as the real runtimes do.
 * Method: the same suite.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { runtimeSuite, Told } from '../enforcer/runtime/runtime.suite.ts';
import { FakeRuntime, fakeAttestor } from './fake-runtime.ts';

runtimeSuite('fake', async () => {
  const runtime = new FakeRuntime();
  return {
    runtime,
    start: async (name) => runtime.start({ name }).id,
    stop: async (id) => runtime.stop(id),
    restart: (id) => runtime.restart(id),
    async [Symbol.asyncDispose]() {},
  };
});

test('FakeRuntime tells nothing while unreachable, and the differences afterwards', async () => {
  const runtime = new FakeRuntime();
  const { id } = runtime.start({ name: 'one' });
  await using told = new Told(runtime);
  await told.synced();
  runtime.setUnreachable(true);
  runtime.stop(id);
  await rejects(runtime.inspect(id), { code: 'runtime.unreachable' });
  deepEqual(told.kinds(id), ['started']);
  runtime.setUnreachable(false);
  await told.until((so) => so.kinds(id).includes('stopped'));
});

test('fakeAttestor gives a restarted container a new id, and refuses the old one', async () => {
  const runtime = new FakeRuntime();
  const attestor = fakeAttestor(runtime, 'node-1');
  const first = runtime.start({ name: 'one', user: '1000:1000' });
  const facts = await attestor.attest(first);
  equal(facts.process.uid, 1000);
  await runtime.restart(first.id);
  await rejects(attestor.attest(first), { code: 'attest.gone' });
  const again = await runtime.inspect(first.id);
  equal((await attestor.attest(again!)).containerId, facts.containerId);
  equal((await attestor.attest(again!)).id === facts.id, false);
});
