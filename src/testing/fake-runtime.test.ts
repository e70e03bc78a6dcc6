/**
 * Goal: what the simulator runs on behaves as the real runtimes do.
 * Method: the same suite.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { runtimeSuite, Told } from '../enforcer/runtime/runtime.suite.ts';
import { createAttestor } from '../enforcer/attest/attest.ts';
import { FakeRuntime, fakeFacts, fakeProcesses } from './fake-runtime.ts';

runtimeSuite('fake', async () => {
  const runtime = new FakeRuntime();
  return {
    runtime,
    start: async (name) => runtime.start({ name }).id,
    stop: async (id) => runtime.stop(id),
    restart: async (id) => runtime.restart(id),
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

test('a fake container is attested as what fakeFacts says; restarted it is another', async () => {
  const runtime = new FakeRuntime();
  const kernel = fakeProcesses(runtime, 'node-1');
  const attestor = createAttestor({ runtime, node: 'node-1', kernel });
  const first = runtime.start({ name: 'one', user: '1000:1000' });
  const facts = await attestor.attest(first);
  equal(facts.process.uid, 1000);
  deepEqual(facts, fakeFacts(first, { kind: 'docker', node: 'node-1' }));
  runtime.restart(first.id);
  await rejects(attestor.attest(first), { code: 'attest.gone' });
  const again = await runtime.inspect(first.id);
  equal((await attestor.attest(again!)).containerId, facts.containerId);
  equal((await attestor.attest(again!)).id === facts.id, false);
});
