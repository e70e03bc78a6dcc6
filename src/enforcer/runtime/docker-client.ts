/**
 * The part of Docker's Engine API that a node agent needs, over the engine's unix socket.
 *
 * Promises
 *   - Every answer is bounded in size and, but for the event stream, in time.
 *   - Speaks the newest version of the API that both sides know, found out by `connect`.
 * Does not promise
 *   - To remember the engine: after a restart of it, call `connect` again.
 */
import { basename } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { Fault, isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { agreeOnEngineApi, engineApiMin } from '../../wire/engine-api.ts';
import { UnixHttp, type UnixHttpReply } from '../../wire/unix-http.ts';
import { containerOf, isSandbox, parseJson, record, text, texts } from './docker-record.ts';
import type { RuntimeContainer } from './runtime.ts';

/** Looks at once: the engine's own work per look is about 1 ms, so more would only queue there. */
export const looksAtOnce = 8;

/** Repository digests change with a pull or push, so image events empty this. */
const imagesRememberedMax = 512;

/** What Docker and Podman call the usual one; these names cannot be given to another. */
const usualRuntimes: readonly string[] = ['', 'runc', 'io.containerd.runc.v2', 'oci'];

export interface DockerEvent {
  readonly type: 'container' | 'image';
  readonly id: string;
  readonly action: string;
}

export interface ListedContainer {
  readonly id: string;
  readonly names: readonly string[];
}

export interface EngineVersion {
  readonly engine: string;
  readonly api: string;
  /** The engine's clock at the answer, in whole seconds since the epoch, rounded down. */
  readonly seconds: number;
}

export class DockerClient {
  readonly #http: UnixHttp;
  readonly #images = new Map<string, readonly string[]>();
  /** By name: whether it is a sandbox. */
  readonly #runtimes = new Map<string, boolean>();
  /** Who waits to look, while as many look as may. */
  readonly #waiting: (() => void)[] = [];
  #looking = 0;
  #base = `/v${engineApiMin}`;

  constructor(options: { readonly socketPath: string; readonly clock: Clock }) {
    this.#http = new UnixHttp({
      ...options,
      timeoutMs: limits.engineTimeoutMs,
      bodyBytesMax: limits.engineAnswerBytesMax,
    });
  }

  /**
   * Asks who is there and agrees on a version of the API.
   *
   * @throws Fault `runtime.unreachable`, `runtime.unsupported`
   */
  async connect(signal?: AbortSignal): Promise<EngineVersion> {
    const reply = await this.#get('/version', signal);
    const version = record(parseJson(reply.body), 'version');
    const api = text(version, 'ApiVersion');
    const oldest = typeof version['MinAPIVersion'] === 'string' ? version['MinAPIVersion'] : '1.0';
    const agreed = agreeOnEngineApi({ api, oldest });
    this.#base = `/v${agreed}`;
    this.forgetImages();
    this.#runtimes.clear();
    const seconds = Math.floor(Date.parse(reply.headers.date ?? '') / 1000);
    return {
      engine: text(version, 'Version'),
      api: agreed,
      // Podman before 5 sends no date. From 0 on, it replays what it has, which costs a few looks.
      seconds: Number.isFinite(seconds) ? seconds : 0,
    };
  }

  /** The containers that run or are paused. */
  async listRunning(signal?: AbortSignal): Promise<readonly ListedContainer[]> {
    // Named: what is paused runs for Docker, and does not for Podman.
    const filters = encodeURIComponent(JSON.stringify({ status: ['running', 'paused'] }));
    const reply = await this.#get(`${this.#base}/containers/json?filters=${filters}`, signal);
    const list = parseJson(reply.body);
    if (!Array.isArray(list)) throw new Fault('runtime.invalid', { field: 'containers' });
    if (list.length > limits.containersMax) {
      throw new Fault('limit.exceeded', { what: 'containers', max: limits.containersMax });
    }
    return list.map((item) => {
      const container = record(item, 'container');
      const names = texts(container, 'Names').map((name) => name.replace(/^\//, ''));
      return { id: text(container, 'Id'), names };
    });
  }

  /** The container, or undefined if there is none of that id or it does not run. */
  async inspect(id: string, signal?: AbortSignal): Promise<RuntimeContainer | undefined> {
    if (this.#looking === looksAtOnce) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#looking += 1;
    try {
      const reply = await this.#get(`${this.#base}/containers/${segment(id)}/json`, signal);
      return await containerOf(parseJson(reply.body), {
        digestsOf: (image) => this.#digestsOf(image, signal),
        isSandbox: (runtime) => this.#isSandbox(runtime, signal),
      });
    } catch (error) {
      if (isUnknown(error)) return undefined;
      throw error;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#looking -= 1;
      else next();
    }
  }

  /** @param seconds - Since the epoch, on the engine's clock: events from then on come first. */
  async *events(seconds: number, signal: AbortSignal): AsyncIterable<DockerEvent> {
    const filters = encodeURIComponent(JSON.stringify({ type: ['container', 'image'] }));
    const path = `${this.#base}/events?since=${seconds}&filters=${filters}`;
    const incoming = await this.#guard(() => this.#http.open({ method: 'GET', path, signal }));
    if (incoming.statusCode !== 200) {
      incoming.destroy();
      throw new Fault('runtime.refused', { status: incoming.statusCode, call: '/events' });
    }
    let rest = '';
    incoming.setEncoding('utf8');
    try {
      for await (const chunk of incoming as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > limits.engineEventBytesMax) {
          throw new Fault('limit.exceeded', { what: 'event', bytes: limits.engineEventBytesMax });
        }
        for (const line of lines) {
          const event = line.trim() === '' ? undefined : eventOf(parseJson(line));
          if (event !== undefined) yield event;
        }
      }
    } catch (error) {
      throw asFault(error);
    } finally {
      incoming.destroy();
    }
  }

  forgetImages(): void {
    this.#images.clear();
  }

  async #digestsOf(imageId: string, signal?: AbortSignal): Promise<readonly string[]> {
    const known = this.#images.get(imageId);
    if (known !== undefined) return known;
    let digests: readonly string[];
    try {
      const reply = await this.#get(`${this.#base}/images/${segment(imageId)}/json`, signal);
      digests = texts(record(parseJson(reply.body), 'image'), 'RepoDigests');
    } catch (error) {
      // The image may be deleted under a running container; then it has no digests to rest on.
      if (!isUnknown(error)) throw error;
      digests = [];
    }
    if (this.#images.size >= imagesRememberedMax) this.#images.clear();
    this.#images.set(imageId, digests);
    return digests;
  }

  /** A name says little: whoever configures the engine chooses it. */
  async #isSandbox(name: string, signal?: AbortSignal): Promise<boolean> {
    if (usualRuntimes.includes(name)) return false;
    const known = this.#runtimes.get(name);
    if (known !== undefined) return known;
    const reply = await this.#get(`${this.#base}/info`, signal);
    const runtimes = record(record(parseJson(reply.body), 'info')['Runtimes'] ?? {}, 'Runtimes');
    const { path = '', runtimeType = '' } = record(runtimes[name] ?? {}, 'Runtimes');
    const found = isSandbox([name, basename(String(path)), String(runtimeType)]);
    this.#runtimes.set(name, found);
    return found;
  }

  async #get(path: string, signal?: AbortSignal): Promise<UnixHttpReply> {
    const request = { method: 'GET', path, ...(signal ? { signal } : {}) } as const;
    const reply = await this.#guard(() => this.#http.send(request));
    if (reply.status >= 200 && reply.status < 300) return reply;
    throw new Fault('runtime.refused', { status: reply.status, call: path.slice(0, 80) });
  }

  async #guard<Result>(act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      throw asFault(error);
    }
  }
}

function asFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { code: reason, address: socket } = error as { code?: unknown; address?: unknown };
  const detail = {
    ...(typeof socket === 'string' ? { socket } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
  };
  return new Fault('runtime.unreachable', detail, { cause: error });
}

function isUnknown(error: unknown): boolean {
  return isFault(error, 'runtime.refused') && error.detail['status'] === 404;
}

function eventOf(value: unknown): DockerEvent | undefined {
  const event = record(value, 'event');
  const type = event['Type'];
  if (type !== 'container' && type !== 'image') return undefined;
  const id = text(record(event['Actor'], 'Actor'), 'ID');
  return { type, id, action: text(event, 'Action') };
}

/** Ids come from the engine and go into paths: nothing but what ids are made of. */
function segment(id: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9:_.-]{0,200}$/.test(id)) {
    throw new Fault('runtime.invalid', { field: 'id' });
  }
  return id;
}
