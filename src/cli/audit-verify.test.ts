/**
 * Goal: `coffer audit verify` says yes to a sound log only, and names the first entry that is wrong.
 * Method: a gateway that keeps a log of its own in memory, signs what it likes, and lies in one way
 * per test; the same log without the lie is the control.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { signCheckpoint } from '../crypto/checkpoint.ts';
import {
  consistencyProof,
  Frontier,
  hashLeaf,
  inclusionProof,
  type ReadNode,
  rootAt,
} from '../crypto/merkle.ts';
import { formatVerifier, noteSigner, type NoteSigner } from '../crypto/note.ts';
import type { AuditEntry } from '../gateway/audit/entry.ts';
import { encodeEntry } from '../gateway/audit/entry-bytes.ts';
import { gatewayPrincipal } from '../model/principal.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { goodToken, type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';
import { readEntryBytes } from './audit-entry-bytes.ts';
import type { EntryItem } from './views.ts';

const timeMs = Date.parse('2026-03-01T09:30:00Z');

/** A log that its gateway may change behind the signature. */
class Log {
  readonly signer: NoteSigner = noteSigner(
    'note',
    'cofferdam/test',
    generateKeyPairSync('ed25519').privateKey,
  );
  readonly signed: Buffer[] = [];
  /** What is served in place of what was signed. */
  readonly served = new Map<number, Buffer>();
  /** What is shown beside the bytes. */
  shown: (entry: EntryItem) => EntryItem = (entry) => entry;
  /** Entries that the newest checkpoint covers. */
  size: number | undefined;
  #kept: { readonly size: number; readonly read: ReadNode } | undefined;

  grow(count: number, action = 'secret.put'): this {
    for (let at = 0; at < count; at += 1) {
      this.signed.push(encodeEntry(entryOf(action), this.signed.length, timeMs));
    }
    return this;
  }

  note(): { readonly note: string; readonly size: number } {
    const size = this.size ?? this.signed.length;
    const root = rootAt(size, this.#nodes());
    const { name: origin } = this.signer;
    return { size, note: signCheckpoint({ origin, size, root, extensions: [] }, this.signer) };
  }

  answer(operation: string, input: Readonly<Record<string, number | undefined>>): unknown {
    const { note, size } = this.note();
    const base64 = (hashes: readonly Uint8Array[]): string[] =>
      hashes.map((hash) => Buffer.from(hash).toString('base64'));
    switch (operation) {
      case 'audit.checkpoint': {
        const since = input['since'] ?? size;
        if (since > size) throw new Fault('request.invalid', { what: 'since' });
        const consistency = base64(consistencyProof(since, size, this.#nodes()));
        return { checkpoint: note, verifierKey: formatVerifier(this.signer), consistency };
      }
      case 'audit.list': {
        const from = (input['after'] ?? -1) + 1;
        const items = this.signed.slice(from, from + (input['limit'] ?? 50));
        return { items: items.map((_bytes, at) => this.#view(from + at)) };
      }
      case 'audit.prove': {
        const sequence = input['sequence'] ?? 0;
        const inclusion = base64(inclusionProof(sequence, size, this.#nodes()));
        return { entry: this.#view(sequence), checkpoint: note, inclusion };
      }
      default:
        throw new Fault('resource.unknown');
    }
  }

  #view(sequence: number): EntryItem {
    const bytes = this.served.get(sequence) ?? this.signed[sequence] ?? Buffer.alloc(0);
    const signed = readEntryBytes(bytes);
    ok(signed);
    return this.shown({ ...signed, bytes: bytes.toString('base64') });
  }

  #nodes(): ReadNode {
    if (this.#kept?.size === this.signed.length) return this.#kept.read;
    const nodes = new Map<string, Uint8Array>();
    const frontier = Frontier.empty();
    for (const bytes of this.signed) {
      frontier.append(hashLeaf(bytes), (level, index, hash) =>
        nodes.set(`${level}/${index}`, hash),
      );
    }
    const read = (level: number, index: number): Uint8Array => {
      const hash = nodes.get(`${level}/${index}`);
      ok(hash, `node ${level}/${index}`);
      return hash;
    };
    this.#kept = { size: this.signed.length, read };
    return read;
  }
}

function entryOf(action: string): AuditEntry {
  return {
    principal: gatewayPrincipal,
    action,
    resource: 'secrets/payments/db-password',
    outcome: 'ok',
    rule: 'role:writer',
    requestId: 'req_0123456789abcdef01234567',
    detail: { version: '2' },
  };
}

interface Setting extends AsyncDisposable {
  readonly world: CliWorld;
  /** The log that is served; may be replaced. */
  log: Log;
  verify(...more: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

async function setUp(log: Log): Promise<Setting> {
  const setting = { log };
  const gateway: HttpGateway = await startHttpGateway(async ({ operation, input }) => ({
    output: setting.log.answer(operation, input as Readonly<Record<string, number>>),
  }));
  const world = new CliWorld();
  writeFileSync(world.path('ca.pem'), gateway.certificate.authorityPem);
  writeFileSync(world.path('token'), goodToken, { mode: 0o600 });
  const server = `https://127.0.0.1:${gateway.server.port}`;
  const add = [
    'context',
    'add',
    'prod',
    '--server',
    server,
    '--ca',
    world.path('ca.pem'),
    '--no-check',
  ];
  equal((await world.run([...add, '--token-file', world.path('token')])).code, 0);
  return Object.assign(setting, {
    world,
    verify: async (...more: string[]) => await world.run(['audit', 'verify', ...more]),
    async [Symbol.asyncDispose]() {
      world[Symbol.dispose]();
      await gateway[Symbol.asyncDispose]();
    },
  });
}

test('a sound log verifies, is remembered, and verifies again when it has grown', async () => {
  await using setting = await setUp(new Log().grow(1203));
  const first = await setting.verify();
  equal(first.code, 0, first.stderr);
  match(first.stdout, /verified: all 1203 entries/);
  match(first.stdout, /previous check {2}none: first verification/);
  setting.log.grow(700);
  const second = await setting.verify();
  equal(second.code, 0, second.stderr);
  match(second.stdout, /begins with the 1203 entries/);
});

test('readEntryBytes reads the frozen vectors as they are written down', () => {
  const path = join(import.meta.dirname, '../../vectors/audit-entry.json');
  const { entries } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly entries: readonly {
      readonly sequence: number;
      readonly entry: AuditEntry;
      readonly bytes: string;
    }[];
  };
  ok(entries.length > 0);
  for (const { sequence, entry, bytes } of entries) {
    const read = readEntryBytes(Buffer.from(bytes, 'hex'));
    equal(read?.sequence, sequence);
    equal(read?.actor, entry.principal.name);
    equal(read?.action, entry.action);
    deepEqual({ ...read?.detail }, entry.detail);
    equal(readEntryBytes(Buffer.from(bytes, 'hex').subarray(0, -1)), undefined);
  }
});

for (const sequence of [0, 1, 499, 500, 733, 1202]) {
  test(`an entry that is not the one that was signed is named: ${sequence}`, async () => {
    const log = new Log().grow(1203);
    await using setting = await setUp(log);
    equal((await setting.verify()).code, 0, 'the control');
    log.served.set(sequence, encodeEntry(entryOf('secret.get'), sequence, timeMs));
    const { code, stdout, stderr } = await setting.verify();
    equal(code, 1);
    equal(stdout, '');
    match(
      stderr,
      new RegExp(`Entry ${sequence} is not the entry that was signed \\[audit\\.altered\\]`),
    );
  });
}

test('an entry out of its place, a view that shows something else, and a cut log are named', async () => {
  const lies: readonly (readonly [(log: Log) => void, RegExp])[] = [
    [
      (log) => log.served.set(7, log.signed[9] ?? Buffer.alloc(0)),
      /Entry 7 was replaced by entry 9/,
    ],
    [
      (log) => {
        log.shown = (entry) => (entry.sequence === 5 ? { ...entry, outcome: 'denied' } : entry);
      },
      /Entry 5 shows another outcome than was signed/,
    ],
    [
      (log) => {
        const all = log.note();
        log.note = () => all;
        log.signed.length = 8;
      },
      /Entry 8 is missing/,
    ],
  ];
  for (const [lie, expected] of lies) {
    const log = new Log().grow(20);
    await using setting = await setUp(log);
    equal((await setting.verify()).code, 0, 'the control');
    lie(log);
    const { code, stderr } = await setting.verify();
    equal(code, 1);
    match(stderr, expected);
  }
});

test('a log that was set back is a rollback, and can be accepted', async () => {
  const log = new Log().grow(40);
  await using setting = await setUp(log);
  equal((await setting.verify()).code, 0);
  log.size = 30;
  const refused = await setting.verify();
  equal(refused.code, 1);
  match(refused.stderr, /has 30 entries; it had 40 when it was last verified \[audit\.rollback\]/);
  equal((await setting.verify()).code, 1, 'what was remembered is not replaced by a failure');
  equal((await setting.verify('--accept-rollback')).code, 0);
  equal((await setting.verify()).code, 0);
});

test('a log that was rewritten and signed anew is a fork', async () => {
  const log = new Log().grow(40);
  await using setting = await setUp(log);
  equal((await setting.verify()).code, 0);
  log.signed[11] = encodeEntry(entryOf('secret.delete'), 11, timeMs);
  log.grow(10);
  const { code, stderr } = await setting.verify();
  equal(code, 1);
  match(stderr, /log of 50 entries does not begin with the 40 entries seen before \[audit\.fork\]/);
  equal((await setting.verify()).code, 1, 'and stays one');
});

test('another key is refused, unless it is expected', async () => {
  await using setting = await setUp(new Log().grow(12));
  equal((await setting.verify()).code, 0);
  setting.log = new Log().grow(14);
  const refused = await setting.verify();
  equal(refused.code, 1);
  match(refused.stderr, /audit\.unsigned/);
  equal((await setting.verify('--key', formatVerifier(setting.log.signer))).code, 0);
  setting.log = new Log().grow(15);
  equal((await setting.verify('--accept-new-key')).code, 0);
});

test('a bundle verifies without a gateway; one changed line, one line less, one more do not', async () => {
  await using setting = await setUp(new Log().grow(600));
  const path = setting.world.path('log.jsonl');
  const exported = await setting.world.run(['audit', 'export', path]);
  equal(exported.code, 0, exported.stderr);
  using elsewhere = new CliWorld();
  const verify = async (lines: readonly string[]) => {
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
    return await elsewhere.run(['audit', 'verify', '--bundle', path]);
  };
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  equal((await verify(lines)).code, 0, 'the control');
  const changed = lines.with(
    18,
    JSON.stringify(encodeEntry(entryOf('a'), 17, timeMs).toString('base64')),
  );
  const more = JSON.stringify(encodeEntry(entryOf('a'), 600, timeMs).toString('base64'));
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [changed, /Entries 0 to 599: [^\n]* \[audit\.altered\]/],
    [lines.toSpliced(18, 1), /Entry 17 [^\n]* \[audit\.altered\]/],
    [lines.slice(0, -1), /Entry 599 is missing \[audit\.altered\]/],
    [[...lines, more], /Entry 600 [^\n]* \[audit\.altered\]/],
    [['{}', ...lines.slice(1)], /request\.invalid/],
    [[], /request\.malformed/],
  ];
  for (const [damaged, expected] of cases) {
    const { code, stderr } = await verify(damaged);
    ok(code === 1 || code === 2);
    match(stderr, expected);
  }
});
