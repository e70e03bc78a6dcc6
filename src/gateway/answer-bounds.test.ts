/**
 * Goal: whatever comes in within its bounds can be answered: nobody can make an answer that does not fit
 * its schema, which would be a fault of the gateway for everybody who asks.
 * Method: a secret, a container and a node's words, each as long and as large as it may be; then every
 * answer that repeats them. Control: one character more does not come in.
 */
import { deepEqual, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import type { SetReceipt } from '../model/assignment.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import type { OperationName } from '../protocol/operations.ts';
import { decodeFromEnforcer, encodeFromEnforcer } from '../protocol/stream-messages.ts';
import { DeliveryRig, workload } from '../testing/delivery-rig.ts';

const segment = 's'.repeat(limits.nameSegmentCharsMax);
const secret = Array.from({ length: limits.nameSegmentsMax }, () => segment).join('/');
const group = 'g'.repeat(limits.nameSegmentCharsMax);
const fact = (letter: string): string => letter.repeat(limits.factCharsMax);
/** Codes, ids and places that a node names: `short` in the stream's messages. */
const word = 'w'.repeat(512);

const longest: WorkloadFacts = {
  ...workload(1, 'node-1', fact('n')),
  image: {
    reference: fact('r'),
    id: fact('i'),
    digests: Array.from({ length: limits.imageDigestsMax }, () => fact('d')),
  },
  labels: Object.fromEntries(
    Array.from({ length: limits.containerLabelsMax }, (_, index) => [
      `l${index}`,
      'v'.repeat(limits.containerLabelCharsMax),
    ]),
  ),
};

/** As it comes over the wire, which is where a node's words are bounded. */
function received(facts: WorkloadFacts): WorkloadFacts {
  const message = decodeFromEnforcer(
    encodeFromEnforcer({ kind: 'workload-started', workload: facts }),
  );
  ok(message?.kind === 'workload-started');
  return message.workload;
}

function receivedReceipt(receipt: SetReceipt): SetReceipt {
  const message = decodeFromEnforcer(encodeFromEnforcer({ kind: 'receipt', receipt }));
  ok(message?.kind === 'receipt');
  return message.receipt;
}

test('the longest names, facts and words that come in are in answers that fit', async () => {
  const rig = new DeliveryRig();
  const { requests } = rig;
  rig.owner = await requests.owner();
  const ask = (operation: OperationName, input: object, more: object = {}) =>
    requests.ask(rig.owner, operation, { ...input }, more);
  const labels = Object.fromEntries(
    Array.from({ length: limits.labelsMax }, (_, index) => [
      `${'k'.repeat(200)}${index}`,
      'v'.repeat(limits.labelValueCharsMax),
    ]),
  );
  const match = { docker: { name: '**' }, node: 'node-1' };
  await ask('group.put', { name: group, match });
  // Before there is one: the warning names it.
  await ask('grant.put', { group, secrets: [{ secret }] });
  await ask('access.who-can', { secret });
  const { revision: ifRevision = 0 } = await requests.put(rig.owner, secret, 'value');
  await ask(
    'secret.update',
    { name: secret, labels, description: 'd'.repeat(1024) },
    { ifRevision },
  );

  await ask('node.token', { name: 'node-1' });
  const weakenings = Array.from({ length: limits.weakeningsMax }, () => word);
  requests.seenNodes.set('node-1', { version: word, weakenings });
  const facts = received(longest);
  const node = rig.connect('node-1', [facts]);
  await rig.settle();
  const { workloadId, setRevision, target, terms } = node.last;
  const held = node.last.files.map(({ name, secretId }) => ({
    name,
    secretId,
    version: 2 ** 32 - 1,
  }));
  const words = { setRevision, terms, files: held, tookUs: 1 };
  rig.delivery.receipt(
    'node-1',
    receivedReceipt({ ...words, workloadId, target, outcome: 'failed', fault: word }),
  );
  // Of a container that has ended meanwhile, so that nothing is known of it.
  const ended = receivedReceipt({
    ...{ ...words, workloadId: word, target: word, terms: word, outcome: 'failed', fault: word },
    files: Array.from({ length: limits.setFilesMax }, (_, index) => ({
      ...held[0]!,
      name: parseName(`${index}`.padStart(limits.nameSegmentCharsMax, 'f')),
    })),
  });
  rig.delivery.receipt('node-1', ended);
  await rig.settle();
  requests.holdings = [...rig.delivery.holdings()];
  ok(
    requests.holdings.some(({ version }) => version > 1e9),
    'it said so',
  );

  const asked: readonly (readonly [OperationName, object])[] = [
    ['secret.list', {}],
    ['secret.get', { name: secret }],
    ['group.get', { name: group }],
    ['grant.get', { group }],
    ['node.list', {}],
    ['system.status', {}],
    ['workload.list', {}],
    ['holding.list', {}],
    ['access.explain', { workload: workloadId, secret }],
    ['access.who-can', { secret }],
    ['policy.diff', { documents: [], prune: true }],
    ['audit.list', { limit: limits.pageItemsMax }],
    ['audit.prove', { sequence: requests.audit.size - 1 }],
  ];
  const outcomes = await Promise.all(
    asked.map(async ([operation, input]) => [
      operation,
      await ask(operation, input).then(() => 'ok', codeOf),
    ]),
  );
  deepEqual(
    outcomes.filter(([, outcome]) => outcome !== 'ok'),
    [],
  );
});

test('control: what is longer does not come in', async () => {
  const rig = new DeliveryRig();
  const owner = await rig.requests.owner();
  throws(() => parseSecretName(`${secret}/a`), { code: 'name.invalid' });
  throws(() => received({ ...longest, name: `${longest.name}n` }), { code: 'stream.malformed' });
  const group9 = { name: `${group}g`, match: {} };
  await rejects(rig.requests.ask(owner, 'group.put', group9), { code: 'request.invalid' });
});
