/**
 * Goal: no call returns a value after it was accepted (G13), and nothing that came from a value is in
 * a fault, an audit entry or a log line (G38, V13).
 * Method: secrets whose every version is a canary; every operation as every role, also with canaries
 * in fields where they do not belong; everything that comes out is searched in every spelling that we
 * could think of. The control is a handler that leaks, in each of those spellings.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { inspect } from 'node:util';
import { isFault } from '../base/fault.ts';
import { systemRandom } from '../base/random.ts';
import { anonymousFrom, type Principal } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { operationNamed, type OperationName, operationNames } from '../protocol/operations.ts';
import { formsFound } from '../testing/canary-scan.ts';
import {
  examplesIn,
  fillRig,
  otherPlace,
  ownPlace,
  type Example,
} from '../testing/operation-examples.ts';
import { bind, RequestRig } from '../testing/request-rig.ts';

const nobody = anonymousFrom('test');
const newCanary = (): string => `Zq7"\\é${systemRandom.bytes(12).toString('base64')}X3`;

async function setUp() {
  const rig = await new RequestRig().withAuthority();
  const owner = await rig.owner();
  await fillRig(rig, owner, nobody);
  const canaries: string[] = [];
  for (const { secret } of [ownPlace, otherPlace]) {
    for (let version = 0; version < 20; version++) {
      const canary = newCanary();
      canaries.push(canary);
      const stage = version === 19 ? 'pending' : 'current';
      await rig.put(owner, secret, canary, { input: { name: secret, stage } });
    }
  }
  const principals: Principal[] = [
    nobody,
    owner,
    await rig.principal('stranger'),
    await rig.principal('operator', bind('operator', '**')),
    await rig.principal('auditor', bind('auditor', '**')),
    await rig.principal('writer', bind('writer', 'secrets/payments/**')),
  ];
  return { rig, owner, canaries, principals };
}

/** Everything that can be seen of what a request came to. Streams are read for a few turns. */
async function seenOf(asked: Promise<{ readonly output: unknown }>): Promise<string> {
  try {
    const { output } = await asked;
    const parts: unknown[] = [output];
    if (typeof output === 'object' && output !== null && Symbol.asyncIterator in output) {
      const iterator = (output as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      const first = iterator.next();
      const turn = new Promise((resolve) => setImmediate(resolve, undefined));
      parts.push(await Promise.race([first, turn]));
      await iterator.return?.();
    }
    return `${JSON.stringify(parts)}\n${inspect(parts, { depth: 9 })}`;
  } catch (error) {
    if (!isFault(error)) throw error;
    const { message, code, detail, errors, stack, cause } = error;
    return inspect({ message, code, detail, errors, stack, cause }, { depth: 9 });
  }
}

function ask(
  rig: RequestRig,
  principal: Principal,
  operation: OperationName,
  given: Example & { readonly more?: object },
): Promise<{ readonly output: unknown }> {
  const { input, value, ifRevision, more } = given;
  return rig.ask(principal, operation, input, {
    ...(value === undefined ? {} : { value: SecretValue.copy(Buffer.from(value)) }),
    ...(ifRevision === undefined ? {} : { ifRevision: ifRevision(rig) }),
    ...more,
  });
}

test('no operation, as no role, shows a value or anything made of one', async () => {
  const { rig, canaries, principals } = await setUp();
  const written: string[] = [];
  let calls = 0;
  for (const operation of operationNames) {
    if (operation === 'system.seal') continue;
    for (const principal of principals) {
      for (const place of [ownPlace, otherPlace]) {
        const example = examplesIn(place)[operation];
        const takesValue = operationNamed(operation).body === 'value';
        const value = takesValue ? { value: newCanary() } : {};
        if (value.value !== undefined) canaries.push(value.value);
        const variants: (Example & { readonly more?: object })[] = [
          { ...example, ...value },
          { ...example, ...value, more: { ifRevision: 1 } },
          { ...example, ...value, more: { dryRun: true } },
          { ...example, ...value, more: { idempotencyKey: `key-${place.secret}` } },
        ];
        for (const variant of variants) {
          written.push(await seenOf(ask(rig, principal, operation, variant)));
          calls++;
        }
      }
    }
  }
  const entries = JSON.stringify(rig.audit.kept) + inspect(rig.audit.kept, { depth: 9 });
  const everything = [...written, entries, ...rig.logLines].join('\n');
  ok(calls > 1500 && canaries.length > 40 && rig.audit.kept.length > 100);
  for (const canary of canaries) deepEqual(formsFound(everything, Buffer.from(canary)), []);
});

test('a value in a field where it does not belong is not repeated by the refusal', async () => {
  const { rig, owner } = await setUp();
  const canary = 'Zq7CanaryX3Zq7CanaryX3';
  const written: string[] = [];
  for (const operation of operationNames) {
    const example = examplesIn(ownPlace)[operation];
    const members = Object.keys(example.input);
    const wrong: unknown[] = [
      canary,
      [canary],
      { ...example.input, value: canary },
      { ...example.input, nested: { deep: [canary] } },
      ...members.map((member) => ({ ...example.input, [member]: `${canary} ${canary}` })),
      ...members.map((member) => ({ ...example.input, [member]: { [member]: canary } })),
    ];
    for (const input of wrong) {
      const given = { ...example, input: input as Example['input'] };
      // What is a free text by its schema may be answered as it was given.
      const isFreeText = ['reason', 'description', 'labels":{"labels'].some((member) =>
        JSON.stringify(input).includes(`${member}":"${canary}`),
      );
      if (isFreeText) continue;
      written.push(await seenOf(ask(rig, owner, operation, given)));
    }
  }
  const everything = [...written, JSON.stringify(rig.audit.kept), ...rig.logLines].join('\n');
  deepEqual(formsFound(everything, Buffer.from(canary)), []);
});

test('control: a handler that leaks is caught, however it writes the value', async () => {
  const spellings: Record<string, (bytes: Buffer) => string> = {
    raw: (bytes) => bytes.toString(),
    base64: (bytes) => bytes.toString('base64'),
    shifted: (bytes) => Buffer.concat([Buffer.from('a'), bytes]).toString('base64url'),
    twice: (bytes) => Buffer.concat([Buffer.from('ab'), bytes, bytes]).toString('base64'),
    hex: (bytes) => bytes.toString('hex'),
    json: (bytes) => JSON.stringify({ value: bytes.toString() }),
    percent: (bytes) => bytes.toString('hex').replaceAll(/../g, '%$&').toUpperCase(),
    numbers: (bytes) => JSON.stringify([...bytes]),
    reversed: (bytes) => bytes.toString('latin1').split('').toReversed().join(''),
    zipped: (bytes) => gzipSync(bytes).toString('base64'),
  };
  for (const [spelling, write] of Object.entries(spellings)) {
    const canary = newCanary();
    const rig = new RequestRig({
      change: (handlers) => ({
        ...handlers,
        'secret.put': async (input, context) => {
          const plan = await handlers['secret.put'](input, context);
          const leak = context.value?.use((bytes) => write(bytes)) ?? '';
          return { ...plan, output: (done) => ({ ...plan.output(done), description: leak }) };
        },
      }),
    });
    const seen = await seenOf(rig.put(await rig.owner(), 'a', canary));
    ok(formsFound(seen, Buffer.from(canary)).length > 0, spelling);
  }
});
