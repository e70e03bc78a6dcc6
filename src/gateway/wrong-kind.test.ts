/**
 * Goal: the name or the id of one thing is never taken for that of another kind, in any operation, of one's
 * own team or another's (V2).
 * Method: every operation that is about one thing, asked by who may do everything, with the name or id of
 * each thing that it is not about. It must be refused; what makes something new may make it under that name
 * and must leave all that was there as it was. Control: with its own example each operation succeeds.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { before, test } from 'node:test';
import { codeOf } from '../base/fault.ts';
import { parseSecretName } from '../model/name.ts';
import { anonymousFrom, type Principal } from '../model/principal.ts';
import { type OperationName, operationNamed, operationNames } from '../protocol/operations.ts';
import type { MemoryRecords } from '../testing/memory-records.ts';
import {
  askExample,
  examplesIn,
  fillRig,
  otherPlace,
  ownPlace,
  setWorkloads,
} from '../testing/operation-examples.ts';
import { RequestRig } from '../testing/request-rig.ts';

let owner: Principal;
let filled: MemoryRecords;
/** By the noun of the operations that are about it. */
let things: Readonly<Record<string, readonly string[]>>;

before(async () => {
  const rig = await new RequestRig().withAuthority();
  owner = await rig.owner();
  await fillRig(rig, owner, anonymousFrom('test'));
  filled = rig.records;
  const places = [ownPlace, otherPlace];
  const idOf = (name: string): string =>
    rig.secrets.reader.find(parseSecretName(name))?.secret.id ?? 'none';
  things = {
    secret: places.flatMap(({ secret }) => [secret, idOf(secret)]),
    // A grant is known by its group's name.
    group: places.flatMap(({ group, team }) => [group, `${team}-old`]),
    node: places.map(({ node }) => node),
    token: [owner.name, ...places.map(({ team }) => `ci-${team}-old`)],
    principal: [owner.id],
    workload: [...rig.policy.entitlements.workloads()].flatMap(({ id, name }) => [id, name]),
  };
});

function freshRig(): RequestRig {
  const rig = new RequestRig({ records: filled.copy(), rate: { perSecond: 1e9, burst: 1e9 } });
  setWorkloads(rig);
  return rig;
}

/** What may be made under any name that is free. */
const makers = ['group.put', 'node.token', 'secret.generate', 'secret.put'];
/** Members that say which thing, in operations whose path does not. */
const asked = {
  'access.explain': ['workload', 'secret'],
  'access.who-can': ['secret'],
} as const satisfies Partial<Record<OperationName, readonly string[]>>;

function membersOf(operation: OperationName): readonly (readonly [member: string, noun: string])[] {
  const [noun = ''] = operation.split('.');
  const inPath = /\{([A-Za-z]+)\}/.exec(operationNamed(operation).path)?.[1];
  if (inPath !== undefined) return [[inPath, noun === 'grant' ? 'group' : noun]];
  if (!Object.hasOwn(asked, operation)) return [];
  return asked[operation as keyof typeof asked].map((member) => [member, member]);
}

test('a name or an id of another kind is refused, or makes something new beside what is there', async () => {
  const made = new Set<string>();
  const codes = new Set<string>();
  let cells = 0;
  for (const operation of operationNames) {
    for (const [member, noun] of membersOf(operation)) {
      const wrong = Object.entries(things).flatMap(([kind, names]) => (kind === noun ? [] : names));
      for (const name of wrong) {
        const rig = freshRig();
        const earlier = rig.records.dump().split('\n');
        const example = examplesIn(ownPlace)[operation];
        const { ifRevision: _, ...rest } = example;
        const given = { ...rest, input: { ...example.input, [member]: name } };
        // A revision of its own making: there is none to know.
        const revision = example.ifRevision === undefined ? {} : { ifRevision: () => 0 };
        const outcome = await askExample(rig, owner, operation, { ...given, ...revision }).then(
          () => 'ok',
          codeOf,
        );
        const later = new Set(rig.records.dump().split('\n'));
        ok(
          earlier.every((row) => later.has(row)),
          `${operation} ${member}=${name} changed a row`,
        );
        if (outcome === 'ok') made.add(operation);
        else {
          codes.add(outcome);
          equal(later.size, earlier.length, `${operation} ${member}=${name} made something`);
        }
        cells += 1;
      }
    }
  }
  deepEqual([...made].toSorted(), makers);
  deepEqual([...codes].toSorted(), ['group.unknown', 'request.invalid', 'resource.unknown']);
  ok(cells > 300, `${cells} cells`);
});

test('control: each of these operations succeeds with what it is about', async () => {
  for (const operation of operationNames) {
    if (membersOf(operation).length === 0) continue;
    await askExample(freshRig(), owner, operation, examplesIn(ownPlace)[operation]);
  }
});
