/**
 * A link over one WebSocket: one binary frame per message, no compression (a compressed secret tells
 * its content by its length), frames bounded before they are read.
 */
import type { WebSocket } from 'ws';
import { assert } from '../base/assert.ts';
import { wipe } from '../base/bytes.ts';
import type { Link, LinkHandlers } from './link.ts';

const normalClosure = 1000;
const policyViolation = 1008;

/** Takes over a socket that is open or about to be. */
export function webSocketLink(socket: WebSocket): Link {
  let handlers: LinkHandlers | undefined;
  let ended: string | undefined;
  const end = (reason: string): void => {
    if (ended !== undefined) return;
    ended = reason;
    handlers?.closed(reason);
  };

  socket.binaryType = 'nodebuffer';
  // An `error` is always followed by `close`; without a listener it would end the process.
  socket.on('error', () => {});
  socket.on('close', (code) => end(code === normalClosure ? 'closed' : `cut-${code}`));
  socket.on('message', (data, isBinary) => {
    if (!isBinary || !Buffer.isBuffer(data)) {
      socket.close(policyViolation);
      return;
    }
    try {
      handlers?.message(data);
    } finally {
      // ws hands over a buffer of its own per message, which may have carried values.
      wipe(data);
    }
  });

  return {
    open(given) {
      assert(handlers === undefined, 'a link is opened once');
      handlers = given;
      if (ended !== undefined) given.closed(ended);
    },
    send(bytes) {
      if (socket.readyState !== socket.OPEN) {
        wipe(bytes);
        return;
      }
      socket.send(bytes, { binary: true, compress: false }, () => wipe(bytes));
    },
    get queuedBytes() {
      return socket.bufferedAmount;
    },
    get isOpen() {
      return ended === undefined && socket.readyState === socket.OPEN;
    },
    close(reason) {
      if (socket.readyState === socket.OPEN) socket.close(normalClosure, reason.slice(0, 100));
      else socket.terminate();
      // The peer may never answer; what it would still send is of no interest.
      end(reason);
      socket.terminate();
    },
  };
}
