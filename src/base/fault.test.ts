/**
 * Goal: what went wrong is said in one sentence that has all of its facts, once.
 * Method: every row of the table, with all facts of each of its sentences and with none; single cases.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, sentenceOf } from './fault.ts';
import { type FaultCode, faults, type FaultSpec } from './fault-table.ts';

const rows = Object.entries<FaultSpec>(faults) as [FaultCode, FaultSpec][];

function placeholdersOf(text: string): readonly string[] {
  return [...text.matchAll(/\{(?:named )?(\w+)\}/g)].map(([, name = '']) => name);
}

test('every fault has a title that is a sentence without a full stop, and a hint that is sentences', () => {
  for (const [code, { title, hint }] of rows) {
    match(title, /^[A-Z][^{}]*[^.!?]$/, code);
    match(hint, /^[A-Z`][^]*[^.]\.$|^[A-Z][^]* PATH\.$/, code);
  }
});

test('a sentence is chosen by the facts that there are, and says each of them once', () => {
  for (const [code, { title, says = [] }] of rows) {
    equal(sentenceOf(new Fault(code)), title, code);
    const chosen = says.map((template) => {
      const names = placeholdersOf(template);
      ok(names.length > 0, `${code}: what needs no fact is the title`);
      const detail = Object.fromEntries(names.map((name) => [name, `fact-of-${name}`]));
      const sentence = sentenceOf(new Fault(code, detail));
      for (const name of names) equal(sentence.split(`fact-of-${name}`).length, 2, sentence);
      return sentence;
    });
    deepEqual(new Set(chosen).size, says.length, `${code}: each sentence can be reached`);
  }
});

test('facts that no sentence has follow in brackets; those that are said elsewhere do not', () => {
  const fault = new Fault('cli.file-unsafe', {
    path: 'a',
    mode: '644',
    keyFile: 'b',
    requestId: 'req_1',
    didYouMean: 'c',
    left: undefined,
  });
  equal(sentenceOf(fault), 'Other users can access a (mode 644) (key file b)');
  equal(sentenceOf(fault, ['keyFile']), 'Other users can access a (mode 644)');
  equal(sentenceOf(new Fault('barrier.sealed', { reason: 'x' })), 'The gateway is sealed (x)');
  const unknown = new Fault('resource.unknown', { resource: 'secrets/payments/db' });
  equal(sentenceOf(unknown), 'There is no secret payments/db');
});
