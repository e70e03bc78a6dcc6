/**
 * Goal: the published document says what the gateway does, and no operation can give a value away.
 * Method: compare the committed document with the table's, walk every reference and every output; ask a
 * real pipeline for what the document says an operation takes, and for what it does not mention.
 * `COFFER_UPDATE=1` writes docs/openapi.json anew.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { faults } from '../../base/fault-table.ts';
import { isPlainObject } from '../../base/schema.ts';
import { anonymousFrom } from '../../model/principal.ts';
import { SecretValue } from '../../model/secret-value.ts';
import { operationNamed, type OperationName, operationNames } from '../../protocol/operations.ts';
import { type Example, examplesIn, fillRig, ownPlace } from '../../testing/operation-examples.ts';
import { RequestRig } from '../../testing/request-rig.ts';
import { openApiDocument } from './openapi.ts';
import { probePaths } from './probes.ts';

type Json = Record<string, unknown>;

const file = join(import.meta.dirname, '../../../docs/openapi.json');
const document = JSON.parse(JSON.stringify(openApiDocument())) as Json;

/** Every object in a document, with its place. */
function* nodesOf(
  value: unknown,
  place = '#',
): Generator<{ readonly place: string; readonly node: Json }> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* nodesOf(item, `${place}/${index}`);
  } else if (isPlainObject(value)) {
    yield { place, node: value };
    for (const [key, item] of Object.entries(value)) yield* nodesOf(item, `${place}/${key}`);
  }
}

function at(reference: string): unknown {
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((node, key) => (node as Json | undefined)?.[key], document);
}

test('docs/openapi.json is what the table says', () => {
  if (process.env['COFFER_UPDATE'] === '1') {
    writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`);
  }
  const committed = JSON.parse(readFileSync(file, 'utf8')) as unknown;
  deepEqual(committed, document, 'run this test with COFFER_UPDATE=1 and look at the difference');
});

test('the document has every operation, with an example and its refusals, and every reference leads somewhere', () => {
  const found = [...nodesOf(document['paths'])].filter(({ node }) => 'operationId' in node);
  equal(found.length, operationNames.length + probePaths.length - 1);
  for (const { place, node } of found) {
    ok(isPlainObject(node['responses']) && 'default' in node['responses'], place);
    ok(typeof node['summary'] === 'string' && node['summary'].length > 8, place);
  }
  for (const name of operationNames) {
    const { path, method, reply } = operationNamed(name);
    const operation = ((document['paths'] as Json)[path] as Json)[method.toLowerCase()] as Json;
    equal(operation['operationId'], name);
    for (const status of ['200', '400', '404', '429', '500', '503']) {
      ok(status in (operation['responses'] as Json), `${name} ${status}`);
    }
    const answers = [...nodesOf((operation['responses'] as Json)['200'])];
    ok(
      reply === 'file' || answers.some(({ node }) => 'example' in node),
      `${name} shows an answer`,
    );
  }
  for (const { place, node } of nodesOf(document)) {
    const reference = node['$ref'];
    if (typeof reference === 'string') ok(at(reference) !== undefined, `${place}: ${reference}`);
  }
});

test('every status that a refused request can have is explained', () => {
  const explained = Object.keys((document['components'] as Json)['responses'] as Json);
  const own = Object.entries(faults).filter(([code]) =>
    /^(request|auth|rate|policy|limit)\./.test(code),
  );
  for (const [code, { status }] of own) ok(explained.includes(`Problem${status}`), code);
});

function documented(name: OperationName): Json {
  const { path, method } = operationNamed(name);
  return ((document['paths'] as Json)[path] as Json)[method.toLowerCase()] as Json;
}

function takes(name: OperationName, parameter: string): boolean {
  const parameters = documented(name)['parameters'] as readonly Json[];
  return parameters.some(({ $ref }) => $ref === `#/components/parameters/${parameter}`);
}

test('an operation takes a dry run and a revision exactly where the document says so', async () => {
  const rig = await new RequestRig().withAuthority();
  const owner = await rig.owner();
  const nobody = anonymousFrom('test');
  await fillRig(rig, owner, nobody);
  const examples = examplesIn(ownPlace);
  const refused = async (name: OperationName, more: object): Promise<string> => {
    const { input, value } = examples[name];
    const bytes = value === undefined ? {} : { value: SecretValue.copy(Buffer.from(value)) };
    const asked = rig.ask(owner, name, input, { ...bytes, ...more });
    const error = await asked.then(
      () => undefined,
      (fault: unknown) => fault,
    );
    return isFault(error) ? String(error.detail['problem']) : '';
  };
  const changes = operationNames.filter((name) => operationNamed(name).effect === 'change');
  for (const name of changes) {
    const dryRun = await refused(name, { ...revisionFor(rig, examples[name]), dryRun: true });
    equal(dryRun !== 'has no dry run', takes(name, 'DryRun'), name);
    const revision = await refused(name, { ifRevision: 2 ** 40, dryRun: takes(name, 'DryRun') });
    equal(revision !== 'takes no revision', takes(name, 'IfMatch'), name);
    equal(takes(name, 'IdempotencyKey'), takes(name, 'DryRun'), name);
  }
  deepEqual(
    changes.filter((name) => !takes(name, 'DryRun')),
    ['node.token', 'node.join', 'token.create'],
    'control: there are some that take none',
  );
  ok(changes.some((name) => !takes(name, 'IfMatch')));
});

function revisionFor(rig: RequestRig, { ifRevision }: Example): object {
  return ifRevision === undefined ? {} : { ifRevision: ifRevision(rig) };
}

test('304 and ETag are documented for what has a revision, 422 for what can be repeated', () => {
  for (const name of operationNames) {
    const { effect, revisioned } = operationNamed(name);
    const responses = documented(name)['responses'] as Json;
    equal('304' in responses, effect === 'read' && revisioned === true, name);
    equal('422' in responses, takes(name, 'IdempotencyKey'), name);
    const { headers } = responses['200'] as { readonly headers: Json };
    equal('ETag' in headers, revisioned === true, name);
  }
});

test('no output has a member that could hold a value', () => {
  const holdsValue = (json: unknown): string[] =>
    [...nodesOf(json)].flatMap(({ place, node }) =>
      Object.keys(isPlainObject(node['properties']) ? node['properties'] : {})
        .filter((member) => /value|content|plaintext|password|payload|secretData/i.test(member))
        .map((member) => `${place} ${member}`),
    );
  for (const member of ['value', 'valueBase64', 'secretValue', 'content', 'plainText', 'payload']) {
    const planted = { properties: { items: { items: { properties: { [member]: {} } } } } };
    equal(holdsValue(planted).length, 1, `control: ${member}`);
  }
  for (const name of operationNames)
    deepEqual(holdsValue(operationNamed(name).output.json), [], name);
});
