/** Who is let in at the node port, and on what terms: a live node, with a certificate that is on the list. */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { TokenBuckets } from '../base/token-buckets.ts';
import type { Name } from '../model/name.ts';
import type { Audit } from './audit/audit.ts';
import type { Identity, NodeCertificate } from './identity/identity.ts';
import { type LivePeer, witnessKeyOf } from './stream/stream.ts';

export interface NodeAdmissionOptions {
  readonly identity: Pick<Identity, 'nodes'>;
  readonly audit: Pick<Audit, 'commit'>;
  readonly clock: Clock;
}

export class NodeAdmission {
  readonly #options: NodeAdmissionOptions;
  readonly #renewals: TokenBuckets;

  constructor(options: NodeAdmissionOptions) {
    this.#options = options;
    this.#renewals = new TokenBuckets(options.clock, {
      perSecond: 1000 / limits.nodeRenewalMs,
      burst: limits.nodeRenewalsBurst,
    });
  }

  /** @throws Fault `node.refused` */
  peerOf(certificate: X509Certificate): LivePeer {
    const { nodes } = this.#options.identity;
    const live = nodes.liveNode(certificate);
    if (live.kind === 'refused') throw new Fault('node.refused', { reason: live.reason });
    const { certificate: listed } = live;
    const { name, keyPin, joinedAtMs } = live.node;
    const letIn = { name, keyPin, joinedAtMs };
    return {
      node: name,
      isLive: () => nodes.isStillLive(letIn),
      renew: (request) => this.#renew(name, request, listed),
      witnessKey: witnessKeyOf(name, certificate.publicKey),
    };
  }

  async #renew(name: Name, request: string, shown: NodeCertificate): Promise<string> {
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
}
