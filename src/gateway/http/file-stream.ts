/**
 * Files as downloads, from an AsyncIterable of bytes that may take long to begin.
 *
 * Promises
 *   - A failure after the first piece cuts the connection, so that no half file looks whole.
 *   - While the first piece is being made the peer hears `102 Processing` now and then: neither end takes
 *     that for silence.
 *   - A reader that is slower than the least rate is cut. However a reader leaves, the iterator's `return` is
 *     called, so that what it holds for that reader is free again.
 */
import type { ServerResponse } from 'node:http';
import { type Clock, repeat } from '../../base/clock.ts';
import type { HttpLimits } from './http-options.ts';
import { untilWritable } from './reply.ts';

export interface FileStreamOptions {
  readonly clock: Clock;
  readonly limits: Pick<HttpLimits, 'heartbeatMs' | 'fileBytesPerSecondMin' | 'fileRateOverMs'>;
  readonly fileName: string;
}

export async function sendFile(
  response: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
  options: FileStreamOptions,
): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]();
  const rate = new ReadingRate(response, options);
  try {
    let piece = await firstPiece(response, iterator, options);
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${options.fileName}"`,
    });
    rate.begin();
    while (piece.done !== true && !response.destroyed) {
      response.write(piece.value);
      await untilWritable(response);
      rate.took(piece.value.length);
      piece = await iterator.next();
    }
    if (piece.done === true) response.end();
  } finally {
    rate.end();
    await iterator.return?.();
  }
}

async function firstPiece(
  response: ServerResponse,
  iterator: AsyncIterator<Uint8Array>,
  { clock, limits }: FileStreamOptions,
): Promise<IteratorResult<Uint8Array>> {
  const heartbeat = repeat(clock, limits.heartbeatMs, () => {
    if (!response.destroyed) response.writeProcessing();
  });
  try {
    return await iterator.next();
  } finally {
    heartbeat.cancel();
  }
}

/** Whether a reader takes enough, looked at now and then: a moment's pause is nobody's fault. */
class ReadingRate {
  readonly #response: ServerResponse;
  readonly #options: FileStreamOptions;
  #bytes = 0;
  #looks: { cancel(): void } | undefined;

  constructor(response: ServerResponse, options: FileStreamOptions) {
    this.#response = response;
    this.#options = options;
  }

  begin(): void {
    const { clock, limits } = this.#options;
    const bytesMin = (limits.fileBytesPerSecondMin * limits.fileRateOverMs) / 1000;
    this.#looks = repeat(clock, limits.fileRateOverMs, () => {
      if (this.#bytes < bytesMin) this.#response.destroy();
      this.#bytes = 0;
    });
  }

  took(bytes: number): void {
    this.#bytes += bytes;
  }

  end(): void {
    this.#looks?.cancel();
  }
}
