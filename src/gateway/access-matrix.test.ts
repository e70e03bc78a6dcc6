/**
 * Goal: default deny, in one place (G14, V3). Every operation, asked by everyone, in a place that is
 * theirs and in one that is not, is allowed exactly where `access-table.ts` says so.
 * Method: every cell starts from the same records and goes through the real pipeline. What is denied
 * must have changed nothing and be on the log; what nobody proved must leave no record changed (V9);
 * what cannot be recorded must not happen (V14). A new operation without a row fails.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { codeOf, Fault } from '../base/fault.ts';
import { anonymousFrom, gatewayPrincipal, type Principal } from '../model/principal.ts';
import { parseName } from '../model/name.ts';
import { operationNamed, operationNames } from '../protocol/operations.ts';
import { accessTable, type Asker, askers } from '../testing/access-table.ts';
import type { MemoryRecords } from '../testing/memory-records.ts';
import {
  askExample,
  examplesIn,
  fillRig,
  otherPlace,
  ownPlace,
  type Place,
  placeOf,
  setWorkloads,
} from '../testing/operation-examples.ts';
import { bind, RequestRig, type RigSetting } from '../testing/request-rig.ts';
import type { Handlers } from './handlers/handlers.ts';

const nobody = anonymousFrom('test');
const principals = new Map<Asker, Principal>();
let filled: MemoryRecords;
const oldEntry = {
  principal: gatewayPrincipal,
  action: 'old',
  resource: 'system',
  outcome: 'ok',
  rule: '',
  requestId: '',
  detail: {},
};

before(async () => {
  const rig = await new RequestRig().withAuthority();
  const owner = await rig.principal('owner', bind('owner', '**'));
  await fillRig(rig, owner, nobody);
  const node: Principal = { ...nobody, kind: 'node', id: 'nod_1', name: 'node-1', method: 'mtls' };
  const made: Record<Asker, Principal> = {
    nobody,
    node,
    gateway: gatewayPrincipal,
    owner,
    stranger: await rig.principal('stranger'),
    operator: await rig.principal('operator', bind('operator', '**')),
    auditor: await rig.principal('auditor', bind('auditor', '**')),
    writer: await rig.principal('writer', bind('writer', '**')),
    'team-writer': await rig.principal('team-writer', bind('writer', 'secrets/payments/**')),
    'team-operator': await rig.principal(
      'team-operator',
      bind('operator', 'groups/payments-api', 'grants/payments-api', 'secrets/payments/**'),
    ),
  };
  for (const asker of askers) principals.set(asker, made[asker]);
  filled = rig.records;
});

function freshRig(more: RigSetting = {}): RequestRig {
  const rate = { perSecond: 1e9, burst: 1e9 };
  const rig = new RequestRig({ records: filled.copy(), rate, ...more });
  setWorkloads(rig);
  // One entry of old, for what asks for one.
  void rig.audit.acceptRollback(oldEntry);
  return rig;
}

const newEntries = (rig: RequestRig) => rig.audit.kept.slice(1);

interface Cell {
  readonly rig: RequestRig;
  readonly outcome: string;
  readonly isUnchanged: boolean;
}

async function askCell(
  asker: Asker,
  operation: (typeof operationNames)[number],
  place: Place,
): Promise<Cell> {
  const rig = freshRig();
  const principal = principals.get(asker) ?? nobody;
  const dump = rig.records.dump();
  const outcome = await askExample(rig, principal, operation, examplesIn(place)[operation]).then(
    () => 'ok',
    (error: unknown) => codeOf(error),
  );
  return { rig, outcome, isUnchanged: rig.records.dump() === dump };
}

test('the table has a row for every operation, and none for any other', () => {
  deepEqual(Object.keys(accessTable).toSorted(), operationNames.toSorted());
});

test('every operation is allowed to whom the table says, and to nobody else', async () => {
  const found: Record<string, string> = {};
  for (const operation of operationNames) {
    const row: string[] = [];
    for (const asker of askers) {
      let cells = '';
      for (const place of [ownPlace, otherPlace]) {
        const cell = await askCell(asker, operation, place);
        cells += cell.outcome === 'ok' ? 'Y' : cell.outcome === 'auth.failed' ? 'T' : '-';
        if (cell.outcome !== 'ok') {
          const wanted = asker === 'nobody' ? 'auth.required' : 'policy.denied';
          if (cell.outcome !== 'auth.failed') equal(cell.outcome, wanted, `${operation} ${asker}`);
          ok(cell.isUnchanged, `${operation} by ${asker} changed something`);
          const denied = cell.outcome === 'policy.denied' ? 'denied' : cell.outcome;
          deepEqual(
            newEntries(cell.rig).map((entry) => entry.outcome),
            [denied],
          );
        }
      }
      row.push(cells);
    }
    found[operation] = row.join(' ');
  }
  deepEqual(found, accessTable);
});

test('giving a secret to a group needs the right on the secret, not on the group alone', async () => {
  const rig = freshRig();
  const team = principals.get('team-operator') ?? nobody;
  const owner = principals.get('owner') ?? nobody;
  const group = parseName(ownPlace.group);
  const more = () => ({ ifRevision: rig.policy.grant(group)?.revision ?? 0 });
  const giving = (secret: string) => ({ group, secrets: [{ secret }] });
  const asked = rig.ask(team, 'grant.put', giving(otherPlace.secret), more());
  await rejects(asked, { code: 'policy.denied' });
  equal(rig.audit.kept.at(-1)?.outcome, 'denied');
  equal(rig.policy.grant(group)?.value.secrets[0]?.secret, ownPlace.secret);
  await rig.ask(team, 'grant.put', giving('payments/other'), more());
  await rig.ask(owner, 'grant.put', giving(otherPlace.secret), more());

  const applier = await rig.principal(
    'applier',
    bind('operator', 'policy', 'groups/payments-api', 'grants/payments-api', 'secrets/payments/**'),
  );
  const apply = (...documents: object[]) => rig.ask(applier, 'policy.apply', { documents });
  const grant = (secret: string) => ({ kind: 'Grant', ...giving(secret) });
  const stranger = { kind: 'Group', name: otherPlace.group, match: { docker: { name: 'mine' } } };
  await rejects(apply(grant('mail/other')), { code: 'policy.denied' });
  await rejects(apply(stranger), { code: 'policy.denied' });
  await apply(grant(ownPlace.secret));
  await apply({ kind: 'Group', name: otherPlace.group, match: { docker: { name: 'api' } } });
});

test('what must state the revision it saw is refused without one and with another', async () => {
  const owner = principals.get('owner') ?? nobody;
  for (const operation of operationNames) {
    if (operationNamed(operation).preconditioned !== true) continue;
    const { ifRevision, ...example } = examplesIn(ownPlace)[operation];
    ok(ifRevision, operation);
    const ask = async (more: { readonly ifRevision?: typeof ifRevision }): Promise<string> => {
      const rig = freshRig();
      const dump = rig.records.dump();
      const asked = askExample(rig, owner, operation, { ...example, ...more });
      const outcome = await asked.then(() => 'ok', codeOf);
      equal(outcome === 'ok', rig.records.dump() !== dump, operation);
      return outcome;
    };
    const other: typeof ifRevision = (rig) => ifRevision(rig) + 1;
    const outcomes = [await ask({}), await ask({ ifRevision: other }), await ask({ ifRevision })];
    deepEqual(outcomes, ['request.precondition-required', 'request.stale', 'ok'], operation);
  }
});

test('a read changes no record, and nobody changes any (V9)', async () => {
  for (const operation of operationNames) {
    const asked = await askCell('nobody', operation, ownPlace);
    ok(asked.isUnchanged, operation);
    if (operationNamed(operation).effect === 'read') {
      ok((await askCell('owner', operation, ownPlace)).isUnchanged, operation);
    }
  }
  ok(!(await askCell('owner', 'secret.put', ownPlace)).isUnchanged, 'control: a change shows');
});

test('each allowed request leaves exactly one entry', async () => {
  for (const operation of operationNames) {
    const { rig, outcome } = await askCell('owner', operation, ownPlace);
    const entries = newEntries(rig).map((entry) => [entry.action, entry.outcome]);
    if (operation === 'system.seal-status') deepEqual([outcome, entries.length], ['ok', 1]);
    else deepEqual(entries, [[operation, outcome]], operation);
  }
});

/** Everything as `asker`, while the log takes nothing. @returns By operation: what came of it */
async function outcomesWithoutLog(
  asker: Asker,
  failure: 'storage.failed' | 'storage.full',
): Promise<ReadonlyMap<string, string>> {
  const outcomes = new Map<string, string>();
  for (const operation of operationNames) {
    const rig = freshRig();
    rig.audit.failure = new Fault(failure);
    const principal = principals.get(asker) ?? nobody;
    const dump = rig.records.dump();
    const asked = askExample(rig, principal, operation, examplesIn(ownPlace)[operation]);
    outcomes.set(operation, await asked.then(() => 'ok', codeOf));
    equal(rig.records.dump(), dump, `${operation} ${asker}`);
  }
  return outcomes;
}

test('no effect and no answer without an entry (V14)', async () => {
  for (const failure of ['storage.failed', 'storage.full'] as const) {
    const outcomes = await outcomesWithoutLog('owner', failure);
    const answered = [...outcomes].filter(([, outcome]) => outcome === 'ok').map(([name]) => name);
    // What shows an operator how to mend it, and the one that ends the state by its own entry.
    deepEqual(answered.toSorted(), [
      'audit.checkpoint',
      'audit.list',
      'audit.prove',
      'system.accept-rollback',
      'system.backup',
      'system.status',
    ]);
    // What may not be asked is not answered either, nor told apart by what the storage says.
    for (const asker of ['stranger', 'writer'] as const) {
      for (const [name, outcome] of await outcomesWithoutLog(asker, failure)) {
        const mayAsk =
          accessTable[name]?.split(' ')[askers.indexOf(asker)]?.startsWith('Y') === true;
        if (!mayAsk && outcome !== 'auth.failed')
          equal(outcome, 'policy.denied', `${name} ${asker}`);
      }
    }
  }
});

/** Whose things there are none of. */
const ghost = placeOf('ghosts', 'node-9');

test('whoever may not see it cannot tell a name that exists from one that does not (V7)', async () => {
  const said = async (asker: Asker, operation: (typeof operationNames)[number], place: Place) => {
    const rig = freshRig();
    const asked = { ...examplesIn(place)[operation] };
    // The caller says a revision of its own making: it cannot know one.
    const example = asked.ifRevision ? { ...asked, ifRevision: () => 3 } : asked;
    const text = await askExample(rig, principals.get(asker) ?? nobody, operation, example).then(
      () => 'ok',
      (error: unknown) => (error instanceof Fault ? error.message : 'crash'),
    );
    return text.replaceAll(place.team, '…').replaceAll(place.node, '…');
  };
  for (const operation of operationNames) {
    for (const asker of ['nobody', 'stranger', 'node'] as const) {
      const known = await said(asker, operation, ownPlace);
      equal(await said(asker, operation, ghost), known, `${operation} ${asker}`);
    }
  }
  const control = await Promise.all([
    said('owner', 'secret.get', ownPlace),
    said('owner', 'secret.get', ghost),
  ]);
  ok(control[0] !== control[1], 'control: whoever may see it can tell');
});

test('for whoever may not see it nothing is looked up, so that nothing takes longer (V7, G18)', async () => {
  let calls: string[] = [];
  const counting = (handlers: Handlers): Handlers =>
    Object.fromEntries(
      Object.entries(handlers).map(([name, handler]) => [
        name,
        (...given: Parameters<typeof handler>) => {
          calls.push(name);
          return (handler as (...all: typeof given) => unknown)(...given);
        },
      ]),
    ) as unknown as Handlers;
  const called = async (asker: Asker, operation: (typeof operationNames)[number], place: Place) => {
    const rig = freshRig({ change: counting });
    const example = examplesIn(place)[operation];
    const asked = { ...example, ...(example.ifRevision ? { ifRevision: () => 3 } : {}) };
    calls = [];
    await askExample(rig, principals.get(asker) ?? nobody, operation, asked).catch(() => {});
    return calls;
  };
  for (const operation of operationNames) {
    if (operationNamed(operation).access !== 'permission') continue;
    for (const asker of ['nobody', 'stranger', 'node'] as const) {
      // Handlers alone know what there is: where none is asked, known and unknown are one path.
      deepEqual(await called(asker, operation, ownPlace), [], `${operation} ${asker}`);
      deepEqual(await called(asker, operation, ghost), [], `${operation} ${asker}`);
    }
    ok((await called('owner', operation, ownPlace)).length > 0, `control: ${operation}`);
  }
});

test('no decision depends on spelling (G15): another spelling is refused, not folded', async () => {
  const rig = freshRig();
  const writer = principals.get('team-writer') ?? nobody;
  const piece = fc.constantFrom(
    ...[
      'payments',
      'Payments',
      'mail',
      'db-password',
      '/',
      '//',
      '.',
      '..',
      '%2f',
      '%252f',
      '%00',
      '\\',
    ],
    ...[' ', '\u200b', 'ｄ', 'é', 'e\u0301', '*', '**', '\0', ';', '?', '#', '-', '_', 'ı', '\n'],
  );
  const spelling = fc.array(piece, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
  const canonical = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(\/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$/;
  await fc.assert(
    fc.asyncProperty(spelling, async (name) => {
      const outcome = await rig.ask(writer, 'secret.get', { name }).then(() => 'ok', codeOf);
      const isCanonical = canonical.test(name) && !name.includes('..');
      if (!isCanonical) equal(outcome, 'request.invalid');
      else if (!name.startsWith('payments/')) equal(outcome, 'policy.denied');
      else equal(outcome, name === ownPlace.secret ? 'ok' : 'resource.unknown');
    }),
    {
      numRuns: process.env['COFFER_LONG'] === '1' ? 1_000_000 : 3000,
      examples: [[ownPlace.secret]],
    },
  );
});

test('while sealed only what says so answers', async () => {
  const owner = principals.get('owner') ?? nobody;
  for (const operation of operationNames) {
    const rig = freshRig();
    rig.audit.state = 'sealed';
    const asked = askExample(rig, owner, operation, examplesIn(ownPlace)[operation]);
    if (operationNamed(operation).whileSealed === true) await asked;
    else await rejects(asked, { code: 'barrier.sealed' }, operation);
  }
});
