/**
 * Goal: principals may do what their roles say on the paths they were given, and nothing else.
 * Method: properties over random bindings, paths and mutated spellings. What each role may do is the
 * access matrix's to say (`testing/access-table.ts`).
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PathPattern, parsePathPattern, parseSecretName } from '../../model/name.ts';
import type { Binding } from '../../model/principal.ts';
import { operationNamed, operationNames } from '../../protocol/operations.ts';
import { name } from './policy-samples.suite.ts';
import { type Asked, covers, decide, permits, roles } from './role.ts';

const runs = process.env['COFFER_LONG'] === '1' ? 1_000_000 : 20_000;
const bind = (role: string, ...paths: string[]): Binding => ({
  role: name(role),
  paths: paths.map(parsePathPattern),
});

/** As requests are decided and as lists are: two ways that must never differ. */
function allows(bindings: readonly Binding[], asked: Asked): boolean {
  const { allowed } = decide(bindings, asked);
  equal(
    permits(bindings, asked.action)(asked.resource),
    allowed,
    `${asked.action} ${asked.resource}`,
  );
  return allowed;
}

const may = (role: string, action: string): boolean =>
  allows([bind(role, '**')], { action, resource: 'any/thing' });

test('roles: an auditor changes nothing, and no role but owner both writes values and gives them', () => {
  const byAuditor = operationNames.filter((action) => may('auditor', action));
  ok(byAuditor.length > 10);
  for (const action of byAuditor) equal(operationNamed(action).effect, 'read', action);
  const both = roles.filter(
    ({ name: role }) =>
      ['secret.put', 'secret.generate', 'secret.promote', 'secret.rollback'].some((action) =>
        may(role, action),
      ) && ['grant.put', 'policy.apply'].some((action) => may(role, action)),
  );
  deepEqual(
    both.map((role) => role.name),
    ['owner'],
  );
});

test('roles: every action that one names is some operation', () => {
  for (const { name: role, actions } of roles) {
    for (const action of actions) {
      const only = operationNames.filter((operation) =>
        action.endsWith('*') ? operation.startsWith(action.slice(0, -1)) : operation === action,
      );
      ok(only.length > 0, `${role} ${action}`);
      for (const operation of only) ok(may(role, operation), `${role} ${operation}`);
    }
  }
});

test('decide: without a binding, with an unknown role, or off its paths, the answer is no', () => {
  const asked = { action: 'secret.put', resource: 'secrets/payments/db' };
  const nobody = decide([], asked);
  deepEqual([nobody.allowed, nobody.rule], [false, '']);
  equal(allows([bind('emperor', '**')], asked), false);
  equal(allows([bind('writer', 'secrets/mail/**')], asked), false);
  const decision = decide([bind('auditor', '**'), bind('writer', 'secrets/payments/*')], asked);
  deepEqual([decision.allowed, decision.rule], [true, 'writer']);
  deepEqual(
    decision.steps.map((step) => step.verdict),
    ['does-not-match', 'allows'],
  );
});

test('decide: a list is open to whoever may see something in it, and permits chooses what', () => {
  const bindings = [bind('writer', 'secrets/payments/**')];
  equal(allows(bindings, { action: 'secret.list', resource: 'secrets' }), true);
  equal(allows(bindings, { action: 'secret.list', resource: 'holdings' }), false);
  equal(
    allows(bindings, { action: 'secret.get', resource: 'secrets' }),
    false,
    'only lists are open',
  );
  equal(allows(bindings, { action: 'group.list', resource: 'groups' }), false);
  const sees = permits(bindings, 'secret.list');
  deepEqual(['secrets/payments/db', 'secrets/mail/db'].map(sees), [true, false]);
});

const segment = fc.constantFrom('payments', 'db', 'mail', 'a', 'b-c');
const secretName = fc
  .array(segment, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));
const pattern: fc.Arbitrary<PathPattern> = fc
  .tuple(
    fc.constantFrom('secrets', 'groups', '*'),
    fc.array(fc.oneof(segment, fc.constant('*')), { maxLength: 3 }),
    fc.constantFrom([], ['**']),
  )
  .map((parts) => parsePathPattern(parts.flat().join('/')));

/** What a path pattern means, once more and in another way. */
function meaningOf(path: PathPattern): RegExp {
  const wild: Readonly<Record<string, string>> = { '*': '[^/]+', '**': '.+' };
  const segments = path.split('/').map((each) => wild[each] ?? RegExp.escape(each));
  return new RegExp(`^${segments.join('/')}$`);
}

test('a path matches what it says, segment by segment', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 3 }), secretName, (paths, secret) => {
      const asked = { action: 'secret.put', resource: `secrets/${secret}` };
      const bindings = [{ role: name('writer'), paths }];
      const wanted = paths.some((path) => meaningOf(path).test(asked.resource));
      equal(allows(bindings, asked), wanted);
    }),
    { numRuns: 10_000 },
  );
});

test('decide: taking a binding or a path away never adds a right', () => {
  const bindings = fc.array(
    fc.record({
      role: fc.constantFrom(...roles.map((role) => role.name)),
      paths: fc.array(pattern, { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 3 },
  );
  fc.assert(
    fc.property(bindings, fc.constantFrom(...operationNames), secretName, (all, action, secret) => {
      const asked = { action, resource: `secrets/${secret}` };
      const fewer = [
        all.slice(1),
        all.map((binding) => ({ ...binding, paths: binding.paths.slice(1) })),
      ];
      for (const some of fewer) if (allows(some, asked)) equal(allows(all, asked), true);
    }),
    { numRuns: 10_000 },
  );
});

/** Ways in which one name is spelled as another; some leave it as it is. */
const respellings: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.toUpperCase(),
  (text) => text.replace('/', '//'),
  (text) => text.replace('/', '/./'),
  (text) => text.replace('/', '/x/../'),
  (text) => text.replace('/', '%2f'),
  (text) => text.replace('a', '%61'),
  (text) => text.replace('a', '\u0430'),
  (text) => text.replace('a', 'a\u200b'),
  (text) => text.replace('a', '\uff41'),
  (text) => `${text} `,
  (text) => ` ${text}`,
  (text) => `${text}/`,
  (text) => `/${text}`,
  (text) => `${text}\0`,
  (text) => `${text}.`,
  (text) => text.replace(/[^/]+$/, '*'),
  (text) => text.replace(/[^/]+$/, '**'),
  (text) => text.normalize('NFKD'),
  (text) => `${text}\n`,
];

test('decide: a spelling that is not canonical is denied to everybody, owners too (V1)', () => {
  let refused = 0;
  fc.assert(
    fc.property(
      secretName,
      fc.array(fc.constantFrom(...respellings), { minLength: 1, maxLength: 3 }),
      fc.array(pattern, { maxLength: 2 }),
      (secret, changes, paths) => {
        const raw = changes.reduce((text, change) => change(text), secret);
        const bindings = [bind('owner', 'secrets/**'), { role: name('owner'), paths }];
        const asked = { action: 'secret.get', resource: `secrets/${raw}` };
        if (isCanonical(raw)) {
          equal(allows(bindings, asked), true);
        } else {
          refused += 1;
          equal(allows(bindings, asked), false);
          equal(allows([bind('owner', '**', '*/*')], asked), false);
        }
      },
    ),
    { numRuns: runs },
  );
  ok(refused > runs / 4, `only ${refused} spellings were refused`);
});

function isCanonical(raw: string): boolean {
  try {
    return parseSecretName(raw) === raw;
  } catch {
    return false;
  }
}

test('covers: what is covered allows nothing that the coverer is not allowed', () => {
  const segment = fc.constantFrom('secrets', 'groups', 'a', 'b', '*');
  const path = fc
    .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '/**', '**'))
    .map(([segments, end]) => (end === '**' ? '**' : `${segments.join('/')}${end}`));
  const role = fc.constantFrom(...roles.map((one) => one.name));
  const binding = fc.record({ role, paths: fc.array(path, { minLength: 1, maxLength: 2 }) });
  const resource = fc
    .array(fc.constantFrom('secrets', 'groups', 'a', 'b', 'c'), { minLength: 1, maxLength: 4 })
    .map((segments) => segments.join('/'));
  let covered = 0;
  fc.assert(
    fc.property(fc.array(binding, { maxLength: 3 }), binding, resource, (own, given, asked) => {
      const mine = own.map((one) => bind(one.role, ...one.paths));
      const theirs = bind(given.role, ...given.paths);
      if (!covers(mine, theirs)) return;
      covered += 1;
      for (const action of operationNames) {
        const isAllowed = allows([theirs], { action, resource: asked });
        ok(!isAllowed || allows(mine, { action, resource: asked }), `${action} ${asked}`);
      }
    }),
    { numRuns: Math.min(runs, 50_000) },
  );
  ok(covered > 100, `control: ${covered} were covered`);
  ok(covers([bind('owner', '**')], bind('writer', 'secrets/payments/**')));
  ok(!covers([bind('writer', '**')], bind('owner', 'secrets/a')));
  ok(!covers([bind('owner', 'secrets/*')], bind('owner', 'secrets/**')));
  ok(!covers([bind('owner', '**')], bind('nothing', 'secrets/a')), 'a role that there is');
});

test('a family of actions ends at its dot', () => {
  const operator = [bind('operator', '**')];
  const may = (action: string): boolean => allows(operator, { action, resource: 'groups/api' });
  deepEqual(['group.put', 'groups.put', 'group', 'grouping'].map(may), [true, false, false, false]);
});
