/**
 * The gateway that fleets connect to, in a process of its own under the flags of the product, so that
 * its memory and processor time are its own. Started by `fleet.ts`, twice: once to make a store with so
 * many joined nodes (past the API, whose limits on strangers are made to be in the way of five thousand
 * at once), and once to be measured, as a gateway that was restarted.
 *
 * usage: fleet-gateway.ts <directory> join <nodes>
 *        fleet-gateway.ts <directory> serve
 */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock as clock } from '../src/base/clock.ts';
import { createLog } from '../src/base/log.ts';
import { systemRandom as random } from '../src/base/random.ts';
import { makeCsr } from '../src/crypto/csr.ts';
import { pem } from '../src/enforcer/uplink/join.ts';
import { gatewayConfig } from '../src/gateway/config.ts';
import { type Gateway, startGateway } from '../src/gateway/gateway.ts';
import type { IdentityPlan } from '../src/gateway/identity/identity.ts';
import { initialise } from '../src/gateway/init.ts';
import { parseName } from '../src/model/name.ts';
import { gatewayPrincipal } from '../src/model/principal.ts';
import type { FromFleetGateway, ToFleetGateway } from './fleet-messages.ts';
import { sharedMs } from './shared-clock.ts';

const joinsTogether = 64;
const [directory = '', mode, count] = process.argv.slice(2);

const log = createLog({ clock, level: 'error', write: (line) => void process.stderr.write(line) });
const config = gatewayConfig({
  data: join(directory, 'data'),
  listen: '127.0.0.1:0',
  'node-listen': '127.0.0.1:0',
  'key-file': join(directory, 'key'),
});
const context = { clock, random, log };
process.on('disconnect', () => process.exit(0));
if (mode === 'join') await makeStore(Number(count));
else await serve();

async function makeStore(nodes: number): Promise<void> {
  const { pin, ownerToken } = await initialise(config, { kind: 'keyfile' }, context);
  const gateway = await startGateway(config, context);
  const fleet = await joinAll(gateway.core, nodes);
  writeFileSync(join(directory, 'fleet.json'), JSON.stringify(fleet), { mode: 0o600 });
  await gateway[Symbol.asyncDispose]();
  say({ kind: 'joined', pin, ownerToken });
  process.exit(0);
}

async function serve(): Promise<void> {
  const gateway = await startGateway(config, context);
  countReceipts(gateway);
  say({ kind: 'ready', apiPort: gateway.apiPort, nodePort: gateway.nodePort });
}

function say(message: FromFleetGateway): void {
  process.send?.(message);
}

function countReceipts({ core: { delivery } }: Gateway): void {
  let receipts = 0;
  let wanted = Number.POSITIVE_INFINITY;
  const look = (): void => {
    if (receipts < wanted) return;
    wanted = Number.POSITIVE_INFINITY;
    say({ kind: 'reached', receipts, atMs: sharedMs() });
  };
  const receive = delivery.receipt.bind(delivery);
  delivery.receipt = (node, receipt) => {
    receive(node, receipt);
    receipts += 1;
    look();
  };
  process.on('message', (message: ToFleetGateway) => {
    wanted = message.receipts;
    look();
  });
}

async function joinAll(core: Gateway['core'], nodes: number): Promise<object> {
  const joined: { name: string; certificate: string; key: string }[] = [];
  for (let at = 0; at < nodes; at += joinsTogether) {
    const indices = Array.from(
      { length: Math.min(joinsTogether, nodes - at) },
      (_, index) => at + index,
    );
    joined.push(...(await Promise.all(indices.map((index) => joinOne(core, index)))));
  }
  return {
    authority: core.identity.authorityForGateway().certificate.toString(),
    nodes: joined,
  };
}

async function joinOne(core: Gateway['core'], index: number) {
  const name = parseName(`node-${index}`);
  const { privateKey } = generateKeyPairSync('ed25519');
  const token = core.identity.nodes.planToken(name);
  await commit(core, 'node.token', token);
  const { publicId, secret } = token;
  const certificateRequest = pem('CERTIFICATE REQUEST', makeCsr(privateKey));
  const joined = core.identity.nodes.planJoin({ publicId, secret, node: name, certificateRequest });
  await commit(core, 'node.join', joined);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return { name, certificate: joined.certificate, key };
}

async function commit({ audit }: Gateway['core'], action: string, plan: IdentityPlan) {
  const { writes, expectations, detail } = plan;
  const about = { resource: 'nodes', outcome: 'ok', rule: '', requestId: '' };
  const entries = [{ principal: gatewayPrincipal, action, detail, ...about }] as const;
  await audit.commit({ writes, expectations, entries });
}
