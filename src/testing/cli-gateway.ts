/** A whole gateway in this process, on loopback, for tests of commands: initialised, open, empty. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { readGatewayConfig } from '../gateway/config.ts';
import { startGateway } from '../gateway/gateway.ts';
import { initialise } from '../gateway/init.ts';
import type { SealRequest } from '../gateway/seal/seal.ts';

export interface CliGateway extends AsyncDisposable {
  readonly server: string;
  readonly pin: string;
  readonly ownerToken: string;
  readonly shares: readonly string[];
}

export async function startCliGateway(
  seal: SealRequest = { kind: 'keyfile' },
): Promise<CliGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-gateway-'));
  const argv = [
    ...['--data', join(directory, 'data')],
    ...['--listen', '127.0.0.1:0', '--node-listen', '127.0.0.1:0'],
    ...(seal.kind === 'keyfile' ? ['--key-file', join(directory, 'key')] : []),
  ];
  const config = readGatewayConfig(argv, {});
  const context = { clock: systemClock, random: systemRandom, log: silentLog };
  const made = await initialise(config, seal, context);
  const gateway = await startGateway(config, context);
  return {
    server: `https://127.0.0.1:${gateway.apiPort}`,
    pin: made.pin,
    ownerToken: made.ownerToken,
    shares: made.shares.map((share) => share.toString('utf8')),
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
