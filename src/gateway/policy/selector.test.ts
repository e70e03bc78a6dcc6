/**
 * Goal: a group selects what its conditions say, only by facts that mean something there.
 * Method: cases for each kind of condition; then properties over random matches and facts, with the
 * conditions written out a second time, plainly.
 */
import { deepEqual, equal, match as matchText, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GroupMatch } from '../../model/group.ts';
import { anchorsOfFacts, anchorsOfMatch } from './anchor.ts';
import type { SelectableFacts } from './policy.ts';
import { anyFacts, anyMatch, factsOf, naiveMatches } from './policy-samples.suite.ts';
import { compileSelector } from './selector.ts';

const runs = process.env['COFFER_LONG'] === '1' ? 200_000 : 10_000;
const digest = `sha256:${'ab'.repeat(32)}`;

function matches(match: GroupMatch, facts: SelectableFacts): boolean {
  return compileSelector(match).matches(facts);
}

test('compileSelector: an image by digest is that digest from that repository', () => {
  const facts = factsOf({
    image: { reference: 'r/a:1', id: `sha256:${'0'.repeat(64)}`, digests: [`r/a@${digest}`] },
  });
  equal(matches({ image: `r/a@${digest}` }, facts), true);
  equal(matches({ image: digest }, facts), true, 'content alone');
  equal(matches({ image: `sha256:${'0'.repeat(64)}` }, facts), true, 'the id of the configuration');
  equal(matches({ image: `r/b@${digest}` }, facts), false);
  equal(matches({ image: `r/a@${digest.replace('ab', 'ac')}` }, facts), false);
  equal(matches({ image: `r/a@${digest.toUpperCase()}` }, facts), false);
  const [, digestCondition] = compileSelector({ image: `r/b@${digest}` }).conditions;
  matchText(digestCondition!.because(facts), /has that digest, but its repository is "r\/a"/);
});

test('compileSelector: a condition of one runtime never holds for another', () => {
  const docker = factsOf({ runtime: 'docker', name: 'api' });
  const process = factsOf({ runtime: 'process', name: 'api' });
  equal(matches({ docker: { name: 'api' } }, docker), true);
  equal(matches({ docker: { name: 'api' } }, process), false);
  equal(matches({ docker: {} }, process), false);
  equal(matches({ process: { name: 'api' } }, process), true);
  equal(matches({ process: { name: 'api' } }, docker), false);
  equal(matches({ image: '**' }, process), false, 'a plain process has no image');
});

test('compileSelector: a container that only says by labels that it is a pod is none', () => {
  const kubernetes = {
    namespace: 'payments',
    pod: 'api-1',
    podUid: 'u',
    container: 'app',
    serviceAccount: 'api',
  };
  const wanted: GroupMatch = { kubernetes: { namespace: 'payments', serviceAccount: 'api' } };
  equal(matches(wanted, factsOf({ runtime: 'containerd', kubernetes })), true);
  equal(matches(wanted, factsOf({ runtime: 'docker', kubernetes })), false);
  equal(matches({ kubernetes: {} }, factsOf({ runtime: 'docker', kubernetes })), false);
});

test('compileSelector: what is not known does not match', () => {
  const kubernetes = { namespace: 'payments', pod: 'api-1', podUid: 'u', container: 'app' };
  const facts = factsOf({ runtime: 'containerd', kubernetes });
  equal(matches({ kubernetes: { namespace: 'payments' } }, facts), true);
  equal(matches({ kubernetes: { namespace: 'payments', serviceAccount: 'api' } }, facts), false);
});

test('compileSelector: labels named like members of every object are labels', () => {
  const facts = factsOf({ runtime: 'docker', labels: { tier: 'backend' } });
  for (const key of ['constructor', 'toString', 'hasOwnProperty']) {
    equal(matches({ docker: { labels: { [key]: 'x' } } }, facts), false);
  }
});

test('compileSelector: only content, node and namespace are strong', () => {
  const strong = (match: GroupMatch): boolean =>
    compileSelector(match).conditions.some((c) => c.strong);
  deepEqual(
    [
      { image: digest },
      { image: `r/a@${digest}` },
      { node: 'n1' },
      { kubernetes: { namespace: 'a' } },
      { kubernetes: { serviceAccount: 'a' } },
      { kubernetes: { pod: 'a*', labels: { a: 'b' } } },
      { docker: { name: 'a', labels: { a: 'b' } } },
      { process: { name: 'a' } },
      { image: 'r/a:1' },
      {},
    ].map(strong),
    [true, true, true, true, false, false, false, false, false, false],
  );
});

test('compileSelector: what any container of a runtime meets narrows nothing', () => {
  const narrows = (match: GroupMatch): boolean =>
    compileSelector(match).conditions.some((c) => c.narrows);
  const wide: readonly GroupMatch[] = [
    {},
    { image: '**' },
    { image: '***' },
    { docker: {} },
    { docker: { name: '*' } },
    { process: { name: '**' } },
    { kubernetes: { pod: '*' } },
    { image: '**', docker: { name: '*' } },
  ];
  const narrow: readonly GroupMatch[] = [
    { image: '*' },
    { image: '**:1' },
    { docker: { name: 'a*' } },
    { docker: { labels: { a: '*' } } },
    { node: 'n1', image: '**' },
    { image: digest },
    { kubernetes: { namespace: 'a', pod: '*' } },
  ];
  deepEqual(
    wide.map(narrows),
    wide.map(() => false),
  );
  deepEqual(
    narrow.map(narrows),
    narrow.map(() => true),
  );
});

test('compileSelector agrees with the conditions written out plainly', () => {
  fc.assert(
    fc.property(anyMatch, anyFacts, (wanted, facts) => {
      equal(matches(wanted, facts), naiveMatches(wanted, facts));
    }),
    { numRuns: runs },
  );
});

test('compileSelector: adding a condition never adds a workload', () => {
  fc.assert(
    fc.property(anyMatch, anyMatch, anyFacts, (few, more, facts) => {
      const both: GroupMatch = {
        ...more,
        ...few,
        ...(few.docker && { docker: { ...more.docker, ...few.docker } }),
        ...(few.kubernetes && { kubernetes: { ...more.kubernetes, ...few.kubernetes } }),
        ...(few.process && { process: { ...more.process, ...few.process } }),
      };
      if (matches(both, facts)) equal(matches(few, facts), true);
    }),
    { numRuns: runs },
  );
});

test('anchors: a workload that matches has every anchor of the match', () => {
  let matched = 0;
  fc.assert(
    fc.property(anyMatch, anyFacts, (wanted, facts) => {
      if (!matches(wanted, facts)) return;
      matched += 1;
      const has = new Set(anchorsOfFacts(facts));
      deepEqual(
        anchorsOfMatch(wanted).filter((anchor) => !has.has(anchor)),
        [],
      );
    }),
    { numRuns: runs },
  );
  ok(matched > runs / 20, `only ${matched} matches were tried`);
});
