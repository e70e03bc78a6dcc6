/**
 * Goal: nothing that a network sends to the node port ends the process (G41) or keeps a node out (G39), not
 * even one behind the same address; and a whole fleet behind one address comes back as often as it has to.
 * Method: connections that say too little, too much or nonsense, against the port in this very process, so
 * that an uncaught error fails the run, over a clock that stands still until it is told to go on. A node that
 * is let in stays meanwhile, and another one gets in. Controls: a moment earlier they are all there still; an
 * address whose connections came to nothing is cut off.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { createLog } from '../../base/log.ts';
import { limits as sizes } from '../../base/limits.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import {
  ask,
  nodeTls,
  shakenHands,
  startStreamPort,
  type StreamPortOptions,
  tcp,
  upgrade,
} from '../../testing/stream-port.ts';
import { until } from '../../testing/until.ts';

const long = process.env['COFFER_LONG'] === '1';

async function setUp(t: TestContext, limits: StreamPortOptions['limits'] = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ clock, level: 'warn', write: (line) => void lines.push(line) });
  const streamsClock = new ManualClock();
  const port = await startStreamPort(t, { clock, streamsClock, log, limits });
  return { ...port, t, clock, streamsClock, lines, port: port.server.port };
}

type Port = Awaited<ReturnType<typeof setUp>>;

/** Connects a node. @returns whether it was let in, and its connection */
async function connectNode({ t, port, ours }: Port, name: string, from = '127.0.0.1') {
  const [answer, socket] = await ask(port, { ...nodeTls(ours, name), ...sourceOf(from) });
  t.after(() => socket.destroy());
  return { isIn: answer.startsWith('HTTP/1.1 101'), socket };
}

/** Passed on to the socket below. */
function sourceOf(localAddress: string): object {
  return { localAddress };
}

const isClosed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    socket.resume().on('close', () => resolve());
  });

/** One of each kind that never becomes a node. */
async function tooQuiet({ port, ours }: Port): Promise<readonly Socket[]> {
  const silent = await tcp(port);
  const halfHello = await tcp(port);
  halfHello.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 1, 2, 3]));
  const shaken = await shakenHands(port, nodeTls(ours));
  const halfRequest = await shakenHands(port, nodeTls(ours));
  halfRequest.write(upgrade.slice(0, 40));
  return [silent, halfHello, shaken, halfRequest];
}

async function many(port: Port, rounds: number): Promise<readonly Socket[]> {
  const quiet: Socket[] = [];
  for (let round = 0; round < rounds; round += 1) quiet.push(...(await tooQuiet(port)));
  return quiet;
}

test('whoever does not become a node in time is cut, however far it came; nodes are served', async (t) => {
  const here = await setUp(t);
  const node = await connectNode(here, 'node-1');
  const quiet = await many(here, long ? 500 : 10);
  await until('all have arrived', () => here.server.strangers === quiet.length);
  here.clock.advance(29_999);
  equal((await connectNode(here, 'node-2')).isIn, true, 'meanwhile');
  ok(
    quiet.every((socket) => !socket.closed),
    'control: they are there while they have time',
  );
  here.clock.advance(1);
  await Promise.all(quiet.map(isClosed));
  equal(here.server.strangers, 0);
  equal(node.socket.destroyed, false, 'a node’s connection stays');
  equal((await connectNode(here, 'node-3')).isIn, true, 'afterwards');
  here.clock.advance(60_000);
  equal(here.lines.filter((line) => line.includes('node.strangers-cut')).length, 1);
});

test('whoever fills the port keeps no node out, not even one behind its own address', async (t) => {
  const strangersMax = 20;
  const here = await setUp(t, { strangersMax });
  const quiet: Socket[] = [];
  for (let count = 0; count < strangersMax; count += 1) quiet.push(await tcp(here.port));
  await until('it is full', () => here.server.strangers === strangersMax);
  equal((await connectNode(here, 'node-1')).isIn, true);
  await Promise.race(quiet.map(isClosed));
  equal(quiet.filter((socket) => socket.closed).length, 1, 'the one that was there longest went');
  equal(here.server.strangers, strangersMax - 1, 'a node that was let in is no stranger');
  for (const socket of quiet) socket.destroy();
});

test('connections that come to nothing use up what their address has, and no other’s', async (t) => {
  const burst = 20;
  const here = await setUp(t, { burst, perSecond: 1 });
  for (let count = 0; count < burst; count += 1) (await tcp(here.port)).destroy();
  equal((await connectNode(here, 'node-1')).isIn, false, 'control: there is a limit');
  equal((await connectNode(here, 'node-1', '127.0.0.2')).isIn, true, 'another address');
  here.clock.advance(1000);
  equal((await connectNode(here, 'node-1')).isIn, true, 'and with time');
});

test('a fleet behind one address comes back all at once, as often as it has to', async (t) => {
  const fleet = long ? 1000 : 50;
  const here = await setUp(t, { strangersMax: fleet, burst: fleet, perSecond: 1 });
  const names = Array.from({ length: fleet }, (_, index) => `node-${index}`);
  for (let round = 0; round < 3; round += 1) {
    const nodes = await Promise.all(names.map((name) => connectNode(here, name)));
    equal(nodes.filter(({ isIn }) => isIn).length, fleet, `round ${round}`);
    equal(here.streams.connected, fleet);
    for (const { socket } of nodes) socket.destroy();
    await until('all have gone', () => here.server.connections === 0);
  }
});

/** A TLS record of any kind, and a hello that claims lengths which it does not have. */
const records = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 600 }).map((bytes) => [...bytes]),
  fc
    .tuple(fc.constantFrom(20, 21, 22, 23, 24), fc.nat(0xffff), fc.uint8Array({ maxLength: 300 }))
    .map(([type, length, rest]) => [type, 3, 3, length >> 8, length & 255, ...rest]),
  fc
    .tuple(fc.nat(0xffff), fc.nat(0xff_ffff), fc.uint8Array({ maxLength: 200 }))
    .map(([record, hello, rest]) => [
      ...[22, 3, 1, record >> 8, record & 255],
      ...[1, hello >> 16, (hello >> 8) & 255, hello & 255, 3, 3, ...rest],
    ]),
);

const requests = fc
  .tuple(
    fc.constantFrom(upgrade, upgrade.replace('GET', 'PUT'), upgrade.replace(/Sec.*Key.*/, '')),
    fc.array(
      fc.tuple(
        fc.nat(200),
        fc.constantFrom(
          '\r\n',
          '\n',
          '\0',
          ' ',
          ':',
          'HTTP/9.9',
          '\xff\xfe',
          'chunked',
          '\r\n\r\n',
        ),
        fc.nat(6),
      ),
      { maxLength: 4 },
    ),
  )
  .map(([text, splices]) =>
    splices.reduce((spliced, [place, splice, cut]) => {
      const at = place % (spliced.length + 1);
      return spliced.slice(0, at) + splice + spliced.slice(at + cut);
    }, text),
  );

/** Frames with any first two bytes and any length, masked or not. */
const frames = fc
  .tuple(fc.nat(255), fc.nat(255), fc.uint8Array({ maxLength: 200 }))
  .map(([first, second, rest]) => Buffer.from([first, second, ...rest]));

test('nonsense instead of TLS, a request or a message ends nothing but its own connection', async (t) => {
  const here = await setUp(t);
  const node = await connectNode(here, 'node-1');
  const runs = long ? 3000 : 60;
  for (const bytes of fc.sample(records, runs)) {
    const socket = await tcp(here.port);
    socket.write(Buffer.from(bytes));
    // Some hang up at once, in the middle of whatever is going on; some are polite about it.
    if (bytes.length % 4 === 0) socket.resetAndDestroy();
    else socket.end();
    await isClosed(socket);
  }
  for (const text of fc.sample(requests, runs)) {
    const socket = await shakenHands(here.port, nodeTls(here.ours, 'node-2'));
    socket.write(text, 'latin1');
    socket.end();
    // A request that is good after all has a stream now, which waits for a hello.
    socket.resume().on('data', () => socket.destroy());
    await isClosed(socket);
  }
  for (const frame of fc.sample(frames, runs)) {
    const { isIn, socket } = await connectNode(here, 'node-3');
    equal(isIn, true);
    socket.write(frame);
    socket.end();
    await isClosed(socket);
  }
  equal(node.socket.destroyed, false);
  equal((await connectNode(here, 'node-4')).isIn, true);
});

test('a node that sends its message too slowly, or none, is given up like one that says nothing', async (t) => {
  const here = await setUp(t);
  const slow = await connectNode(here, 'node-1');
  await connectNode(here, 'node-2');
  // A masked frame that announces a whole message, of which a byte comes now and then.
  slow.socket.write(Buffer.from([0x82, 0xfe, 0x10, 0x00, 0, 0, 0, 0]));
  for (let second = 1; second < 10; second += 1) {
    here.streamsClock.advance(1000);
    slow.socket.write(Buffer.from([0]));
  }
  equal(here.streams.connected, 2, 'control: they have time');
  here.streamsClock.advance(1000);
  await until('both are gone', () => here.server.connections === 0);
});

test('a node that asks to be answered and reads nothing is not answered', async (t) => {
  const here = await setUp(t);
  const { socket } = await connectNode(here, 'node-1');
  const [ping, tooLong] = [Buffer.alloc(6), Buffer.alloc(14)];
  ping.set([0x89, 0x80]);
  tooLong.set([0x82, 0xff]);
  tooLong.writeBigUInt64BE(BigInt(sizes.streamFrameBytesMax + 1), 2);
  for (let count = 0; count < 100; count += 1) socket.write(ping);
  socket.write(tooLong);
  deepEqual(
    await firstBytes(socket, 4),
    [0x88, 2, 1009 >> 8, 1009 & 0xff],
    'the end is all it hears',
  );
  socket.destroy();
});

async function firstBytes(socket: TLSSocket, count: number): Promise<readonly number[]> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) {
    pieces.push(piece as Buffer);
    if (Buffer.concat(pieces).length >= count) break;
  }
  return [...Buffer.concat(pieces).subarray(0, count)];
}
