/**
 * The gateway that the case `https` of `put` writes to: a process of its own, under the flags of the
 * product, with as many writers as asked for, each with a token and so with a rate limit of its own.
 *
 * usage: put-gateway.ts <directory> <writers>
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock as clock } from '../src/base/clock.ts';
import { createLog } from '../src/base/log.ts';
import { systemRandom as random } from '../src/base/random.ts';
import { gatewayConfig } from '../src/gateway/config.ts';
import { type Gateway, startGateway } from '../src/gateway/gateway.ts';
import { initialise } from '../src/gateway/init.ts';
import { parseName, parsePathPattern } from '../src/model/name.ts';
import { gatewayPrincipal } from '../src/model/principal.ts';

export interface PutGatewayReady {
  readonly port: number;
  /** PEM, for clients to trust. */
  readonly authority: string;
  readonly tokens: readonly string[];
}

const [directory = '', writers = '1'] = process.argv.slice(2);
const log = createLog({ clock, level: 'error', write: (line) => void process.stderr.write(line) });
const data = join(directory, 'data');
const config = gatewayConfig({
  data,
  listen: '127.0.0.1:0',
  'node-listen': '127.0.0.1:0',
  'key-file': join(directory, 'key'),
});
const context = { clock, random, log };
await initialise(config, { kind: 'keyfile' }, context);
const gateway = await startGateway(config, context);
const indices = Array.from({ length: Number(writers) }, (_, index) => index);
const tokens = await Promise.all(indices.map((index) => makeWriter(gateway, index)));
const authority = readFileSync(join(data, 'ca.crt'), 'utf8');
process.on('disconnect', () => process.exit(0));
process.send?.({ port: gateway.apiPort, authority, tokens } satisfies PutGatewayReady);

async function makeWriter({ core }: Gateway, index: number): Promise<string> {
  const { writes, expectations, detail, token } = core.identity.planPrincipal({
    kind: 'machine',
    name: parseName(`writer-${index}`),
    bindings: [{ role: parseName('owner'), paths: [parsePathPattern('**')] }],
  });
  const about = { resource: 'system', outcome: 'ok', rule: '', requestId: '' };
  const entry = { principal: gatewayPrincipal, action: 'principal.create', detail, ...about };
  await core.audit.commit({ writes, expectations, entries: [entry] });
  return token;
}
