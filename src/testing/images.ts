/**
 * Images for tests and the demo, put together from programs of Debian packages that are installed on
 * this machine. Nothing is pulled. Each is named for its content, so an engine gets it once.
 *
 *   busybox      a shell and 260 small programs; users root, app (1000), nobody; no /run/secrets
 *   distroless   /sleep, /cat and /tail as static programs and nothing else: no shell, no /run, no /etc
 *   nginx        nginx with an own configuration, plus busybox as /bin/busybox (for probing)
 *   redis        redis-server and redis-cli, plus busybox as /bin/busybox
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { TestEngine } from './engine.ts';
import { EngineError } from './engine-client.ts';
import { type TarEntry, writeTar } from './tar.ts';

export interface ImageRecipe {
  /** Repository name below `coffer-test/`. */
  readonly name: string;
  readonly entries: readonly TarEntry[];
  /** Configuration, as in a Dockerfile: `CMD ["/sleep", "1000000"]`, `USER 1000`, `LABEL a=b`. */
  readonly changes: readonly string[];
}

export type ImageOrReason =
  | { readonly image: string; readonly reason?: undefined }
  | { readonly image?: undefined; readonly reason: string };

export type ImageName = 'busybox' | 'distroless' | 'nginx' | 'redis';

/** The Debian package that brings each program, and so what to install where it is missing. */
const programs = {
  busybox: { package: 'busybox-static', paths: ['/bin/busybox', '/usr/bin/busybox'] },
  nginx: { package: 'nginx-light', paths: ['/usr/sbin/nginx'] },
  'redis-server': { package: 'redis-server', paths: ['/usr/bin/redis-server'] },
  'redis-cli': { package: 'redis-tools', paths: ['/usr/bin/redis-cli'] },
} as const;

const users = [
  'root:x:0:0:root:/:/bin/sh',
  'app:x:1000:1000:app:/:/bin/sh',
  'nobody:x:65534:65534:nobody:/:/bin/false',
].join('\n');
const groups = ['root:x:0:', 'app:x:1000:', 'nogroup:x:65534:'].join('\n');

/** Listens on 8080, runs as any user, writes to /tmp only. */
export const nginxConfiguration = `daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server { listen 8080; location / { return 200 "ok\\n"; } }
}
`;

/** Makes sure that the engine has the image, and gives its reference. */
export async function provideImage(engine: TestEngine, name: ImageName): Promise<ImageOrReason> {
  const needed = {
    busybox: ['busybox'],
    distroless: ['busybox'],
    nginx: ['nginx', 'busybox'],
    redis: ['redis-server', 'redis-cli', 'busybox'],
  } as const satisfies Record<ImageName, (keyof typeof programs)[]>;
  const missing = needed[name].filter((program) => pathOf(program) === undefined);
  if (missing.length > 0) {
    const packages = missing.map((program) => programs[program].package);
    return { reason: `needs ${missing.join(', ')}: apt-get install ${packages.join(' ')}` };
  }
  const recipes = {
    busybox: busyboxRecipe,
    distroless: distrolessRecipe,
    nginx: () => nginxRecipe(nginxConfiguration),
    redis: redisRecipe,
  } as const satisfies Record<ImageName, () => ImageRecipe>;
  return { image: await importImage(engine, recipes[name]()) };
}

/** Imports any recipe; give its own `name` to one that differs from those above. */
export async function importImage(engine: TestEngine, recipe: ImageRecipe): Promise<string> {
  const tar = writeTar(withParents(recipe.entries));
  const hash = createHash('sha256').update(tar).update(JSON.stringify(recipe.changes));
  const repository = `coffer-test/${recipe.name}`;
  const tag = hash.digest('hex').slice(0, 16);
  try {
    await engine.client.get(`/images/${repository}:${tag}/json`);
  } catch (error) {
    if (!(error instanceof EngineError) || error.status !== 404) throw error;
    // Not as `tag`, which Podman before 5 ignores.
    const query = new URLSearchParams({ fromSrc: '-', repo: `${repository}:${tag}` });
    for (const change of recipe.changes) query.append('changes', change);
    await engine.client.upload(`/images/create?${query}`, tar);
  }
  return `${repository}:${tag}`;
}

export function busyboxRecipe(): ImageRecipe {
  const list = execFileSync(requiredPath('busybox'), ['--list'], { encoding: 'utf8' });
  const applets = list.split('\n').filter((name) => name !== '' && name !== 'busybox');
  return {
    name: 'busybox',
    entries: [
      ...basics(),
      ...applets.map((name): TarEntry => {
        return { kind: 'symlink', path: `bin/${name}`, target: 'busybox' };
      }),
    ],
    changes: ['ENV PATH=/bin', 'CMD ["sleep", "1000000"]'],
  };
}

export function distrolessRecipe(): ImageRecipe {
  // Under these names the program does only what it is named for. Hard links: there is one of it.
  const content = readFileSync(requiredPath('busybox'));
  return {
    name: 'distroless',
    entries: [
      { kind: 'file', path: 'sleep', mode: 0o755, content },
      { kind: 'hardlink', path: 'cat', target: 'sleep' },
      { kind: 'hardlink', path: 'tail', target: 'sleep' },
      { kind: 'directory', path: 'app' },
    ],
    changes: ['CMD ["/sleep", "1000000"]'],
  };
}

export function nginxRecipe(configuration: string): ImageRecipe {
  return {
    name: 'nginx',
    entries: [
      ...basics(),
      ...closureOf(requiredPath('nginx')),
      { kind: 'file', path: 'etc/nginx/nginx.conf', content: Buffer.from(configuration) },
      { kind: 'directory', path: 'var/log/nginx' },
      { kind: 'directory', path: 'var/lib/nginx' },
    ],
    changes: ['CMD ["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"]', 'ENV PATH=/bin:/usr/sbin'],
  };
}

export function redisRecipe(): ImageRecipe {
  return {
    name: 'redis',
    entries: [
      ...basics(),
      ...closureOf(requiredPath('redis-server')),
      ...closureOf(requiredPath('redis-cli')),
    ],
    changes: [
      'CMD ["/usr/bin/redis-server", "--save", "", "--dir", "/tmp"]',
      'ENV PATH=/bin:/usr/bin',
    ],
  };
}

/** Users, /tmp, /run and busybox (with `sh` and `cat` under their names). */
function basics(): readonly TarEntry[] {
  const content = readFileSync(requiredPath('busybox'));
  return [
    { kind: 'directory', path: 'tmp', mode: 0o1777 },
    { kind: 'directory', path: 'run' },
    { kind: 'file', path: 'etc/passwd', content: Buffer.from(`${users}\n`) },
    { kind: 'file', path: 'etc/group', content: Buffer.from(`${groups}\n`) },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content },
  ];
}

/** A program and the libraries that the dynamic linker would load for it, where it looks for them. */
export function closureOf(program: string): readonly TarEntry[] {
  const listing = execFileSync('ldd', [program], { encoding: 'utf8' });
  const libraries = [...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1]);
  return [program, ...libraries].flatMap((path) => {
    if (path === undefined) return [];
    return [{ kind: 'file', path: path.slice(1), mode: 0o755, content: readFileSync(path) }];
  });
}

/** Adds the directories that entries are in, leaves out what comes twice; sorted. */
export function withParents(entries: readonly TarEntry[]): readonly TarEntry[] {
  const byPath = new Map<string, TarEntry>();
  for (const entry of entries) {
    for (let up = dirname(entry.path); up !== '.'; up = dirname(up)) {
      if (!byPath.has(up)) byPath.set(up, { kind: 'directory', path: up });
    }
    const there = byPath.get(entry.path);
    if (there === undefined || there.kind === 'directory') byPath.set(entry.path, entry);
  }
  // A hard link must come after what it links to.
  const rank = (entry: TarEntry): number => (entry.kind === 'hardlink' ? 1 : 0);
  return [...byPath.values()].toSorted((left, right) => {
    return rank(left) - rank(right) || (left.path < right.path ? -1 : 1);
  });
}

function pathOf(program: keyof typeof programs): string | undefined {
  return programs[program].paths.find((path) => existsSync(path));
}

function requiredPath(program: keyof typeof programs): string {
  const path = pathOf(program);
  if (path === undefined) throw new Error(`apt-get install ${programs[program].package}`);
  return path;
}
