/**
 * Who is let in at the node port, and on what terms: a live node, with a certificate that is on the list. Who
 * is refused with a certificate of ours is recorded, within bounds.
 */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { limits } from '../base/limits.ts';
import { TokenBuckets } from '../base/token-buckets.ts';
import type { Name } from '../model/name.ts';
import { AnonymousLog } from './anonymous-log.ts';
import type { Audit } from './audit/audit.ts';
import type { Identity, NodeCertificate } from './identity/identity.ts';
import { type LivePeer, witnessKeyOf } from './stream/stream.ts';

export interface NodeAdmissionOptions {
  readonly identity: Pick<Identity, 'nodes'>;
  readonly audit: Pick<Audit, 'commit' | 'state'>;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeAdmission {
  readonly #options: NodeAdmissionOptions;
  readonly #renewals: TokenBuckets;
  /** Of its own: refused nodes keep no failed logins off the log, nor these those. */
  readonly #refusals: AnonymousLog;

  constructor(options: NodeAdmissionOptions) {
    this.#options = options;
    this.#renewals = new TokenBuckets(options.clock, {
      perSecond: 1000 / limits.nodeRenewalMs,
      burst: limits.nodeRenewalsBurst,
    });
    this.#refusals = new AnonymousLog(options);
  }

  /**
   * @param source - The peer's address.
   * @throws Fault `node.refused`
   */
  peerOf(certificate: X509Certificate, source: string): LivePeer {
    const { nodes } = this.#options.identity;
    const live = nodes.liveNode(certificate);
    if (live.kind === 'refused') {
      const { reason, name } = live;
      const refused = new Fault('node.refused', { reason });
      void this.#refusals.note({
        action: 'node.connect',
        outcome: refused.code,
        source,
        requestId: '',
        ...(name === undefined ? {} : { resource: `nodes/${name}` }),
        detail: { reason },
      });
      throw refused;
    }
    const { certificate: listed } = live;
    const { name, keyPin, joinedAtMs } = live.node;
    const letIn = { name, keyPin, joinedAtMs };
    return {
      node: name,
      source,
      isLive: () => nodes.isStillLive(letIn),
      renew: (request) => this.#renew({ name, shown: listed, source }, request),
      witnessKey: witnessKeyOf(name, certificate.publicKey),
    };
  }

  async #renew(
    { name, shown, source }: { name: Name; shown: NodeCertificate; source: string },
    request: string,
  ): Promise<string> {
    // Each is a commit and an entry.
    const isTooMany = this.#renewals.take(name) > 0;
    if (isTooMany) throw new Fault('rate.exceeded', { node: name });
    const { identity, audit } = this.#options;
    const plan = identity.nodes.planRenew(name, request, shown);
    const { id } = plan.node;
    await audit.commit({
      writes: plan.writes,
      expectations: plan.expectations,
      entries: [
        {
          principal: { kind: 'node', id, name, method: 'mtls', source },
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
}
