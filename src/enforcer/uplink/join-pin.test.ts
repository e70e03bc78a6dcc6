/**
 * Goal: a node that joins says nothing to a server that is not the one its token pins (G16): not the token,
 * not its key, not one byte above TLS.
 * Method: a server that counts what arrives once its handshake is done, under keys that are not the pinned
 * one, some of them named and signed as the pinned one is. Control: with the right pin the token arrives.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { keyPin } from '../../crypto/certificate-identity.ts';
import { parseName } from '../../model/name.ts';
import { formatJoinToken } from '../../protocol/join-token.ts';
import { makeTestCertificate, type TestCertificate } from '../../testing/http-gateway.ts';
import { openStateDirectory } from './credentials.ts';
import { joinGateway } from './join.ts';

/** Joins a server that shows `shown`, with a token that pins `pin`. @returns what the server was told */
async function toldBy(t: TestContext, shown: Pick<TestCertificate, 'chain' | 'key'>, pin: string) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-join-pin-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  let told = '';
  let connections = 0;
  const server = createServer({ cert: shown.chain, key: shown.key }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      told += bytes.toString('latin1');
      if (told.includes('certificateRequest')) socket.destroy();
    });
  });
  server.on('connection', () => (connections += 1));
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  openStateDirectory(directory);
  const { port } = server.address() as AddressInfo;
  const token = formatJoinToken({
    ...{ address: `127.0.0.1:${port}`, pin, node: parseName('node-1') },
    ...{ id: '0'.repeat(32), secret: 'S'.repeat(43) },
  });
  const context = { clock: systemClock, random: systemRandom };
  let code: unknown;
  await rejects(joinGateway({ ...context, stateDirectory: directory, token }), (error) => {
    code = (error as { readonly code: unknown }).code;
    return true;
  });
  server.close();
  deepEqual(readdirSync(directory), [], 'nothing is kept');
  ok(connections > 0, 'it did try');
  return { told, code, token };
}

test('a server that is not the pinned one is told nothing', async (t) => {
  const pinned = makeTestCertificate();
  const pin = keyPin(pinned.authority.certificate);
  const stranger = makeTestCertificate();
  const impostors: Readonly<Record<string, Pick<TestCertificate, 'chain' | 'key'>>> = {
    'another authority of the same name': stranger,
    'a stranger’s leaf, and the pinned certificate after it': {
      chain: stranger.leaf.toString() + pinned.authorityPem,
      key: stranger.key,
    },
    'another name': makeTestCertificate({ dnsNames: ['elsewhere.test'], ipAddresses: [] }),
  };
  for (const [what, shown] of Object.entries(impostors)) {
    const { told, code } = await toldBy(t, shown, pin);
    equal(told, '', what);
    equal(code, 'gateway.untrusted', what);
  }
  const digest = pin.slice(pin.indexOf(':') + 1);
  const near = pin.replace(digest, (digest.startsWith('a') ? 'b' : 'a') + digest.slice(1));
  equal((await toldBy(t, pinned, near)).told, '', 'a pin that is wrong in one digit');
  const { told, token } = await toldBy(t, pinned, pin);
  ok(told.startsWith('POST /v1/nodes:join'), 'control: the pinned one is asked');
  ok(told.includes(token), 'and told the token');
});
