/**
 * The streams of nodes that were let in, over whatever carries them.
 *
 * Promises
 *   - A node has one stream, and a newer one wins.
 *   - `endNotLive` ends the streams of nodes that are not live any more at once, before their hello too.
 */
import type { Link } from '../../wire/link.ts';
import { Session, type SessionOptions } from './session.ts';

/** Who is at the other end. The certificate itself is not kept: of five thousand that is 20 MB. */
export type LivePeer = Pick<SessionOptions, 'node' | 'isLive' | 'witnessKey' | 'renew'>;

export type NodeStreamsOptions = Omit<SessionOptions, keyof LivePeer | 'link' | 'ended'>;

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
    const { node } = peer;
    const { log } = this.#options;
    this.#sessions.get(node)?.end('replaced');
    const session: Session = new Session({
      ...this.#options,
      ...peer,
      link,
      ended: (reason) => {
        log.info('node.disconnected', { node, reason });
        if (this.#sessions.get(node) === session) this.#sessions.delete(node);
      },
    });
    this.#sessions.set(node, session);
    log.info('node.connected', { node });
  }

  /** Tells a node that was revoked or has joined again since, and ends its stream. */
  endNotLive(): void {
    for (const session of [...this.#sessions.values()]) session.refuseUnlessLive();
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) session.end('going-away');
  }
}
