/**
 * A link: whole messages between two programs, in order, until it closes. What the node stream runs
 * on; `web-socket-link.ts` is the real one, and the simulator has one that loses, delays and cuts.
 */

export interface LinkHandlers {
  /** The bytes are lent for the call: copy what is kept. */
  message(bytes: Uint8Array): void;
  /** Called once. `reason` is a short code for the log: `closed`, `cut`, `silent`, `oversized`, … */
  closed(reason: string): void;
}

export interface Link {
  /** Must be called once, before anything can arrive. */
  open(handlers: LinkHandlers): void;
  /**
   * Queues one message. The bytes belong to the link from here on; it wipes them once they are
   * encrypted and handed to the kernel, or dropped because the link has closed.
   */
  send(bytes: Uint8Array): void;
  /** Bytes queued and not yet taken by the kernel. The sender holds back while this is large. */
  readonly queuedBytes: number;
  readonly isOpen: boolean;
  close(reason: string): void;
}
