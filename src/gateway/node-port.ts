/**
 * The node port and what goes with it: open while the gateway is unsealed, closed while it is not.
 * Wakes delivery at each commit, ends streams of revoked nodes, and keeps its certificate fresh.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import { TokenBuckets } from '../base/token-buckets.ts';
import { type Name, parseName } from '../model/name.ts';
import type { Change } from './barrier/barrier.ts';
import { endOf, nodePortCertificate, renewalIsDue } from './certificates.ts';
import type { GatewayConfig } from './config.ts';
import type { Core } from './core.ts';
import type { NodeCertificate } from './identity/identity.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import type { PresenceReader, SeenNode } from './handlers/handlers.ts';
import { Presence, StreamServer, witnessKeyOf } from './stream/stream.ts';

export interface NodePortOptions {
  readonly config: GatewayConfig;
  readonly core: Core;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  /** Asked every second: the API's certificate must not end either. */
  readonly keepApiCertificate: () => void;
}

/** A lease is renewed about twenty times in its life: two lost renewals change nothing. */
const leaseShare = 20;
const leaseEveryMsMin = 500;
const leaseEveryMsMax = 30_000;
const feedAgainAfterMs = 1000;
const checkpointEveryMs = 60_000;
const housekeepingEveryMs = 1000;

export class NodePort implements PresenceReader {
  readonly presence: Presence;
  readonly #options: NodePortOptions;
  readonly #renewals: TokenBuckets;
  #stream: StreamServer | undefined;
  #stop: AbortController | undefined;
  #certificateEndsAtMs = 0;
  #running: Promise<unknown> = Promise.resolve();
  #opening: Promise<void> | undefined;
  /** Destroyed values are in the storage still. */
  #mustPurge = false;

  constructor(options: NodePortOptions) {
    this.#options = options;
    this.presence = new Presence(options.clock);
    this.#renewals = new TokenBuckets(options.clock, {
      perSecond: 1000 / limits.nodeRenewalMs,
      burst: limits.nodeRenewalsBurst,
    });
  }

  #measure(): void {
    const { core, metrics } = this.#options;
    metrics.update({
      state: core.audit.state,
      auditEntries: core.audit.size,
      nodesConnected: this.connected,
      secrets: core.secrets.reader.size,
      nodeCertificateEndsAtMs: this.#certificateEndsAtMs,
    });
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  get port(): number {
    return this.#stream?.port ?? this.#options.config.nodeListen.port;
  }

  get connected(): number {
    return this.#stream?.connected ?? 0;
  }

  /** What a node's stream shows, or last showed. */
  of(node: string): SeenNode | undefined {
    const presence = this.presence.of(node);
    if (!presence) return undefined;
    const { lastSeenMs, version, weakenings } = presence;
    const connected = this.#options.core.delivery.connectedNodes().has(node);
    return { connected, version, lastSeenAtMs: lastSeenMs, weakenings };
  }

  /** @throws Fault `gateway.address-in-use` */
  open(): Promise<void> {
    // Several shares may arrive at once: one of them opens.
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<void> {
    if (this.#stream) return;
    const { config, core, clock, random, log } = this.#options;
    const stop = new AbortController();
    this.#stop = stop;
    let tls = nodePortCertificate(core.identity.authorityForGateway(), config, this.#options);
    this.#certificateEndsAtMs = endOf(tls.certificate);
    this.#stream = await StreamServer.listen({
      host: config.nodeListen.host,
      port: config.nodeListen.port,
      tls,
      clock,
      random,
      log,
      delivery: core.delivery,
      audit: core.audit,
      nodes: this.presence,
      leaseMs: config.leaseMs,
      leaseEveryMs: Math.min(
        Math.max(config.leaseMs / leaseShare, leaseEveryMsMin),
        leaseEveryMsMax,
      ),
      checkpointEveryMs,
      liveNode: (certificate) => {
        const live = core.identity.nodes.liveNode(certificate);
        if (live.kind === 'refused') throw new Fault('node.refused', { reason: live.reason });
        const { node, certificate: listed } = live;
        const isLive = () => core.identity.nodes.stillLive(node.name, listed).kind === 'live';
        const renewal = async (request: string) => {
          // Each is a commit and an entry.
          const isTooMany = this.#renewals.take(node.name) > 0;
          if (isTooMany) throw new Fault('rate.exceeded', { node: node.name });
          return renew(core, node.name, { request, shown: listed });
        };
        const witnessKey = witnessKeyOf(node.name, certificate.publicKey);
        return { node: node.name, isLive, renew: renewal, witnessKey };
      },
    });
    const renewCertificate = (): void => {
      if (!renewalIsDue(tls.certificate, clock.wallMs())) return;
      tls = nodePortCertificate(core.identity.authorityForGateway(), config, this.#options);
      this.#certificateEndsAtMs = endOf(tls.certificate);
      this.#stream?.renewCertificate(tls);
      log.info('gateway.certificate-renewed');
    };
    this.#running = Promise.all([
      this.#follow(stop.signal),
      this.#keepHouse(stop.signal, renewCertificate),
    ]);
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => {});
    this.#stop?.abort();
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.close();
    await this.#running;
  }

  /**
   * Every commit wakes delivery; a revoked node's stream ends; destroyed values leave the storage. It
   * goes on whatever goes wrong with one step: without it nothing would be delivered or withdrawn.
   */
  async #follow(signal: AbortSignal): Promise<void> {
    const { core, clock, log } = this.#options;
    const feed = core.barrier.feed();
    let again = false;
    try {
      while (!signal.aborted) {
        try {
          const { lost, changes } = again ? { lost: true, changes: [] } : await feed.next(signal);
          again = false;
          if (lost || changes.some(({ kind }) => kind === 'node')) this.#endRevoked();
          core.delivery.changed();
          this.#mustPurge ||= lost || changes.some(isDestroyed);
        } catch (error) {
          if (signal.aborted) return;
          again = true;
          log.error('feed.failed', errorFields(error));
          await clock.sleep(feedAgainAfterMs, signal).catch(() => {});
        }
      }
    } finally {
      feed.close();
    }
  }

  #endRevoked(): void {
    const { core } = this.#options;
    // Streams, not what delivery knows: a node that has not said hello yet is one of them.
    for (const name of this.#stream?.nodes ?? []) {
      if (core.identity.nodes.find(parseName(name))?.node.state === 'live') continue;
      this.#stream?.closeNode(name, 'node.refused');
      core.delivery.forgetNode(name);
      this.presence.forget(name);
    }
  }

  async #purge(): Promise<void> {
    this.#mustPurge = false;
    try {
      await this.#options.core.barrier.purge();
    } catch (error) {
      this.#mustPurge = true;
      throw error;
    }
  }

  async #keepHouse(signal: AbortSignal, renewCertificate: () => void): Promise<void> {
    const { core, clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#mustPurge) await this.#purge();
        // Nothing to do nearly always; after a rotation of the root key, everything.
        await core.audit.rewrap(signal);
        renewCertificate();
        this.#options.keepApiCertificate();
        this.#measure();
      } catch (error) {
        if (!signal.aborted) log.warn('housekeeping.failed', errorFields(error));
      }
      await clock.sleep(housekeepingEveryMs, signal).catch(() => {});
    }
  }
}

async function renew(
  core: Core,
  name: Name,
  asked: { readonly request: string; readonly shown: NodeCertificate },
): Promise<string> {
  const plan = core.identity.nodes.planRenew(name, asked.request, asked.shown);
  const { id } = plan.node;
  await core.audit.commit({
    writes: plan.writes,
    expectations: plan.expectations,
    entries: [
      {
        principal: { kind: 'node', id, name, method: 'mtls', source: 'stream' },
        action: 'node.renew',
        resource: `nodes/${name}`,
        outcome: 'ok',
        rule: 'same key',
        requestId: '',
        detail: plan.detail,
      },
    ],
  });
  return plan.certificate;
}

function isDestroyed(change: Change): boolean {
  return change.kind === 'value' && change.removed;
}
