/**
 * Checks on the way to the gateway, each built on the one before: address, connection and trust,
 * certificate, clock, readiness, seal, token, version, weakenings.
 */
import type { IncomingMessage } from 'node:http';
import { stat } from 'node:fs/promises';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { Fault, isFault, sentenceOf } from '../base/fault.ts';
import { parseJson } from '../base/json.ts';
import { isPlainObject } from '../base/schema.ts';
import { makeAgent, parseAddress } from '../client/connection.ts';
import type { Finding } from './doctor-command.ts';
import { duration } from './relative-time.ts';
import type { Session } from './session.ts';
import { clientVersion } from './system-commands.ts';

const skewMsWarn = 5_000;
const skewMsFail = 60_000;
const dayMs = 86_400_000;
const probeTimeoutMs = 10_000;

interface Probe {
  readonly status: number;
  readonly body: unknown;
  readonly dateMs: number;
  readonly certificateEndsMs: number;
  readonly protocol: string;
  readonly tookMs: number;
}

export async function* gatewayChecks(session: Session): AsyncGenerator<Finding, void, undefined> {
  const { server, trust } = await session.settings();
  if (server.value === undefined) {
    const fix = 'coffer context add NAME --server https://host:port';
    yield { check: 'address', result: 'fail', found: 'no gateway is named', fix };
    return;
  }
  yield { check: 'address', result: 'pass', found: `${server.value}, from ${server.from}` };
  let probe: Probe;
  try {
    probe = await session.waitingFor(probeGateway(session, server.value));
  } catch (error) {
    if (!isFault(error) || session.signal.aborted) throw error;
    yield { check: 'connection', result: 'fail', found: sentenceOf(error), fix: fixOf(error) };
    return;
  }
  const spent = `${probe.protocol}, ${Math.round(probe.tookMs)} ms`;
  yield { check: 'connection', result: 'pass', found: `${spent}; verified with ${trust.value}` };
  yield certificateFinding(probe, session.io.clock.wallMs());
  yield clockFinding(probe, session.io.clock.wallMs());
  yield readyFinding(probe);
  yield* sealAndToken(session);
}

async function probeGateway(session: Session, address: string): Promise<Probe> {
  const endpoint = parseAddress(address);
  const trust = await (await session.settings()).readTrust();
  const { signal } = session;
  const agent = await makeAgent({ endpoint, trust, timeoutMs: probeTimeoutMs, signal });
  const startedMs = session.io.clock.monotonicMs();
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        ...endpoint,
        agent,
        path: '/readyz?verbose=',
        timeout: probeTimeoutMs,
      });
      outgoing.on('response', resolve).on('timeout', () => outgoing.destroy());
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        const problem = error.code ?? 'unknown';
        reject(isFault(error) ? error : new Fault('gateway.unreachable', { ...endpoint, problem }));
      });
      outgoing.end();
    });
    // Read now: once the answer has ended the socket may belong to nobody.
    const socket = response.socket as TLSSocket;
    const certificateEndsMs = Date.parse(socket.getPeerCertificate().valid_to);
    const protocol = socket.getProtocol() ?? 'TLS';
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    return {
      status: response.statusCode ?? 0,
      body: parseJson(Buffer.concat(chunks), 'answer'),
      dateMs: Date.parse(response.headers.date ?? ''),
      certificateEndsMs,
      protocol,
      tookMs: session.io.clock.monotonicMs() - startedMs,
    };
  } finally {
    agent.destroy();
  }
}

function certificateFinding({ certificateEndsMs }: Probe, nowMs: number): Finding {
  const check = 'certificate';
  if (Number.isNaN(certificateEndsMs))
    return { check, result: 'skip', found: 'the certificate has no end date' };
  const left = certificateEndsMs - nowMs;
  const found = `expires in ${duration(left)}`;
  if (left > 7 * dayMs) return { check, result: 'pass', found };
  const fix =
    'A certificate of the gateway itself is renewed while it is unsealed. Replace the files of your own (--tls-certificate, --tls-key): the gateway notices.';
  return { check, result: 'warn', found, fix };
}

function clockFinding({ dateMs }: Probe, nowMs: number): Finding {
  const check = 'clock';
  if (Number.isNaN(dateMs)) return { check, result: 'skip', found: 'the gateway sends no date' };
  // The header has whole seconds.
  const skew = Math.max(0, Math.abs(nowMs - dateMs) - 1000);
  const found = `within ${duration(skew + 1000)} of the gateway`;
  if (skew < skewMsWarn) return { check, result: 'pass', found };
  const fix = 'Correct the clock of this machine or of the gateway. Is NTP running on both?';
  return { check, result: skew < skewMsFail ? 'warn' : 'fail', found, fix };
}

function readyFinding({ status, body }: Probe): Finding {
  const check = 'ready';
  if (status === 200) return { check, result: 'pass', found: 'the gateway is ready' };
  const failing = isPlainObject(body) && Array.isArray(body['failing']) ? body['failing'] : [];
  const found =
    failing.length === 0 ? `answers ${status}` : `not ready; what fails: ${failing.join(', ')}`;
  const fix = 'See the log of the gateway; `coffer status` says more.';
  return { check, result: 'fail', found, fix };
}

async function* sealAndToken(session: Session): AsyncGenerator<Finding, void, undefined> {
  const settings = await session.settings();
  const { token } = settings;
  try {
    await settings.readToken();
  } catch (error) {
    if (!isFault(error)) throw error;
    yield { check: 'token', result: 'fail', found: sentenceOf(error), fix: fixOf(error) };
    return;
  }
  try {
    const { output: seal } = await session.call('system.seal-status', {});
    if (seal.sealed) {
      const found = `sealed (${seal.kind}), ${seal.sharesGiven} of ${seal.sharesNeeded} given`;
      yield { check: 'seal', result: 'fail', found, fix: 'coffer unseal' };
      return;
    }
    yield { check: 'seal', result: 'pass', found: `unsealed (${seal.kind})` };
  } catch (error) {
    if (!isFault(error)) throw error;
    yield { check: 'seal', result: 'fail', found: sentenceOf(error), fix: fixOf(error) };
    return;
  }
  const kept = await ageOfToken(session, token.value);
  try {
    const { output: status } = await session.call('system.status', {});
    yield { check: 'token', result: 'pass', found: `accepted; ${token.from}${kept}` };
    yield versionFinding(status.version);
    yield stateFinding(status);
  } catch (error) {
    if (!isFault(error)) throw error;
    const { status } = error.spec;
    if (status === 403) {
      const found = `accepted; ${token.from}${kept}; not permitted to read the status`;
      yield { check: 'token', result: 'pass', found };
      yield { check: 'version', result: 'skip', found: 'needs the permission system.status' };
      return;
    }
    const found = token.value === 'none' ? 'there is none' : `${error.code}; ${token.from}${kept}`;
    yield { check: 'token', result: 'fail', found, fix: fixOf(error) };
  }
}

/** The hint of a gateway that does not answer is to ask this command. */
function fixOf(fault: Fault): string {
  if (fault.code !== 'gateway.unreachable') return fault.spec.hint;
  return 'Check that the gateway is running, that the address is right, and what is in between.';
}

async function ageOfToken(session: Session, path: string): Promise<string> {
  try {
    const { mtimeMs } = await stat(path);
    return `, ${duration(session.io.clock.wallMs() - mtimeMs)} old`;
  } catch {
    return '';
  }
}

function versionFinding(gateway: string): Finding {
  const client = clientVersion();
  const check = 'version';
  const found = `coffer ${client}, gateway ${gateway}`;
  const line = (version: string): string => version.split('.').slice(0, 2).join('.');
  if (line(client) === line(gateway)) return { check, result: 'pass', found };
  return { check, result: 'warn', found, fix: 'Install the same version on both sides.' };
}

function stateFinding(status: {
  readonly state: string;
  readonly weakenings: readonly string[];
  readonly nodeWeakenings: readonly {
    readonly node: string;
    readonly weakenings: readonly string[];
  }[];
}): Finding {
  const check = 'state';
  const fix = 'See `coffer status` and the log of the gateway.';
  if (status.state !== 'ready') return { check, result: 'fail', found: status.state, fix };
  const ofNodes = status.nodeWeakenings.map(
    ({ node, weakenings }) => `${node}: ${weakenings.join(', ')}`,
  );
  const all = [...status.weakenings, ...ofNodes];
  if (all.length === 0) return { check, result: 'pass', found: 'ready' };
  const found = `ready, with weakenings: ${all.join('; ')}`;
  return {
    check,
    result: 'warn',
    found,
    fix: 'docs/guides/production.md explains each weakening.',
  };
}
