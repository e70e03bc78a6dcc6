/**
 * A gateway's HTTPS listener on loopback for tests, with whatever `handle` the test brings, and
 * clients that trust it. Certificates are made for each; nothing touches the disk.
 */
import { createPublicKey, type X509Certificate } from 'node:crypto';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { createLog, type Log } from '../base/log.ts';
import { Metrics } from '../base/metrics.ts';
import { systemRandom } from '../base/random.ts';
import { Client, type ClientOptions } from '../client/client.ts';
import {
  type Authority,
  generateCertificateKey,
  issueGatewayCertificate,
  makeAuthority,
} from '../crypto/x509.ts';
import { type HttpOptions, type HttpServer, startHttp } from '../gateway/http/http.ts';
import type { OperationRequest } from '../protocol/request.ts';
import type { OperationName } from '../protocol/operations.ts';

export const goodToken = 'coffer-test-token-aaaaaaaaaaaaaaaa';
const trustDomain = 'test.example';

export interface TestCertificate {
  readonly authority: Authority;
  readonly authorityPem: string;
  /** The chain, leaf first, as PEM. */
  readonly chain: string;
  readonly leaf: X509Certificate;
  readonly key: string;
}

export function makeTestCertificate(
  names: { readonly dnsNames?: string[]; readonly ipAddresses?: string[] } = {},
): TestCertificate {
  const now = { nowMs: Date.now(), random: systemRandom, trustDomain };
  const authority = makeAuthority({ ...now, commonName: 'test authority', lifetimeMs: 3_600_000 });
  const key = generateCertificateKey();
  const leaf = issueGatewayCertificate(authority, {
    ...now,
    publicKey: createPublicKey(key),
    lifetimeMs: 3_000_000,
    dnsNames: names.dnsNames ?? ['localhost'],
    ipAddresses: names.ipAddresses ?? ['127.0.0.1'],
  });
  const authorityPem = authority.certificate.toString();
  return {
    authority,
    authorityPem,
    chain: `${leaf.toString()}${authorityPem}`,
    leaf,
    key: key.export({ format: 'pem', type: 'pkcs8' }),
  };
}

/** What a test's `handle` may answer; anything else is the test's own mistake. */
export type TestHandle = (request: OperationRequest<OperationName>) => Promise<unknown>;

export interface HttpGateway extends AsyncDisposable {
  readonly server: HttpServer;
  readonly certificate: TestCertificate;
  readonly metrics: Metrics;
  /** Every line that was logged, at debug level. */
  readonly logged: readonly string[];
  client(options?: Partial<ClientOptions>): Client;
}

export async function startHttpGateway(
  handle: TestHandle,
  options: Partial<HttpOptions> = {},
): Promise<HttpGateway> {
  const certificate = makeTestCertificate();
  const metrics = new Metrics();
  const logged: string[] = [];
  const log: Log = createLog({
    clock: systemClock,
    level: 'debug',
    write: (line) => void logged.push(line),
  });
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    certificate: certificate.chain,
    key: certificate.key,
    handle: (async (request: OperationRequest<OperationName>) =>
      handle(request)) as HttpOptions['handle'],
    authenticate: async (bearer, source) => {
      if (bearer !== goodToken) throw new Fault('auth.required');
      return { kind: 'user', id: 'prn_test', name: 'ada', method: 'token', source };
    },
    checks: [],
    clock: systemClock,
    random: systemRandom,
    log,
    metrics,
    ...options,
  });
  const clients: Client[] = [];
  return {
    server,
    certificate,
    metrics,
    logged,
    client(clientOptions = {}) {
      const client = new Client({
        address: `https://127.0.0.1:${server.port}`,
        trust: { ca: certificate.authorityPem },
        token: goodToken,
        clock: systemClock,
        random: systemRandom,
        timeoutMs: 5_000,
        ...clientOptions,
      });
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client.close();
      await server.close();
    },
  };
}
