/**
 * Goal: what goes to a node and comes from its gateway arrives whole and in order, and leaves no copy (T9).
 * Method: the writer against ws's own reader over a socket, at every length where the header changes; then
 * streams that keep what they were given. What TLS and the kernel do is for scenarios/process-memory.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { until } from '../testing/until.ts';
import { FrameWriter } from './frame-writer.ts';
import { webSocketLink } from './web-socket-link.ts';

const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 300_000, 5];

/** Both ends of one connection, and the stream below the server's. */
async function connect(stack: AsyncDisposableStack) {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  stack.defer(() => void http.close());
  const arrived = once(sockets, 'connection');
  const upgraded = once(http, 'upgrade');
  const client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  const [[, below], [server]] = await Promise.all([upgraded, arrived, once(client, 'open')]);
  stack.defer(() => client.terminate());
  return { client, server: server as WebSocket, below: below as Writable };
}

test('FrameWriter writes what ws reads, in order, at every length of a header', async () => {
  await using stack = new AsyncDisposableStack();
  const { client, server, below } = await connect(stack);
  const link = webSocketLink(server, { writes: below });
  link.open({ message: () => {}, closed: () => {} });
  const received: Buffer[] = [];
  const all = new Promise<void>((resolve) => {
    client.on('message', (data: Buffer) => {
      received.push(data);
      if (received.length === lengths.length * 2) resolve();
    });
  });
  const sent = [...lengths, ...lengths].map((length, index) => Buffer.alloc(length, index + 1));
  const copies = sent.map((message) => Buffer.from(message));
  for (const message of sent) link.send(message);
  await all;
  deepEqual(received, copies);
  equal(link.queuedBytes, 0);
});

test('FrameWriter gives single buffers, joins what waits, and wipes all of it', async () => {
  const given: Buffer[] = [];
  const taken: (() => void)[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      given.push(chunk);
      taken.push(done);
    },
    writev: () => {
      throw new Error('buffers are written together');
    },
  });
  const writer = new FrameWriter(stream);
  const messages = ['first', 'second', 'third'].map((text) => Buffer.from(text));
  for (const message of messages) writer.send(message);
  equal(given.length, 1);
  equal(given[0]?.subarray(2).toString(), 'first');
  equal(writer.waitingBytes, 'second'.length + 'third'.length + 4);
  taken.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
  equal(given.length, 2, 'the two that waited are one write');
  ok(given[1]?.includes('second') && given[1].includes('third'), 'control: they are in it');
  taken.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
  for (const buffer of [...messages, ...given]) ok(buffer.every((byte) => byte === 0));
  equal(writer.waitingBytes, 0);
});

test('a link that ends has given the stream what waited', async () => {
  await using stack = new AsyncDisposableStack();
  const { client, server, below } = await connect(stack);
  const link = webSocketLink(server, { writes: below });
  link.open({ message: () => {}, closed: () => {} });
  const texts: string[] = [];
  client.on('message', (data: Buffer) => texts.push(data.toString()));
  const closed = once(client, 'close');
  for (const text of ['a', 'b', 'c']) link.send(Buffer.from(text));
  link.close('done');
  await closed;
  deepEqual(texts, ['a', 'b', 'c']);
});

test('what a client sends in one turn leaves in one write, and before it ends', async () => {
  await using stack = new AsyncDisposableStack();
  const { client, server } = await connect(stack);
  const socket = (client as unknown as { readonly _socket: Writable })._socket;
  let writes = 0;
  for (const name of ['_write', '_writev'] as const) {
    const original = socket[name] as (...given: unknown[]) => void;
    const counted = (...given: unknown[]): void => {
      writes += 1;
      original.apply(socket, given);
    };
    Object.assign(socket, { [name]: counted });
  }
  const link = webSocketLink(client, { joins: socket });
  link.open({ message: () => {}, closed: () => {} });
  const texts: string[] = [];
  server.on('message', (data: Buffer) => texts.push(data.toString()));
  const sent = Array.from({ length: 50 }, (_, index) => `message ${index}`);
  // Each in a step of its own, as receipts come.
  await Promise.all(sent.map((text) => Promise.resolve().then(() => link.send(Buffer.from(text)))));
  await until('all have arrived', () => texts.length === sent.length);
  deepEqual(texts, sent);
  equal(writes, 1);
  link.send(Buffer.from('one'));
  await until('it has arrived', () => texts.length === sent.length + 1);
  ok(writes > 1, 'control: another turn, another write');
  const closed = once(server, 'close');
  link.send(Buffer.from('last words'));
  link.close('done');
  await closed;
  equal(texts.at(-1), 'last words');
});

test('pieces that a message came in are wiped, but not what is still to be read', async () => {
  await using stack = new AsyncDisposableStack();
  const { client, server } = await connect(stack);
  const pieces: Buffer[] = [];
  const below = new Readable({ read: () => {} });
  // What ws reads, and what the link sees, in the order in which they see it.
  const socket = (client as unknown as { readonly _socket: Readable })._socket;
  socket.on('data', (piece: Buffer) => {
    pieces.push(piece);
    below.emit('data', piece);
  });
  const link = webSocketLink(client, { reads: below });
  const received: string[] = [];
  link.open({
    message: (bytes) => received.push(Buffer.from(bytes).toString('latin1')),
    closed: () => {},
  });
  const texts = ['x', 'y', 'z'].map((letter) => letter.repeat(200_000));
  for (const text of texts) server.send(Buffer.from(text));
  server.send(Buffer.from('last'));
  await until('all have come', () => received.length === 4);
  deepEqual(received, [...texts, 'last']);
  ok(pieces.length > 4, 'control: they came in pieces');
  ok(pieces.slice(0, -1).every((piece) => piece.every((byte) => byte === 0)));
});
