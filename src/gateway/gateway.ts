/** The gateway: its rooms, its two ports, its start and its end. The only wiring. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Metrics } from '../base/metrics.ts';
import type { Random } from '../base/random.ts';
import { createAuthenticate } from './authenticate.ts';
import {
  type ApiCertificate,
  isApiCertificateMissing,
  loadApiCertificate,
  makeApiCertificate,
  renewalIsDue,
  temporaryApiCertificate,
} from './certificates.ts';
import type { GatewayConfig } from './config.ts';
import { type Core, openCore } from './core.ts';
import { declareGatewayMetrics } from './gateway-metrics.ts';
import { type HttpServer, startHttp } from './http/http.ts';
import { NodePort } from './node-port.ts';
import { openPhysical, type Physical } from './physical/physical.ts';
import { createSystemControl } from './system-control.ts';

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

export function storePath(config: Pick<GatewayConfig, 'dataDirectory'>): string {
  return join(config.dataDirectory, 'store.db');
}

/**
 * Opens the store and both ports. Sealed, it answers only what works while sealed; a seal that helps
 * itself (the key file) is opened at once.
 *
 * @throws Fault `gateway.not-initialised`, `gateway.address-in-use`, `storage.*`, `seal.*`
 */
export async function startGateway(
  config: GatewayConfig,
  context: GatewayContext,
): Promise<Gateway> {
  const path = storePath(config);
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'refuse' });
  try {
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
  const { clock, random, log } = context;
  const isMissing = isApiCertificateMissing(config);
  let certificate = isMissing
    ? temporaryApiCertificate(config, context)
    : loadApiCertificate(config);
  let isTemporary = isMissing;
  let apiPort = config.listen.port;
  const registry = new Metrics();
  const metrics = declareGatewayMetrics(registry);
  const core = await openCore({
    ...context,
    physical,
    seal: sealContext(config),
    leaseMs: config.leaseMs,
    acknowledged: (outcome, seconds) => metrics.acknowledged(outcome, seconds),
    settings: () => ({
      // Port 0 stands for whichever was free.
      address: withPort(config.advertise, apiPort),
      pin: certificate.pin,
      streamAddress: withPort(config.nodeAdvertise, nodePort.port),
      trustDomain: config.trustDomain,
    }),
  });
  if (core.barrier.state === 'empty') throw new Fault('gateway.not-initialised');
  const keepApiCertificate = (): void => {
    if (config.tls || core.barrier.state !== 'ready') return;
    if (!isTemporary && !renewalIsDue(certificate.certificate, clock.wallMs())) return;
    certificate = makeApiCertificate(core.identity.authorityForGateway(), config, context);
    isTemporary = false;
    http.renewCertificate(certificate.certificate, certificate.key);
    log.info('gateway.api-certificate-renewed');
  };
  const nodePort = new NodePort({ config, core, metrics, keepApiCertificate, ...context });
  const system = createSystemControl({ config, core, nodePort, physical, random });
  const requests = core.connect({
    system,
    presence: {
      of: (node) => presenceOf(core, nodePort, node),
      get connected() {
        return nodePort.connected;
      },
    },
  });
  const http = await startHttp({
    host: config.listen.host,
    port: config.listen.port,
    certificate: certificate.certificate,
    key: certificate.key,
    handle: requests.handle,
    authenticate: createAuthenticate(
      core.identity,
      requests.anonymousLog,
      () => core.barrier.state !== 'ready',
    ),
    checks: [
      { name: 'unsealed', isWell: () => core.barrier.state === 'ready' },
      { name: 'storage', isWell: () => core.audit.state !== 'read-only' },
      { name: 'node-port', isWell: () => nodePort.isOpen },
    ],
    clock,
    random,
    log,
    metrics: registry,
  });
  apiPort = http.port;
  try {
    await openUp(core, nodePort);
    if (core.barrier.state === 'ready') keepApiCertificate();
  } catch (error) {
    await http.close();
    await nodePort.close();
    throw error;
  }
  // Whoever unseals compares it: there is no other way to know this gateway.
  if (isTemporary) log.warn('gateway.certificate-temporary', { pin: certificate.pin });
  log.info('gateway.started', { api: http.port, nodes: nodePort.port, state: core.barrier.state });
  return running({ core, http, nodePort, physical, certificate: () => certificate });
}

async function openUp(core: Core, nodePort: NodePort): Promise<void> {
  if (core.barrier.sealStatus.asks === 'nothing') await core.barrier.unseal(Buffer.alloc(0));
  if (core.barrier.state === 'ready') await nodePort.open();
}

function running(parts: {
  readonly core: Core;
  readonly http: HttpServer;
  readonly nodePort: NodePort;
  readonly physical: Physical;
  readonly certificate: () => ApiCertificate;
}): Gateway {
  const { core, http, nodePort, physical, certificate } = parts;
  return {
    core,
    apiPort: http.port,
    get nodePort() {
      return nodePort.port;
    },
    get pin() {
      return certificate().pin;
    },
    async [Symbol.asyncDispose]() {
      await http.close();
      core.delivery.close();
      await nodePort.close();
      core.audit.close();
      await physical.close();
    },
  };
}

export function sealContext(config: GatewayConfig): { keyFile?: string; dataPath: string } {
  return { ...(config.keyFile ? { keyFile: config.keyFile } : {}), dataPath: storePath(config) };
}

function withPort(address: string, port: number): string {
  return address.endsWith(':0') ? `${address.slice(0, -1)}${port}` : address;
}

function presenceOf(core: Core, nodePort: NodePort, node: string) {
  const presence = nodePort.presence.of(node);
  if (!presence) return undefined;
  const { lastSeenMs, weakenings } = presence;
  return {
    connected: core.delivery.connectedNodes().has(node),
    lastSeenAtMs: lastSeenMs,
    weakenings,
  };
}

/** Makes the data directory, for this user alone. @throws Fault `storage.missing` if it cannot be made */
export function makeDataDirectory(config: Pick<GatewayConfig, 'dataDirectory'>): void {
  const path = config.dataDirectory;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault('storage.missing', { path, reason: code }, { cause });
  }
}
