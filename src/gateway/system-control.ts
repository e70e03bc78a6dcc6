/** The gateway as a whole, as its handlers may steer it: seal, keys, status, backup. */
import { defined } from '../base/assert.ts';
import { isFault } from '../base/fault.ts';
import { machineWeakenings } from '../base/machine-weakenings.ts';
import { version } from '../base/version.ts';
import type { Random } from '../base/random.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { ApiCertificateKeeper } from './api-certificate.ts';
import { Backups } from './backups.ts';
import type { GatewayConfig } from './config.ts';
import type { Core } from './core.ts';
import { isInMemory } from './data-directory.ts';
import type { SystemControl, SystemStatus } from './handlers/handlers.ts';
import type { NodePort } from './node-port.ts';
import type { Physical } from './physical/physical.ts';
import type { Unsealed } from './unsealed.ts';

export interface SystemControlOptions {
  readonly config: GatewayConfig;
  readonly core: Core;
  readonly nodePort: Pick<NodePort, 'presence'>;
  readonly unsealed: Unsealed;
  readonly physical: Physical;
  readonly random: Random;
  readonly certificate: Pick<ApiCertificateKeeper, 'weakenings'>;
}

export function createSystemControl(options: SystemControlOptions): SystemControl {
  const { core, unsealed } = options;
  const { barrier } = core;
  const backups = new Backups(options);
  return {
    sealStatus() {
      const { sealed, sharesGiven, sharesNeeded } = barrier.sealStatus;
      return { sealed, kind: sealKindOf(core), sharesGiven, sharesNeeded };
    },
    async unseal(material: SecretValue) {
      const bytes = material.use((lent) => Buffer.from(lent));
      try {
        await barrier.unseal(bytes);
      } finally {
        bytes.fill(0);
      }
      if (barrier.state !== 'ready') return;
      try {
        await unsealed.open();
      } catch (error) {
        if (isFault(error, 'gateway.trust-domain')) await barrier.seal();
        throw error;
      }
    },
    async seal() {
      await unsealed.close();
      await barrier.seal();
    },
    status: () => statusOf(options),
    rotateRootKey: () => barrier.rootKeys.rotate(),
    rewrapStatus() {
      const { keyNumber, remaining } = barrier.rootKeys.status();
      return { keyId: String(keyNumber), remaining };
    },
    backup: () => backups.take(),
  };
}

function sealKindOf({ barrier }: Core): SystemStatus['seal'] {
  return defined(
    barrier.sealStatus.kind,
    'a gateway that runs has an installation, and that a seal',
  );
}

async function statusOf(options: SystemControlOptions): Promise<SystemStatus> {
  const { config, core, nodePort } = options;
  const { barrier, audit } = core;
  const { size } = audit;
  return {
    version,
    seal: sealKindOf(core),
    installation: barrier.installation,
    storage: { kind: 'sqlite', revision: barrier.revision },
    audit: {
      root: Buffer.from(audit.root).toString('base64'),
      witnesses: nodePort.presence.witnessesOf(Math.max(1, size - 10_000)),
    },
    leaseSeconds: config.leaseMs / 1000,
    weakenings: await weakeningsOf(options),
  };
}

/** Everything that is weaker than it could be and that the gateway can see. Nodes speak for themselves. */
async function weakeningsOf({
  config,
  core,
  certificate,
}: SystemControlOptions): Promise<SystemStatus['weakenings']> {
  return [
    ...(await core.barrier.sealWeakenings()),
    ...((await isInMemory(config)) ? (['storage-in-memory'] as const) : []),
    ...certificate.weakenings(),
    ...machineWeakenings(),
  ];
}
