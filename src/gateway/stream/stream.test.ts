/**
 * Goal: the node port lets nobody in who is not live, remembers no TLS session (G21), keeps no
 * connection of those it refuses, and closes when it is told to, whoever holds the line (T13).
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { test } from 'node:test';
import { connect, type ConnectionOptions } from 'node:tls';
import { limits } from '../../base/limits.ts';
import { ask, newAuthority, nodeTls, startStreamPort, upgrade } from '../../testing/stream-port.ts';
import { until } from '../../testing/until.ts';

test('live nodes are let in, revoked ones and other authorities are not', {
  timeout: 5000,
}, async (t) => {
  let live = true;
  const { server, streams, ours } = await startStreamPort(t, { isLive: () => live });
  const [answer, socket] = await ask(server.port, nodeTls(ours));
  ok(answer.startsWith('HTTP/1.1 101'));
  equal(streams.connected, 1);
  socket.destroy();
  const [stranger] = await ask(server.port, nodeTls(newAuthority()));
  equal(stranger, '');
  const [nobody] = await ask(server.port, { rejectUnauthorized: false });
  equal(nobody, '');
  live = false;
  const [revoked, held] = await ask(server.port, nodeTls(ours));
  ok(revoked.startsWith('HTTP/1.1 403'));
  // The peer keeps its half open: that must not keep ours.
  await until('ours is closed', () => server.connections === 0);
  held.destroy();
});

test('no session is resumed, whatever the peer keeps (G21)', async (t) => {
  const { server, ours } = await startStreamPort(t);
  const mine = nodeTls(ours);
  let session: Buffer | undefined;
  const [, first] = await ask(server.port, mine);
  first.on('session', (given: Buffer) => (session = given));
  session ??= first.getSession();
  first.destroy();
  const [, second] = await ask(server.port, { ...mine, ...(session ? { session } : {}) });
  equal(second.isSessionReused(), false);
  second.destroy();
});

test('it closes at once, whoever holds a line open', { timeout: 5000 }, async (t) => {
  let live = true;
  const { server, streams, ours } = await startStreamPort(t, { isLive: () => live });
  const mute = connectPlain({ port: server.port, host: '127.0.0.1' });
  mute.on('error', () => {});
  await once(mute, 'connect');
  const [, held] = await ask(server.port, nodeTls(ours));
  live = false;
  const [, refused] = await ask(server.port, nodeTls(ours));
  const idle = connect({
    port: server.port,
    host: '127.0.0.1',
    ...nodeTls(ours),
  } as ConnectionOptions);
  idle.on('error', () => {});
  await once(idle, 'secureConnect');
  await server.close();
  equal(streams.connected, 0);
  for (const socket of [mute, held, refused, idle]) socket.destroy();
  await rejects(
    once(connectPlain({ port: server.port, host: '127.0.0.1' }), 'connect') as Promise<unknown>,
  );
});

test('nothing but the stream is served, over nothing older than TLS 1.3, and uncompressed', {
  timeout: 5000,
}, async (t) => {
  const { server, ours } = await startStreamPort(t);
  const mine = nodeTls(ours);
  const first = async (options: ConnectionOptions, request = upgrade): Promise<string> => {
    const [answer, socket] = await ask(server.port, options, request);
    socket.destroy();
    return answer;
  };
  ok((await first(mine)).startsWith('HTTP/1.1 101'), 'control');
  ok((await first(mine, upgrade.replace('/v1/stream', '/v1/streams'))).startsWith('HTTP/1.1 403'));
  equal(await first({ ...mine, maxVersion: 'TLSv1.2' }), '');
  const offer = 'Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n';
  const offered = await first(mine, upgrade.replace(/\r\n\r\n$/, `\r\n${offer}`));
  ok(offered.startsWith('HTTP/1.1 101') && !offered.includes('deflate'));
});

test('a node has one stream: a newer one ends the older, and only that', {
  timeout: 5000,
}, async (t) => {
  const { server, streams, ours } = await startStreamPort(t);
  const mine = nodeTls(ours);
  const [, older] = await ask(server.port, mine);
  const ended = once(older, 'end');
  older.resume();
  const [, newer] = await ask(server.port, mine);
  await ended;
  older.destroy();
  await until('the older is closed', () => server.connections === 1);
  equal(streams.connected, 1);
  equal(newer.destroyed, false);
  newer.destroy();
});

test('a message that is too long ends the stream before it is read', {
  timeout: 5000,
}, async (t) => {
  const { server, ours } = await startStreamPort(t);
  const [, socket] = await ask(server.port, nodeTls(ours));
  // One masked binary frame that announces one byte more than there may be.
  const frame = Buffer.alloc(14);
  frame.set([0x82, 0xff]);
  frame.writeBigUInt64BE(BigInt(limits.streamFrameBytesMax + 1), 2);
  socket.write(frame);
  let answer: Buffer = Buffer.alloc(0);
  for await (const piece of socket) {
    answer = Buffer.concat([answer, piece as Buffer]);
    if (answer.length >= 4) break;
  }
  deepEqual([...answer.subarray(0, 4)], [0x88, 2, 1009 >> 8, 1009 & 0xff]);
  socket.destroy();
});
