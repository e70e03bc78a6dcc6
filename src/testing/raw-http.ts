/**
 * HTTP as no library would send it: the bytes of a test go over TLS as they are, and what comes back
 * is read by hand.
 */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawTarget {
  readonly port: number;
  readonly ca: string;
}

export function rawConnect(target: RawTarget, more: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { port, ca } = target;
    const socket = connect({ host: '127.0.0.1', port, ca, servername: '', ...more });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** Sends `bytes` on a connection of its own. @returns undefined if it was closed without an answer. */
export async function rawExchange(
  target: RawTarget,
  bytes: string | Uint8Array,
): Promise<RawAnswer | undefined> {
  const socket = await rawConnect(target);
  try {
    socket.write(bytes);
    return await rawAnswer(socket);
  } finally {
    socket.destroy();
  }
}

/** Reads one answer. @returns undefined if the connection closed before one was complete. */
export function rawAnswer(socket: TLSSocket): Promise<RawAnswer | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const answer = readComplete(text);
      if (answer) end(answer);
    };
    const onClose = (): void => end(undefined);
    const end = (answer: RawAnswer | undefined): void => {
      socket.off('data', onData).off('close', onClose).off('end', onClose);
      resolve(answer);
    };
    socket.on('data', onData).on('close', onClose).on('end', onClose);
    if (socket.destroyed) onClose();
  });
}

function readComplete(text: string): RawAnswer | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(first.split(' ')[1]);
  if (status === 100) return readComplete(text.slice(end + 4));
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = text.slice(end + 4);
  if (body.length < Number(headers['content-length'] ?? 0)) return undefined;
  return { status, headers, body };
}

/** One request as text. `lines` are further headers; the body's length is added. */
export function rawRequest(first: string, lines: readonly string[] = [], body?: string): string {
  const length = body === undefined ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  const head = [`${first} HTTP/1.1`, 'host: localhost', ...lines, ...length];
  return `${head.join('\r\n')}\r\n\r\n${body ?? ''}`;
}
