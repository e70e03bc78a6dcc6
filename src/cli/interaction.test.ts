/**
 * Goal: values are typed unseen and arrive byte for byte; the terminal is left as it was; what is
 * taken away is asked about by name.
 * Method: a terminal of the test's own, and a gateway that keeps the values it is given.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld, type CliRun, type CliRunOptions } from '../testing/cli-world.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';

interface Kept extends AsyncDisposable {
  readonly values: Buffer[];
  readonly operations: string[];
  run(argv: readonly string[], options?: CliRunOptions): Promise<CliRun>;
}

async function setUp(): Promise<Kept> {
  const values: Buffer[] = [];
  const operations: string[] = [];
  const gateway = await startHttpGateway(async ({ operation, value }) => {
    operations.push(operation);
    value?.use((bytes) => values.push(Buffer.from(bytes)));
    return { output: operationExamples[operation].output, revision: 42 };
  });
  const world = new CliWorld().reach(gateway);
  return {
    values,
    operations,
    run: async (argv, options) => await world.run(argv, options),
    async [Symbol.asyncDispose]() {
      world[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

const put = ['secret', 'put', 'payments/db-password'];

test('what is typed arrives, corrected as it was typed, and is not shown', async () => {
  const cases: readonly (readonly [readonly (string | Buffer)[], string])[] = [
    [['horse\r', 'horse\r'], 'horse'],
    [['horse\rhorse\r'], 'horse'],
    [['ho', 'rs', 'e\n', 'horse\n'], 'horse'],
    [['horx\u007fse\r', 'horse\r'], 'horse'],
    [['Pferdä\u007fe\r', 'Pferde\r'], 'Pferde'],
    [['nonsense\u0015horse\r', 'horse\r'], 'horse'],
    [['ho\u001b[D\u001b[3~rse\r', 'horse\r'], 'horse'],
    [['🐴 ä\r', '🐴 ä\r'], '🐴 ä'],
  ];
  for (const [typed, expected] of cases) {
    await using setting = await setUp();
    const { code, transcript, rawAtEnd } = await setting.run(put, { typed });
    equal(code, 0, transcript);
    deepEqual(setting.values, [Buffer.from(expected)]);
    equal(rawAtEnd, false);
    equal(transcript.includes(expected), false);
  }
});

test('two values that differ are not sent; Ctrl-C ends with 130 and a sane terminal', async () => {
  await using setting = await setUp();
  const differ = await setting.run(put, { typed: ['one\r', 'two\r'] });
  equal(differ.code, 2);
  match(differ.stderr, /differ; nothing was sent/);
  const interrupted = await setting.run(put, { typed: ['secr\u0003'] });
  equal(interrupted.code, 130);
  equal(interrupted.rawAtEnd, false);
  deepEqual(setting.values, []);
});

test('standard input is taken byte for byte; one newline at the end is left out, and that is said', async () => {
  const binary = Buffer.from([0, 255, 10, 13, 0, 10]);
  const cases: readonly (readonly [Buffer, readonly string[], Buffer, boolean])[] = [
    [Buffer.from('a\n'), [], Buffer.from('a'), true],
    [Buffer.from('a\n\n'), [], Buffer.from('a\n'), true],
    [Buffer.from('a\n'), ['--keep-newline'], Buffer.from('a\n'), false],
    [Buffer.from('a\n'), ['--strip-newline'], Buffer.from('a'), false],
    [Buffer.from('a\r\n'), ['--keep-newline'], Buffer.from('a\r\n'), false],
    [binary, [], binary.subarray(0, -1), true],
    [binary, ['--keep-newline'], binary, false],
    [Buffer.alloc(65_536, 1), [], Buffer.alloc(65_536, 1), false],
  ];
  for (const [stdin, more, expected, said] of cases) {
    await using setting = await setUp();
    const { code, stderr } = await setting.run([...put, ...more], { stdin });
    equal(code, 0, stderr);
    deepEqual(setting.values, [expected]);
    equal(stderr.includes('One newline'), said);
  }
});

test('a value that is too long, or empty, is refused before anything is sent', async () => {
  await using setting = await setUp();
  equal((await setting.run(put, { stdin: Buffer.alloc(65_537, 1) })).code, 2);
  // Never as much of it as there was room for.
  const pieces = [Buffer.alloc(65_536, 1), Buffer.alloc(1, 1)];
  equal((await setting.run(put, { stdin: pieces })).code, 2);
  equal((await setting.run(put, { stdin: '' })).code, 2);
  equal((await setting.run(put, { stdin: '\n' })).code, 2);
  const both = [...put, '--from-file', '/dev/null', '--from-env', 'HOME'];
  equal((await setting.run(both)).code, 2);
  equal((await setting.run([...put, '--from-env', 'NOT_SET'])).code, 2);
  deepEqual(setting.operations, []);
});

test('what is withdrawn names its holders and wants its name typed back', async () => {
  const remove = ['secret', 'delete', 'payments/db-password'];
  await using setting = await setUp();
  const declined = await setting.run(remove, { typed: ['payments/other\n'] });
  equal(declined.code, 1);
  match(declined.stderr, /1 container on 1 node holds? it now/);
  match(declined.stderr, /Type payments\/db-password to go on/);
  ok(!setting.operations.includes('secret.delete'));
  const done = await setting.run(remove, { typed: ['payments/db-password\n'] });
  equal(done.code, 0, done.stderr);
  ok(setting.operations.includes('secret.delete'));
  const unasked = await setting.run([...remove, '--no-input'], { typed: [] });
  equal(unasked.code, 2);
  match(unasked.stderr, /--yes/);
});

test('unseal takes a share from the terminal unseen', async () => {
  await using setting = await setUp();
  const { code, transcript } = await setting.run(['unseal'], { typed: ['share-text\r'] });
  equal(code, 0, transcript);
  deepEqual(setting.values, [Buffer.from('share-text')]);
  equal(transcript.includes('share-text'), false);
});
