/**
 * The node port: who is connected, over which certificate, and who is let in. Open while the gateway is
 * unsealed (`unsealed.ts`).
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import { parseName } from '../model/name.ts';
import type { Audit } from './audit/audit.ts';
import { nodePortCertificate, renewalIsDue } from './certificates.ts';
import type { GatewayConfig } from './config.ts';
import type { Delivery } from './delivery/delivery.ts';
import type { PresenceReader, SeenNode } from './handlers/handlers.ts';
import type { Identity } from './identity/identity.ts';
import { NodeAdmission } from './node-admission.ts';
import {
  NodeStreams,
  Presence,
  type StreamCertificate,
  type StreamListener,
  StreamServer,
  type StreamServerOptions,
} from './stream/stream.ts';

export interface NodePortOptions {
  readonly config: Pick<GatewayConfig, 'nodeListen' | 'nodeAdvertise' | 'trustDomain' | 'leaseMs'>;
  readonly core: {
    readonly identity: Pick<Identity, 'nodes' | 'authorityForGateway'>;
    readonly audit: Pick<Audit, 'commit' | 'state' | 'observe' | 'checkpoint'>;
    readonly delivery: Delivery;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where there is no network: `StreamServer.listen`, when left out. */
  readonly listen?: (options: StreamServerOptions) => Promise<StreamListener>;
}

/** A lease is renewed about twenty times in its life: two lost renewals change nothing. */
const leaseShare = 20;
const leaseEveryMsMin = 500;
const leaseEveryMsMax = 30_000;
const checkpointEveryMs = 60_000;

export class NodePort implements PresenceReader {
  readonly presence: Presence;
  readonly #options: NodePortOptions;
  readonly #admission: NodeAdmission;
  readonly #streams: NodeStreams;
  #listener: StreamListener | undefined;
  #certificate: X509Certificate | undefined;

  constructor(options: NodePortOptions) {
    const { config, core, clock } = options;
    this.#options = options;
    this.presence = new Presence(clock);
    this.#admission = new NodeAdmission({ ...core, clock, log: options.log });
    this.#streams = new NodeStreams({
      clock,
      random: options.random,
      log: options.log,
      delivery: core.delivery,
      audit: core.audit,
      nodes: this.presence,
      leaseMs: config.leaseMs,
      leaseEveryMs: Math.min(
        Math.max(config.leaseMs / leaseShare, leaseEveryMsMin),
        leaseEveryMsMax,
      ),
      checkpointEveryMs,
    });
  }

  get isOpen(): boolean {
    return this.#listener !== undefined;
  }

  get port(): number {
    return this.#listener?.port ?? this.#options.config.nodeListen.port;
  }

  get connected(): number {
    return this.#streams.connected;
  }

  /** Milliseconds since the epoch; 0 while there is none. */
  get certificateEndsAtMs(): number {
    return this.#certificate?.validToDate.getTime() ?? 0;
  }

  /** What a node's stream shows, or last showed. */
  of(node: string): SeenNode | undefined {
    const presence = this.presence.of(node);
    if (!presence) return undefined;
    const { lastSeenMs, version, weakenings } = presence;
    const connected = this.#options.core.delivery.connectedNodes().has(node);
    return { connected, version, lastSeenAtMs: lastSeenMs, weakenings };
  }

  /** One call at a time. @throws Fault `gateway.address-in-use` */
  async open(): Promise<void> {
    if (this.#listener) return;
    const { config, clock, log } = this.#options;
    const listen = this.#options.listen ?? ((options) => StreamServer.listen(options));
    const tls = this.#makeCertificate();
    this.#listener = await listen({
      host: config.nodeListen.host,
      port: config.nodeListen.port,
      clock,
      log,
      tls,
      liveNode: (certificate, source) => this.#admission.peerOf(certificate, source),
      streams: this.#streams,
    });
    this.#certificate = new X509Certificate(tls.certificate);
  }

  /** Ends every stream. */
  async close(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close();
  }

  /** To be asked now and then: connections from then on are shown the new one. */
  keepCertificate(): void {
    const { clock, log } = this.#options;
    if (!this.#listener || !this.#certificate) return;
    if (!renewalIsDue(this.#certificate, clock.wallMs())) return;
    const tls = this.#makeCertificate();
    this.#listener.renewCertificate(tls);
    this.#certificate = new X509Certificate(tls.certificate);
    log.info('gateway.certificate-renewed');
  }

  /**
   * Streams of nodes that were revoked, or have joined again since, end; of those that are not live nothing
   * is known any more.
   */
  endNotLive(): void {
    const { core } = this.#options;
    // One may not have said hello yet; of one that is away, delivery knows still what runs there.
    const names = new Set([...this.#streams.nodes, ...this.presence.names]);
    this.#streams.endNotLive();
    for (const name of names) {
      if (core.identity.nodes.find(parseName(name))?.node.state === 'live') continue;
      core.delivery.forgetNode(name);
      this.presence.forget(name);
    }
  }

  #makeCertificate(): StreamCertificate {
    const { config, core } = this.#options;
    return nodePortCertificate(core.identity.authorityForGateway(), config, this.#options);
  }
}
