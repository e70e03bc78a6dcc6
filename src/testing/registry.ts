/**
 * A registry on loopback that serves one image, so that an engine can pull it and knows it by digest,
 * as it knows images of real registries. Engines speak plain HTTP to 127.0.0.0/8; nothing leaves the
 * machine.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { arch } from 'node:os';
import { gzipSync } from 'node:zlib';
import type { TestEngine } from './engine.ts';
import { type ImageRecipe, withParents } from './images.ts';
import { writeTar } from './tar.ts';

export interface PulledImage extends AsyncDisposable {
  /** `127.0.0.1:PORT/REPOSITORY:TAG`, to make containers from. */
  readonly image: string;
  /** `127.0.0.1:PORT/REPOSITORY@sha256:…`, as policy names it. */
  readonly digest: string;
}

export interface PullOptions {
  /** E.g. `payments/api`. */
  readonly repository: string;
  readonly tag: string;
  /** Of the registry; any free one unless given. It is part of the image's name. */
  readonly port?: number;
}

/** Serves the recipe's image, has the engine pull it, and stops serving. Disposing removes the image. */
export async function pullImage(
  engine: TestEngine,
  recipe: ImageRecipe,
  { repository, tag, port = 0 }: PullOptions,
): Promise<PulledImage> {
  const served = serve(recipe);
  await once(served.server.listen(port, '127.0.0.1'), 'listening');
  const name = `127.0.0.1:${(served.server.address() as AddressInfo).port}/${repository}`;
  try {
    const query = new URLSearchParams({ fromImage: name, tag });
    await engine.client.upload(`/images/create?${query}`, Buffer.alloc(0));
  } finally {
    served.server.close();
    served.server.closeAllConnections();
  }
  return {
    image: `${name}:${tag}`,
    digest: `${name}@${served.digest}`,
    async [Symbol.asyncDispose]() {
      // Still in use by somebody's container: then it stays.
      await engine.client.delete(`/images/${name}:${tag}`).catch(() => undefined);
    },
  };
}

const types = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

function serve(recipe: ImageRecipe): { readonly server: Server; readonly digest: string } {
  const tar = writeTar(withParents(recipe.entries));
  const layer = gzipSync(tar, { level: 1 });
  const config = Buffer.from(
    JSON.stringify({
      architecture: arch() === 'x64' ? 'amd64' : arch(),
      os: 'linux',
      config: configOf(recipe.changes),
      rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
      history: [{ created: '1970-01-01T00:00:00Z' }],
    }),
  );
  const described = (mediaType: string, bytes: Buffer) => {
    return { mediaType, size: bytes.length, digest: digestOf(bytes) };
  };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: described(types.config, config),
      layers: [described(types.layer, layer)],
    }),
  );
  const blobs = new Map([config, layer].map((bytes) => [digestOf(bytes), bytes]));
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const blob = blobs.get(path.split('/blobs/')[1] ?? '');
    const found = path.includes('/manifests/') ? manifest : blob;
    if (path === '/v2/') {
      response.end('{}');
    } else if (found === undefined) {
      response.writeHead(404).end();
    } else {
      response.setHeader('content-type', found === manifest ? types.manifest : types.config);
      response.setHeader('content-length', found.length);
      response.setHeader('docker-content-digest', digestOf(found));
      response.end(request.method === 'HEAD' ? undefined : found);
    }
  });
  return { server, digest: digestOf(manifest) };
}

/** The few Dockerfile instructions that recipes use. */
function configOf(changes: readonly string[]): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const change of changes) {
    const [instruction = '', ...words] = change.split(' ');
    const rest = words.join(' ');
    if (instruction === 'CMD') config['Cmd'] = JSON.parse(rest) as unknown;
    else if (instruction === 'USER') config['User'] = rest;
    else if (instruction === 'ENV') config['Env'] = [...((config['Env'] as string[]) ?? []), rest];
    else if (instruction === 'LABEL') config['Labels'] = labelled(config['Labels'], rest);
    else throw new Error(`no instruction of recipes: ${instruction}`);
  }
  return config;
}

function labelled(labels: unknown, pair: string): unknown {
  const [name = '', ...value] = pair.split('=');
  return { ...(labels as object | undefined), [name]: value.join('=') };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
