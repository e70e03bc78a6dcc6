/**
 * Goal: a fault survives the way over HTTP, and nothing else makes it.
 * Method: every fault there is, there and back; foreign errors; documents that are no problems.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fault } from '../base/fault.ts';
import { type FaultCode, faults } from '../base/fault-table.ts';
import { faultOf, problemOf } from './problem.ts';

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('every fault comes back as it went: code, facts, errors, and the request id', () => {
  for (const code of Object.keys(faults) as FaultCode[]) {
    const errors = [{ pointer: '/a~1b', detail: 'is required' }];
    const sent = new Fault(code, { what: 'x', count: 2, left: undefined, isOld: true }, { errors });
    const back = faultOf(overTheWire(problemOf(sent, 'req-1')));
    equal(back?.code, code);
    const { retryAfterSeconds: _ignored, ...facts } = back.detail;
    deepEqual(facts, { what: 'x', count: 2, isOld: true, requestId: 'req-1' });
    deepEqual(back.errors, errors);
  }
});

test('a bug shows that it is one, and nothing else', () => {
  const problem = problemOf(new TypeError('canary', { cause: new Error('canary') }), 'req-1');
  equal(problem.code, 'gateway.bug');
  ok(!JSON.stringify(problem).includes('canary'));
});

test('a code of a newer gateway stays readable and exits as its status says', () => {
  const problem = { ...problemOf(new Fault('policy.denied'), 'req-1'), code: 'policy.two-people' };
  const back = faultOf(overTheWire(problem));
  equal(back?.code, 'policy.denied');
  equal(back.detail['code'], 'policy.two-people');
  equal(faultOf({ code: 'x.y', status: 418 })?.code, 'remote.unknown');
  equal(faultOf({ code: 'constructor', status: 418 })?.code, 'remote.unknown');
});

test('faultOf takes any document without throwing', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(faults), 'x'), (value, code) => {
      const back = faultOf({
        code,
        status: 400,
        detail: value,
        facts: value,
        errors: value,
        instance: value,
      });
      ok(back instanceof Fault);
      faultOf(value);
    }),
  );
  equal(faultOf(null), undefined);
  equal(faultOf({ code: 1, status: 'x' }), undefined);
});
