/**
 * The streams of nodes that were let in, over whatever carries them.
 *
 * Promises
 *   - A node has one stream, and a newer one wins.
 *   - Who connects and who leaves is recorded, within what a node may cause on the log.
 *   - `endNotLive` ends the streams of nodes that are not live any more at once, before their hello too.
 */
import type { Link } from '../../wire/link.ts';
import { Session, type SessionOptions } from './session.ts';

/** Who is at the other end. The certificate itself is not kept: of five thousand that is 20 MB. */
export interface LivePeer extends Pick<SessionOptions, 'node' | 'isLive' | 'witnessKey' | 'renew'> {
  /** The peer's address. */
  readonly source: string;
}

export type NodeStreamsOptions = Omit<SessionOptions, keyof LivePeer | 'link' | 'ended'>;

const goingAway = 'going-away';

export class NodeStreams {
  readonly #options: NodeStreamsOptions;
  readonly #sessions = new Map<string, Session>();

  constructor(options: NodeStreamsOptions) {
    this.#options = options;
  }

  get connected(): number {
    return this.#sessions.size;
  }

  /** Nodes with a stream, whether they have said hello or not. */
  get nodes(): readonly string[] {
    return [...this.#sessions.keys()];
  }

  accept(peer: LivePeer, link: Link): void {
    const { node, source } = peer;
    const { log, delivery } = this.#options;
    this.#sessions.get(node)?.end('replaced');
    const session: Session = new Session({
      ...this.#options,
      ...peer,
      link,
      ended: (reason) => {
        log.info('node.disconnected', { node, source, reason });
        // That the gateway seals itself or stops is no news of a node.
        if (reason !== goingAway) {
          const event = { action: 'node.disconnect', outcome: 'ok', source, detail: { reason } };
          delivery.noted(node, event);
        }
        if (this.#sessions.get(node) === session) this.#sessions.delete(node);
      },
    });
    this.#sessions.set(node, session);
    log.info('node.connected', { node, source });
    delivery.noted(node, { action: 'node.connect', outcome: 'ok', source, detail: {} });
  }

  /** Tells a node that was revoked or has joined again since, and ends its stream. */
  endNotLive(): void {
    for (const session of [...this.#sessions.values()]) session.refuseUnlessLive();
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) session.end(goingAway);
  }
}
