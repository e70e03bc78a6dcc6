/**
 * nginx in a container, as an unprivileged user, serving one shop on two ports: one takes certificate
 * and key from two files, the other both from one.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContainer } from '../../src/testing/container.ts';
import { freePorts } from '../../src/testing/free-ports.ts';
import type { Story } from '../../src/testing/story.ts';
import { host } from './certificates.ts';

export interface Nginx extends Disposable {
  readonly container: TestContainer;
  readonly pairPort: number;
  readonly bundlePort: number;
}

const configuration = (pairPort: number, bundlePort: number): string => `daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  ssl_session_cache off;
  ssl_session_tickets off;
  ssl_protocols TLSv1.3;
  server {
    listen 127.0.0.1:${pairPort} ssl;
    server_name ${host};
    ssl_certificate /run/secrets/tls.crt;
    ssl_certificate_key /run/secrets/tls.key;
    location / { return 200 "ok\\n"; }
  }
  server {
    listen 127.0.0.1:${bundlePort} ssl;
    server_name ${host};
    ssl_certificate /run/secrets/bundle.pem;
    ssl_certificate_key /run/secrets/bundle.pem;
    location / { return 200 "ok\\n"; }
  }
}
`;

/** nginx does not start without its files, so it waits for the last of the set; the set comes whole. */
const waitAndServe =
  'until [ -s /run/secrets/tls.key ]; do /bin/busybox sleep 0.05; done; ' +
  'exec /usr/sbin/nginx -c /etc/nginx/shop.conf';

export async function startNginx(story: Story): Promise<Nginx> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-nginx-'));
  const [pairPort = 0, bundlePort = 0] = await freePorts(2);
  const file = join(directory, 'shop.conf');
  writeFileSync(file, configuration(pairPort, bundlePort));
  const container = await story.container({
    image: 'nginx',
    command: ['/bin/busybox', 'sh', '-c', waitAndServe],
    user: '1000:1000',
    labels: { app: 'shop' },
    network: 'host',
    binds: [`${file}:/etc/nginx/shop.conf:ro`],
  });
  return {
    container,
    pairPort,
    bundlePort,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
