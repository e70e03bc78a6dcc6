/**
 * What every scenario begins with: an engine of its own, an installation whose enforcer watches that
 * engine, and the few acts that each story is told in.
 *
 * An engine of its own, because two enforcers on one engine would take each other's mounts for theirs.
 */
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { Grant } from '../model/grant.ts';
import type { GroupMatch } from '../model/group.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import type { AuditEntryView } from '../protocol/operations-system.ts';
import type { HoldingView } from '../protocol/operations-node.ts';
import type { SecretView } from '../protocol/operations-secret.ts';
import { type ContainerOptions, TestContainer } from './container.ts';
import { startPrivateEngine, type TestEngine } from './engine.ts';
import { type ImageName, provideImage } from './images.ts';
import { Installation, type InstallationOptions } from './installation.ts';

export interface StoryOptions
  extends Pick<InstallationOptions, 'gatewayArguments' | 'enforcerArguments' | 'network'> {
  readonly images: readonly ImageName[];
  /** Of this story alone, and its caller's to stop; Docker's when left out. */
  readonly engine?: TestEngine;
}

export interface GrantedFile {
  readonly secret: string;
  /** The secret's last segment when left out. */
  readonly file?: string;
  readonly mode?: string;
  readonly uid?: number;
}

export type GrantTerms = Omit<Grant, 'group' | 'secrets'>;

type Fields = Readonly<Record<string, unknown>>;

/** The long form of a number that continuous integration keeps small. */
export function times(short: number, long: number): number {
  return process.env['COFFER_LONG'] === '1' ? long : short;
}

/** A file as the container sees it, through its own root and mounts; undefined if it is not there. */
export function readInside(pid: number, path: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/root${path}`, 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'ESRCH'].includes(code)) return undefined;
    throw error;
  }
}

export class Story implements AsyncDisposable {
  readonly engine: TestEngine;
  readonly installation: Installation;
  /** Every line that the programs logged, as fields. */
  readonly logged: readonly Fields[];
  readonly #images: ReadonlyMap<ImageName, string>;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: {
    readonly engine: TestEngine;
    readonly installation: Installation;
    readonly logged: readonly Fields[];
    readonly images: ReadonlyMap<ImageName, string>;
    readonly stack: AsyncDisposableStack;
  }) {
    this.engine = parts.engine;
    this.installation = parts.installation;
    this.logged = parts.logged;
    this.#images = parts.images;
    this.#stack = parts.stack;
  }

  /** @returns undefined where there can be no engine; the test is then marked as skipped, with why. */
  static async open(t: TestContext, options: StoryOptions): Promise<Story | undefined> {
    await using stack = new AsyncDisposableStack();
    const acquired = options.engine ? { engine: options.engine } : await startPrivateEngine();
    if (!acquired.engine) {
      t.skip(acquired.reason);
      return undefined;
    }
    const { engine } = acquired;
    if (!options.engine) stack.use(engine);
    const images = new Map<ImageName, string>();
    for (const name of options.images) {
      const { image, reason } = await provideImage(engine, name);
      if (image === undefined) {
        t.skip(reason);
        return undefined;
      }
      images.set(name, image);
    }
    const logged: Fields[] = [];
    const installation = stack.use(
      await Installation.start({
        runtime: { dockerSocket: engine.socketPath },
        ...options,
        onLog: (program, line) => logged.push(fieldsOf(program, line)),
      }),
    );
    return new Story({ engine, installation, logged, images, stack: stack.move() });
  }

  get client(): Installation['client'] {
    return this.installation.client;
  }

  image(name: ImageName): string {
    const image = this.#images.get(name);
    if (image === undefined) throw new Error(`the story did not ask for the image ${name}`);
    return image;
  }

  /** Removed at the end of the story, if nobody did before. */
  async container(
    options: Omit<ContainerOptions, 'image'> & { readonly image?: ImageName },
  ): Promise<TestContainer> {
    const image = this.image(options.image ?? 'busybox');
    return this.#stack.use(await TestContainer.run(this.engine, { ...options, image }));
  }

  async put(name: string, value: string | Buffer, stage?: 'pending'): Promise<SecretView> {
    using content = SecretValue.copy(Buffer.from(value));
    const input = { name: parseSecretName(name), ...(stage ? { stage } : {}) };
    return (await this.client.call('secret.put', input, { value: content })).output;
  }

  /** A group of the containers whose label `app` is its name, and what it is granted. */
  grant(
    group: string,
    files: readonly (string | GrantedFile)[],
    terms: GrantTerms = {},
  ): Promise<void> {
    return this.grantTo(group, { docker: { labels: { app: group } } }, files, terms);
  }

  async grantTo(
    group: string,
    match: GroupMatch,
    files: readonly (string | GrantedFile)[],
    terms: GrantTerms = {},
  ): Promise<void> {
    const name = parseName(group);
    await this.client.call('group.put', { name, match }, { ifRevision: 0 });
    const secrets = files.map((granted) => {
      const { secret, file, ...rest } = typeof granted === 'string' ? { secret: granted } : granted;
      const named = file === undefined ? {} : { file: parseName(file) };
      return { secret: parseSecretName(secret), ...named, ...rest };
    });
    await this.client.call('grant.put', { group: name, secrets, ...terms }, { ifRevision: 0 });
  }

  async holdings(secret?: string): Promise<readonly HoldingView[]> {
    const input = secret === undefined ? {} : { secret: parseSecretName(secret) };
    const found: HoldingView[] = [];
    let cursor: string | undefined;
    do {
      const from = cursor === undefined ? {} : { cursor };
      const asked = { ...input, limit: 500, ...from };
      const { output } = await this.client.call('holding.list', asked);
      found.push(...output.items);
      cursor = output.nextCursor;
    } while (cursor !== undefined);
    return found;
  }

  /** Every audit entry of one action, oldest first. */
  async audit(action: string): Promise<readonly AuditEntryView[]> {
    const found: AuditEntryView[] = [];
    let cursor: string | undefined;
    do {
      const from = cursor === undefined ? {} : { cursor };
      const { output } = await this.client.call('audit.list', { action, limit: 500, ...from });
      found.push(...output.items);
      cursor = output.nextCursor;
    } while (cursor !== undefined);
    return found;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

function fieldsOf(program: string, line: string): Fields {
  if (!line.startsWith('{')) return { program, text: line };
  return { program, ...(JSON.parse(line) as Fields) };
}
