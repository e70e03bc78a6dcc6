/**
 * A container for a test: made through the engine's API, removed when the test lets go of it.
 */
import { holderLabel } from './container-sweep.ts';
import type { TestEngine } from './engine.ts';
import type { EngineJson } from './engine-client.ts';

export interface ContainerOptions {
  /** As `provideImage` gave it. */
  readonly image: string;
  readonly name?: string;
  /** Instead of the image's own command. */
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  /** `uid`, `uid:gid` or a name in the image. */
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly readOnlyRoot?: boolean;
  readonly privileged?: boolean;
  readonly hostPid?: boolean;
  readonly addCapabilities?: readonly string[];
  /** `none` unless given; another container shares its own. */
  readonly network?: 'none' | 'host' | TestContainer;
  /** `host:container[:ro]`. */
  readonly binds?: readonly string[];
  /** Directory → options, e.g. `{ '/run': 'size=64k' }`. */
  readonly tmpfs?: Readonly<Record<string, string>>;
  /** Further fields of the API's HostConfig, e.g. `{ Runtime: 'coffer' }`. */
  readonly hostConfig?: EngineJson;
}

export interface ExecOptions {
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class TestContainer implements AsyncDisposable {
  readonly #engine: TestEngine;
  readonly id: string;

  private constructor(engine: TestEngine, id: string) {
    this.#engine = engine;
    this.id = id;
  }

  static async create(engine: TestEngine, options: ContainerOptions): Promise<TestContainer> {
    const { network = 'none' } = options;
    const query = options.name === undefined ? '' : `?name=${encodeURIComponent(options.name)}`;
    const created = await engine.client.post(`/containers/create${query}`, {
      Image: options.image,
      Cmd: options.command,
      Entrypoint: options.entrypoint,
      User: options.user,
      Env: pairs(options.environment),
      // For an engine that is shut down: programs here mostly ignore SIGTERM.
      StopTimeout: 1,
      Labels: { ...options.labels, [holderLabel]: engine.holder },
      HostConfig: {
        NetworkMode: typeof network === 'string' ? network : `container:${network.id}`,
        ReadonlyRootfs: options.readOnlyRoot,
        Privileged: options.privileged,
        PidMode: options.hostPid ? 'host' : '',
        CapAdd: options.addCapabilities,
        Binds: options.binds,
        Tmpfs: options.tmpfs,
        ...options.hostConfig,
      },
    });
    return new TestContainer(engine, String(created['Id']));
  }

  /** Creates and starts. */
  static async run(engine: TestEngine, options: ContainerOptions): Promise<TestContainer> {
    const container = await TestContainer.create(engine, options);
    try {
      await container.start();
      return container;
    } catch (error) {
      await container.remove();
      throw error;
    }
  }

  start(): Promise<unknown> {
    return this.#act('start');
  }

  /** SIGTERM, then SIGKILL at once: programs in tests have nothing to finish. */
  stop(): Promise<unknown> {
    return this.#act('stop?t=0');
  }

  restart(): Promise<unknown> {
    return this.#act('restart?t=0');
  }

  kill(signal = 'SIGKILL'): Promise<unknown> {
    return this.#act(`kill?signal=${signal}`);
  }

  pause(): Promise<unknown> {
    return this.#act('pause');
  }

  unpause(): Promise<unknown> {
    return this.#act('unpause');
  }

  rename(name: string): Promise<unknown> {
    return this.#act(`rename?name=${name}`);
  }

  /** Waits for its end. */
  async wait(): Promise<number> {
    const answer = await this.#act('wait');
    return Number(answer['StatusCode']);
  }

  inspect(): Promise<EngineJson> {
    return this.#engine.client.get(`/containers/${this.id}/json`);
  }

  /** Of the main process, on the host. Zero if it does not run. */
  async pid(): Promise<number> {
    return Number((await this.inspect())['State'].Pid);
  }

  /** A file of the container as the host sees it: for reading what is mounted, without an exec. */
  async hostPath(path: string): Promise<string> {
    return `/proc/${await this.pid()}/root${path}`;
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { client } = this.#engine;
    const created = await client.post(`/containers/${this.id}/exec`, {
      Cmd: argv,
      User: options.user,
      Env: pairs(options.environment),
      AttachStdout: true,
      AttachStderr: true,
    });
    const start = `/exec/${created['Id']}/start`;
    const output = unframe(await client.collect(start, { Detach: false, Tty: false }));
    const ended = await client.get(`/exec/${created['Id']}/json`);
    return { exitCode: Number(ended['ExitCode']), ...output };
  }

  async logs(): Promise<Omit<ExecResult, 'exitCode'>> {
    const path = `/containers/${this.id}/logs?stdout=1&stderr=1`;
    return unframe(await this.#engine.client.bytes(path));
  }

  async remove(): Promise<void> {
    const path = `/containers/${this.id}?force=1&v=1`;
    await this.#engine.client.delete(path).catch((error: { status?: number }) => {
      // 404: removed already. 409: being removed at this moment.
      if (error.status !== 404 && error.status !== 409) throw error;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  #act(action: string): Promise<EngineJson> {
    return this.#engine.client.post(`/containers/${this.id}/${action}`);
  }
}

function pairs(map: Readonly<Record<string, string>> = {}): readonly string[] {
  return Object.entries(map).map(([name, value]) => `${name}=${value}`);
}

/** Takes apart the engine's frames: stream number, three zeros, length, bytes. */
function unframe(bytes: Buffer): Omit<ExecResult, 'exitCode'> {
  const streams: [Buffer[], Buffer[]] = [[], []];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    streams[bytes[at] === 2 ? 1 : 0].push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return {
    stdout: Buffer.concat(streams[0]).toString(),
    stderr: Buffer.concat(streams[1]).toString(),
  };
}
