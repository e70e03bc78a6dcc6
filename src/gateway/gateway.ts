/** The gateway: its two ports around its rooms (which `core.ts` wires), its start and its end. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { ApiCertificateKeeper } from './api-certificate.ts';
import { createAuthenticate } from './authenticate.ts';
import { sweepBackups } from './backups.ts';
import { type GatewayConfig, withPort } from './config.ts';
import { type Core, openCore } from './core.ts';
import { sealContext, storePath } from './data-directory.ts';
import { declareGatewayMetrics } from './gateway-metrics.ts';
import { type HttpServer, startHttp } from './http/http.ts';
import { NodePort } from './node-port.ts';
import { openPhysical, type Physical } from './physical/physical.ts';
import { createSystemControl, type SystemControlOptions } from './system-control.ts';
import { Unsealed } from './unsealed.ts';

export interface GatewayContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Gateway extends AsyncDisposable {
  readonly core: Core;
  readonly apiPort: number;
  readonly nodePort: number;
  /** What a context pins. */
  readonly pin: string;
}

/**
 * Opens the store and both ports. Sealed, it answers only what works while sealed; a seal that helps
 * itself (the key file) is opened at once.
 *
 * @throws Fault `gateway.not-initialised`, `gateway.address-in-use`, `gateway.trust-domain`, `storage.*`,
 *   `seal.*`
 */
export async function startGateway(
  config: GatewayConfig,
  context: GatewayContext,
): Promise<Gateway> {
  const store = { kind: 'sqlite', path: storePath(config), missing: 'refuse' } as const;
  const physical = await openPhysical(store);
  try {
    sweepBackups(config);
    return await startOver(config, context, physical);
  } catch (error) {
    await physical.close();
    throw error;
  }
}

async function startOver(
  config: GatewayConfig,
  context: GatewayContext,
  physical: Physical,
): Promise<Gateway> {
  const certificate = new ApiCertificateKeeper(config, context);
  let apiPort = config.listen.port;
  const registry = new Metrics();
  const metrics = declareGatewayMetrics(registry);
  const core = await openCore({
    ...context,
    physical,
    seal: sealContext(config),
    leaseMs: config.leaseMs,
    measured: metrics,
    settings: () => ({
      address: withPort(config.advertise, apiPort),
      pin: certificate.current.pin,
      streamAddress: withPort(config.nodeAdvertise, nodePort.port),
      trustDomain: config.trustDomain,
      ...(config.nodeCertificateMs ? { nodeCertificateMs: config.nodeCertificateMs } : {}),
    }),
  });
  const isSealed = (): boolean => core.barrier.state !== 'ready';
  if (core.barrier.state === 'empty') throw new Fault('gateway.not-initialised');
  const keepApiCertificate = (): void => {
    if (isSealed()) return;
    const renewed = certificate.renew(() => core.identity.authorityForGateway());
    if (renewed) http.renewCertificate(renewed.certificate, renewed.key);
  };
  const nodePort = new NodePort({ config, core, ...context });
  const chores = {
    'api-certificate': keepApiCertificate,
    metrics: metrics.updating({ core, nodePort }),
  };
  const unsealed = new Unsealed({ config, core, nodePort, chores, ...context });
  const parts = { config, core, nodePort, unsealed, physical, certificate, ...context };
  const requests = core.connect({ system: createSystemControl(parts), presence: nodePort });
  const http = await startHttp({
    ...config.listen,
    certificate: certificate.current.certificate,
    key: certificate.current.key,
    handle: requests.handle,
    authenticate: createAuthenticate(core.identity, requests.anonymousLog, isSealed),
    checks: [
      { name: 'unsealed', isWell: () => !isSealed() },
      { name: 'storage', isWell: () => core.audit.state !== 'read-only' },
      { name: 'node-port', isWell: () => nodePort.isOpen },
    ],
    metrics: registry,
    ...context,
  });
  apiPort = http.port;
  try {
    if (core.barrier.sealStatus.asks === 'nothing') await core.barrier.unseal(Buffer.alloc(0));
    if (!isSealed()) await unsealed.open();
    keepApiCertificate();
  } catch (error) {
    await http.close();
    await unsealed.close();
    throw error;
  }
  // Whoever unseals compares it: there is no other way to know this gateway.
  const { log } = context;
  if (certificate.isTemporary)
    log.warn('gateway.certificate-temporary', { pin: certificate.current.pin });
  log.info('gateway.started', { api: http.port, nodes: nodePort.port, state: core.barrier.state });
  return running({ ...parts, http });
}

interface Parts extends SystemControlOptions {
  readonly http: HttpServer;
  readonly nodePort: NodePort;
  readonly certificate: ApiCertificateKeeper;
}

function running(parts: Parts): Gateway {
  const { core, http, nodePort, unsealed, physical, certificate } = parts;
  return {
    core,
    apiPort: http.port,
    get nodePort() {
      return nodePort.port;
    },
    get pin() {
      return certificate.current.pin;
    },
    async [Symbol.asyncDispose]() {
      await http.close();
      core.delivery.close();
      await unsealed.close();
      core.audit.close();
      await physical.close();
    },
  };
}
