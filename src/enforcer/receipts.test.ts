/**
 * Goal: that nothing is left of a set is heard by the gateway, whatever becomes of connections and enforcers.
 * Method: the receipts alone, with connections that break at each point; `node.test.ts` has the whole line.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import type { LogFields } from '../base/log.ts';
import type { ReceiptOutcome, SetReceipt } from '../model/assignment.ts';
import { Receipts, receiptsMax } from './receipts.ts';

function receipt(setRevision: number, outcome: ReceiptOutcome): SetReceipt {
  const about = { workloadId: 'wld_1', target: '/run/secrets', files: [], terms: '' };
  return { ...about, setRevision, outcome, fault: '', tookUs: 1 };
}

class Line {
  readonly receipts: Receipts;
  readonly heard: string[] = [];
  readonly logged: (readonly [event: string, fields?: LogFields])[] = [];

  constructor(earlier?: readonly SetReceipt[]) {
    const warn = (...line: readonly [event: string, fields?: LogFields]): void => {
      this.logged.push(line);
    };
    this.receipts = new Receipts({ warn }, earlier);
  }

  connect(): void {
    this.receipts.welcomed((said) => void this.heard.push(`${said.outcome} ${said.setRevision}`));
  }

  get unheard(): readonly number[] {
    return (this.receipts.remains.unheard ?? []).map(({ setRevision }) => setRevision);
  }
}

test('what is told while nobody hears it is said in order, once somebody does', () => {
  const line = new Line();
  line.receipts.tell(receipt(1, 'placed'));
  line.receipts.tell(receipt(2, 'wiped'));
  deepEqual([line.heard, line.unheard], [[], [2]]);
  line.connect();
  line.receipts.tell(receipt(3, 'placed'));
  deepEqual(line.heard, ['placed 1', 'wiped 2', 'placed 3']);
});

test('that nothing is left is said on each connection until it was surely heard, all else once', () => {
  const line = new Line([receipt(1, 'wiped')]);
  line.connect();
  line.receipts.tell(receipt(2, 'gone'));
  line.receipts.tell(receipt(3, 'placed'));
  line.receipts.tell(receipt(4, 'failed'));
  // Answered, and nobody knows whether that arrived.
  line.receipts.checkpointShown();
  line.receipts.tell(receipt(5, 'wiped'));
  line.receipts.lost();
  line.receipts.tell(receipt(6, 'placed'));
  line.heard.length = 0;
  line.connect();
  deepEqual(line.heard, ['wiped 1', 'gone 2', 'wiped 5', 'placed 6']);
  deepEqual(line.unheard, [1, 2, 5]);
});

test('a second checkpoint on one connection says what was heard: all before the answer to the first', () => {
  const line = new Line();
  line.connect();
  line.receipts.tell(receipt(1, 'wiped'));
  line.receipts.checkpointShown();
  line.receipts.tell(receipt(2, 'wiped'));
  deepEqual(line.unheard, [1, 2]);
  line.receipts.checkpointShown();
  deepEqual(line.unheard, [2]);
  line.receipts.lost();
  line.connect();
  line.receipts.checkpointShown();
  deepEqual(line.unheard, [2], 'the first one of a connection says nothing of it');
  line.receipts.checkpointShown();
  deepEqual([line.unheard, line.receipts.remains], [[], {}]);
  line.receipts.lost();
  line.heard.length = 0;
  line.connect();
  deepEqual(line.heard, []);
});

test('what a gateway never confirms is kept up to a bound, the newest of it', () => {
  const line = new Line();
  line.connect();
  line.receipts.tell(receipt(1, 'gone'));
  line.receipts.checkpointShown();
  for (let number = 2; number <= receiptsMax; number += 1)
    line.receipts.tell(receipt(number, 'gone'));
  deepEqual([line.unheard.length, line.unheard[0]], [receiptsMax, 1], 'control: so many are kept');
  line.receipts.tell(receipt(receiptsMax + 1, 'gone'));
  deepEqual([line.unheard.length, line.unheard[0]], [receiptsMax, 2]);
  // The one before the checkpoint is among those that were dropped: this confirms none of the others.
  line.receipts.checkpointShown();
  deepEqual([line.unheard.length, line.unheard[0]], [receiptsMax, 2]);
  line.receipts.lost();
  line.receipts.tell(receipt(receiptsMax + 2, 'gone'));
  deepEqual([line.unheard.length, line.unheard[0]], [receiptsMax, 3]);
});

test('how many were dropped is logged: that it begins at once, the number when somebody hears again', () => {
  const line = new Line();
  const tell = (from: number, to: number): void => {
    for (let number = from; number <= to; number += 1) line.receipts.tell(receipt(number, 'gone'));
  };
  tell(1, receiptsMax);
  deepEqual(line.logged, [], 'control: so many are kept');
  tell(receiptsMax + 1, receiptsMax + 3);
  const dropping = ['receipts.dropping', { kept: receiptsMax }] as const;
  deepEqual(line.logged, [dropping]);
  line.connect();
  deepEqual([line.heard.length, line.heard[0]], [receiptsMax, 'gone 4']);
  const dropped = (count: number) => ['receipts.dropped', { count }] as const;
  deepEqual(line.logged.splice(0), [dropping, dropped(3)]);
  // Said, and never confirmed: dropped while connected, and again with what is told after that.
  tell(1, 2);
  line.receipts.checkpointShown();
  deepEqual(line.logged.splice(0), [dropping, dropped(2)]);
  line.receipts.lost();
  tell(3, 3);
  line.connect();
  deepEqual(line.logged.splice(0), [dropping, dropped(1)]);
});
