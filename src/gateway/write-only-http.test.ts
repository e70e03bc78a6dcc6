/**
 * Goal: nothing that can be asked over HTTP gives a value back (G13): not by a part, another form, another
 * method, a header or a path that we did not think of; nor does it stand in the log of what was asked.
 * Method: the real pipeline behind the real listener, with a hundred secrets that all contain one marker;
 * the sweep of `http-sweep.ts` as each role; all that comes back is searched in every spelling. Controls:
 * a listener that leaks on one condition at a time is caught at each, and every operation does answer.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { defined } from '../base/assert.ts';
import { Fault } from '../base/fault.ts';
import { systemRandom } from '../base/random.ts';
import { anonymousFrom, gatewayPrincipal, type Principal } from '../model/principal.ts';
import { type OperationName, operationNamed, operationNames } from '../protocol/operations.ts';
import type { OperationRequest } from '../protocol/request.ts';
import { formsFound } from '../testing/canary-scan.ts';
import { makeTestCertificate, startHttpGateway } from '../testing/http-gateway.ts';
import { isStream, sendUnit, sweepUnits, type SweptRequest } from '../testing/http-sweep.ts';
import type { MemoryRecords } from '../testing/memory-records.ts';
import {
  examplesIn,
  fillRig,
  otherPlace,
  ownPlace,
  setWorkloads,
} from '../testing/operation-examples.ts';
import type { RawTarget } from '../testing/raw-http.ts';
import { bind, RequestRig } from '../testing/request-rig.ts';

/** In every value. It needs no escape in a header or in JSON, so that it is found wherever it is. */
const marker = 'Zq7canary-0b7f4c1e9d25-X3';
const isLong = process.env['COFFER_LONG'] === '1';
const openApi = join(import.meta.dirname, '../../docs/openapi.json');
const nobody = anonymousFrom('test');
const principals = new Map<string, Principal>();
let filled: MemoryRecords;

/** Any hundred bytes in a row of it contain the marker. */
const newCanary = (): string => `${systemRandom.bytes(9).toString('base64')}${marker}`.repeat(6);

function freshRig(): RequestRig {
  const rate = { perSecond: 1e9, burst: 1e9 };
  const rig = new RequestRig({ records: filled.copy(), rate });
  setWorkloads(rig);
  const entry = { principal: gatewayPrincipal, action: 'old', resource: 'system', outcome: 'ok' };
  void rig.audit.acceptRollback({ ...entry, rule: '', requestId: '', detail: {} });
  return rig;
}

before(async () => {
  const rig = await new RequestRig().withAuthority();
  const owner = await rig.owner();
  await fillRig(rig, owner, nobody);
  for (const { secret } of [ownPlace, otherPlace]) {
    for (let version = 0; version < 20; version++) {
      const stage = version === 19 ? 'pending' : 'current';
      await rig.put(owner, secret, newCanary(), { input: { name: secret, stage } });
    }
  }
  for (let more = 0; more < 60; more++) await rig.put(owner, `payments/c${more}`, newCanary());
  principals.set('owner', owner);
  for (const role of ['operator', 'auditor', 'writer']) {
    principals.set(role, await rig.principal(role, bind(role, '**')));
  }
  principals.set('stranger', await rig.principal('stranger'));
  filled = rig.records;
});

function units(role: string): (readonly SweptRequest[])[] {
  const rig = freshRig();
  const examples = examplesIn(ownPlace);
  for (const name of ['audit.tail', 'event.watch'] as const) {
    Object.assign(examples, { [name]: { input: { after: 0 } } });
  }
  for (const name of operationNames) {
    if (operationNamed(name).body === 'value') {
      Object.assign(examples, { [name]: { ...examples[name], value: newCanary() } });
    }
  }
  const published = JSON.parse(readFileSync(openApi, 'utf8')) as { readonly paths: object };
  return sweepUnits([...Object.keys(published.paths), '/openapi.json'], {
    examples,
    body: newCanary(),
    // Everything as the one who may do everything; a rotating share as the others.
    ...(isLong || role === 'owner' ? {} : { some: { each: 8, from: role.length } }),
    revision(operation) {
      if (operation === undefined) return 1;
      const own = examples[operation].ifRevision;
      const noun = operation.split('.')[0];
      const same = operationNames.find(
        (name) => name.split('.')[0] === noun && examples[name].ifRevision !== undefined,
      );
      return (own ?? (same && examples[same].ifRevision))?.(rig) ?? 1;
    },
  });
}

interface Swept {
  /** Requests after whose answers the marker was found, and in which forms. */
  readonly found: readonly string[];
  readonly asked: number;
  readonly answered: ReadonlySet<OperationName>;
}

interface Asking {
  readonly role: string;
  readonly unit: readonly SweptRequest[];
}

function sweepOf(roles: readonly string[]): Asking[] {
  return roles.flatMap((role) => units(role).map((unit) => ({ role, unit })));
}

/** @param rigs - Who answers; undefined if no rig does. */
async function sweep(target: RawTarget, jobs: Asking[], rigs?: Rigs): Promise<Swept> {
  const found: string[] = [];
  const answered = new Set<OperationName>();
  let asked = 0;
  const worker = async (): Promise<void> => {
    for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) {
      const { role, unit } = job;
      const ids = new Set<string>();
      const number = jobs.length;
      const seen = await sendUnit(target, unit, (request) => {
        const id = rigs?.idFor(request, number) ?? 'sweep-of-a-control';
        ids.add(id);
        const authorization = role === 'nobody' ? [] : [`authorization: Bearer ${role}`];
        return [`x-request-id: ${id}`, ...authorization];
      });
      const answers = [...seen.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => code);
      asked += unit.length;
      equal(answers.length, unit.length, `${role}: ${unit[answers.length]?.name} is answered`);
      unit.forEach(({ operation }, index) => {
        if (operation !== undefined && answers[index] === '200') answered.add(operation);
      });
      const forms = formsFound(seen + (rigs?.takeLogs(ids) ?? ''), Buffer.from(marker));
      const names = unit.map(({ name }) => name).join(' | ');
      if (forms.length > 0) found.push(`${role}: ${names}: ${forms.join()}`);
      // No part of anything is ever given: what is given in parts could be asked for byte by byte.
      if (/^(content-range|accept-ranges):/im.test(seen)) found.push(`${role}: ${names}: a part`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return { found, asked, answered };
}

/** A gateway of its own for each request that may change it; others of one connection share one. */
class Rigs {
  readonly #byId = new Map<string, RequestRig>();
  #count = 0;

  idFor(request: SweptRequest, connection: number): string {
    const { operation } = request;
    const changes = operation !== undefined && operationNamed(operation).effect === 'change';
    const id = changes ? `change-${this.#count++}-` : `connection-${connection}-`;
    if (this.#byId.has(id)) return id;
    const rig = freshRig();
    this.#byId.set(id, rig);
    // Something to tell of.
    const owner = defined(principals.get('owner'), 'an owner was made');
    if (isStream(request)) void rig.put(owner, ownPlace.secret, newCanary());
    return id;
  }

  of(id: string): RequestRig {
    return defined(this.#byId.get(id), 'each request names its rig');
  }

  takeLogs(ids: ReadonlySet<string>): string {
    return [...ids].map((id) => this.#take(id)).join('\n');
  }

  #take(id: string): string {
    const { audit, logLines } = this.of(id);
    this.#byId.delete(id);
    return [JSON.stringify(audit.kept), ...logLines].join('\n');
  }
}

const unlimited = {
  heartbeatMs: 50,
  strangerRequestsPerSecond: 1e9,
  strangerRequestsBurst: 1e9,
  requestsPerSecond: 1e9,
  requestsBurst: 1e9,
  connectionsPerSecond: 1e9,
  connectionsBurst: 1e9,
};

test('no path, method, header or role gives a value back', async () => {
  const rigs = new Rigs();
  await using gateway = await startHttpGateway(
    (request: OperationRequest<OperationName>) =>
      rigs.of(request.requestId).requests.handle(request),
    {
      limits: unlimited,
      authenticate: async (bearer) => {
        const principal = principals.get(bearer ?? '');
        if (principal === undefined) throw new Fault('auth.required');
        return principal;
      },
    },
  );
  const target = { port: gateway.server.port, ca: gateway.certificate.authorityPem };
  const jobs = sweepOf([...principals.keys(), 'nobody']);
  const { found, asked, answered } = await sweep(target, jobs, rigs);
  deepEqual(found, []);
  deepEqual(formsFound(gateway.logged.join('\n'), Buffer.from(marker)), []);
  ok(asked > (isLong ? 80_000 : 30_000), `${asked} requests`);
  const silent = operationNames.filter((name) => !answered.has(name));
  // A join proves itself with a token that only a new one has.
  deepEqual(silent, ['node.join'], 'control: every operation did answer');
});

/** Requests on which a listener might leak while it is honest about all others. */
const leaks: Readonly<Record<string, (request: SweptRequest, role: string) => boolean>> = {
  'a method without a body': ({ method }) => method === 'HEAD',
  'an echo': ({ method, body }) => method === 'TRACE' && body.includes(marker),
  'a rare method': ({ method }) => method === 'PROPFIND',
  'a part': ({ headers }) => headers['range'] === 'bytes=0-199',
  'the end': ({ headers }) => headers['if-range'] !== undefined,
  'as bytes': ({ headers }) => headers['accept'] === 'application/octet-stream',
  'as a page': ({ headers }) => headers['accept']?.startsWith('text/html') === true,
  'a known revision': ({ headers }) => headers['if-none-match']?.startsWith('"') === true,
  'a match': ({ headers }) => headers['if-match'] === '*',
  'an override': ({ headers }) => headers['x-http-method-override'] === 'GET',
  'a query': ({ path }) => path.includes('reveal=1'),
  metrics: ({ path }) => path === '/metrics',
  'the document': ({ path }) => path === '/openapi.json',
  'another path': ({ path }) => path.endsWith(':export'),
  'a backup': ({ operation }) => operation === 'system.backup',
  'a stream': ({ operation }) => operation === 'event.watch',
  'one role': ({ operation }, role) => operation === 'audit.list' && role === 'auditor',
  'no role': ({ path }, role) => path === '/readyz' && role === 'nobody',
};

test('control: a listener that leaks on one request of the sweep is caught', async () => {
  const certificate = makeTestCertificate();
  let isLeaking = true;
  const server = createServer({ cert: certificate.chain, key: certificate.key });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    request.resume();
    const value = isLeaking ? newCanary() : '';
    // In a header alone, where there is no body; the part that was asked for; or all of it.
    const header = request.method === 'HEAD' ? Buffer.from(value).toString('hex') : '';
    response.writeHead(200, { 'x-value': header });
    response.end(request.headers.range === undefined ? value : value.slice(7, 107));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const target = { port: (server.address() as AddressInfo).port, ca: certificate.authorityPem };
  const all = sweepOf(['owner', 'auditor', 'nobody']);
  const found: string[] = [];
  for (const [what, isIt] of Object.entries(leaks)) {
    const asking = all.find(({ role, unit }) => unit.some((request) => isIt(request, role)));
    ok(asking, what);
    const { role } = asking;
    const unit = asking.unit.filter((request) => isIt(request, role)).slice(0, 1);
    isLeaking = true;
    if ((await sweep(target, [{ role, unit }])).found.length > 0) found.push(what);
    isLeaking = false;
    deepEqual((await sweep(target, [{ role, unit }])).found, [], `${what}, without a leak`);
  }
  server.close();
  deepEqual(found, Object.keys(leaks));
});
