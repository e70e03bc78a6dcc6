/**
 * Goal: the paths that docs/guides/production.md gives for a role are enough for all that the role may,
 * and a path that would match nothing is refused.
 * Method: tokens with the paths as the page has them ask for everything that the access table allows the
 * role; a token that lacks one path is the control.
 */
import { deepEqual, ok, rejects } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../base/fault.ts';
import { anonymousFrom } from '../model/principal.ts';
import { operationNamed, operationNames } from '../protocol/operations.ts';
import { accessTable, type Asker, askers } from '../testing/access-table.ts';
import { askExample, examplesIn, fillRig, ownPlace } from '../testing/operation-examples.ts';
import { bind, RequestRig } from '../testing/request-rig.ts';

const guide = readFileSync(join(import.meta.dirname, '../../docs/guides/production.md'), 'utf8');

/** Without the shorter way to say it that stands before. */
function pathsOf(role: string): readonly string[] {
  const cells = new RegExp(`^\\| \`${role}\` \\|[^|]*\\|([^|]*)\\|$`, 'm').exec(guide)?.[1] ?? '';
  const [, listed = cells] = cells.split('or all of');
  return [...listed.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path);
}

async function filledRig() {
  const rig = await new RequestRig().withAuthority();
  const owner = await rig.owner();
  await fillRig(rig, owner, anonymousFrom('test'));
  return { rig, owner };
}

/** What a role with these paths is denied of what it may do with the things of `payments`. */
async function deniedOf(role: Asker, paths: readonly string[]): Promise<readonly string[]> {
  const { rig } = await filledRig();
  const principal = await rig.principal('asker', bind(role, ...paths));
  const column = askers.indexOf(role);
  const may = operationNames.filter((name) => accessTable[name]?.split(' ')[column]?.[0] === 'Y');
  ok(may.length > 8, `${role} may do ${may.length} things`);
  const denied: string[] = [];
  for (const name of may) {
    if (operationNamed(name).access !== 'permission' || name === 'system.seal') continue;
    const examples = [examplesIn(ownPlace)[name]];
    // The contract's example asks for one secret, which is another resource.
    if (name === 'holding.list') examples.push({ input: {} });
    for (const example of examples) {
      const code = await askExample(rig, principal, name, example).then(() => '', codeOf);
      if (code === 'policy.denied') denied.push(name);
    }
  }
  return denied;
}

for (const role of ['writer', 'operator', 'auditor', 'owner'] as const) {
  test(`the paths in the guide are enough for everything that role ${role} may do`, async () => {
    const paths = pathsOf(role);
    ok(paths.length > 0, 'the guide has them');
    deepEqual(await deniedOf(role, paths), []);
  });
}

test('control: an operator needs each of its paths', async () => {
  const paths = pathsOf('operator');
  for (const missing of paths) {
    const rest = paths.filter((path) => path !== missing);
    if (missing === 'workloads/**') continue;
    ok((await deniedOf('operator', rest)).length > 0, missing);
  }
});

test('an operator sees in lists what its paths are for', async () => {
  const { rig } = await filledRig();
  const seenWith = async (paths: readonly string[]): Promise<readonly number[]> => {
    const asker = await rig.principal(`with-${paths.length}`, bind('operator', ...paths));
    const lists = ['secret.list', 'group.list', 'node.list', 'workload.list'] as const;
    const replies = await Promise.all(lists.map((name) => rig.ask(asker, name, {})));
    return replies.map(({ output }) => output.items.length);
  };
  const paths = pathsOf('operator');
  ok((await seenWith(paths)).every((count) => count > 0));
  const without = paths.map((path) => (path === 'workloads/**' ? 'workloads' : path));
  deepEqual((await seenWith([...without, 'audit'])).at(-1), 0, 'control: no workload by itself');
});

test('a token for a path that nothing is called is refused', async () => {
  const { rig, owner } = await filledRig();
  const create = (path: string, name: string) =>
    rig.ask(owner, 'token.create', { name, role: 'writer', paths: [path] });
  const wrong = ['secret/**', 'secrets', 'policy/**', 'holdings/x', 'payments', 'system/*'];
  for (const path of wrong) {
    await rejects(create(path, 'x'), { code: 'request.invalid' }, path);
  }
  const right = ['secrets/**', 'secrets/*/db', 'policy', 'holdings', '**', '*', '*/a', 'tokens/ci'];
  for (const [index, path] of right.entries()) await create(path, `x-${index}`);
  const collections = operationNames.map((name) => {
    const { resource } = operationNamed(name);
    return resource(examplesIn(ownPlace)[name].input);
  });
  for (const [index, resource] of [...new Set(collections)].entries()) {
    const path = /^(secrets|groups|grants|nodes|tokens|workloads)$/.test(resource)
      ? `${resource}/**`
      : resource;
    await create(path, `y-${index}`);
  }
});
