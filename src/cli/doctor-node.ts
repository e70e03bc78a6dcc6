/**
 * Checks of what an enforcer needs on its machine. They only look: nothing is mounted, no namespace is
 * entered; a kernel is asked which calls it knows by making them on nothing.
 */
import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { isFault, sentenceOf } from '../base/fault.ts';
import { swapAreas } from '../base/swap-areas.ts';
import { agreeOnEngineApi } from '../wire/engine-api.ts';
import { UnixHttp } from '../wire/unix-http.ts';
import type { Finding } from './doctor-command.ts';
import type { Session } from './session.ts';

export interface NodePlaces {
  readonly socket: string;
  readonly state: string;
}

/** Of tmpfs with noswap. */
const noswapSince = [6, 4] as const;
const sysAdminBit = 21n;
const engineTimeoutMs = 5_000;

export async function isNode({ state }: NodePlaces): Promise<boolean> {
  return await stat(state).then(
    () => true,
    // It is there, and not ours to look into.
    (error: NodeJS.ErrnoException) => error.code === 'EACCES',
  );
}

export async function* nodeChecks(
  session: Session,
  places: NodePlaces,
): AsyncGenerator<Finding, void, undefined> {
  yield await kernelFinding();
  yield await swapFinding();
  yield await namespaceFinding();
  yield await capabilityFinding();
  yield await selinuxFinding();
  yield await engineFinding(session, places.socket);
  yield await stateFinding(places.state);
}

async function kernelFinding(): Promise<Finding> {
  const check = 'kernel';
  if (process.platform !== 'linux') {
    const fix = 'The enforcer needs Linux namespaces. Run it on Linux.';
    return { check, result: 'fail', found: process.platform, fix };
  }
  const { missingCalls } = await import('../linux/libc.ts');
  const missing = missingCalls();
  const found = `Linux ${release()}`;
  if (missing.length === 0)
    return { check, result: 'pass', found: `${found} has every system call that is needed` };
  const fix = 'Linux 5.12 or later is needed; 6.4 or later where swap is on.';
  return { check, result: 'fail', found: `${found} lacks ${missing.join(', ')}`, fix };
}

async function swapFinding(): Promise<Finding> {
  const check = 'swap';
  if (await hasNoswap()) {
    return { check, result: 'pass', found: 'tmpfs can be kept out of swap (noswap)' };
  }
  const areas = swapAreas(await readFile('/proc/swaps', 'utf8').catch(() => '')).length;
  if (areas === 0) return { check, result: 'pass', found: 'there is no swap' };
  const fix = 'Use Linux 6.4 or later, or turn swap off: swapoff -a.';
  return { check, result: 'fail', found: `${areas} swap areas, and tmpfs has no noswap`, fix };
}

/** Some distributions brought it to older kernels. Only root can ask. */
async function hasNoswap(): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  const { kernelHasNoswap } = await import('../linux/tmpfs.ts');
  try {
    return kernelHasNoswap();
  } catch {
    const [major = 0, minor = 0] = release().split(/[.-]/).map(Number);
    return major > noswapSince[0] || (major === noswapSince[0] && minor >= noswapSince[1]);
  }
}

async function namespaceFinding(): Promise<Finding> {
  const check = 'namespaces';
  const there = await stat('/proc/self/ns/mnt').then(
    () => true,
    () => false,
  );
  if (there) return { check, result: 'pass', found: 'mount namespaces' };
  const fix = 'The kernel lacks CONFIG_NAMESPACES, or /proc is not mounted.';
  return { check, result: 'fail', found: 'no mount namespaces', fix };
}

async function capabilityFinding(): Promise<Finding> {
  const check = 'capabilities';
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (hex === undefined) return { check, result: 'skip', found: 'the capabilities cannot be read' };
  if (((BigInt(`0x${hex}`) >> sysAdminBit) & 1n) === 1n) {
    return { check, result: 'pass', found: 'CAP_SYS_ADMIN' };
  }
  const fix = 'The enforcer needs root. Run this check as root, too: use sudo.';
  return { check, result: 'warn', found: 'no CAP_SYS_ADMIN', fix };
}

/** Mounts would be made, and their files shown to nobody. */
async function selinuxFinding(): Promise<Finding> {
  const check = 'selinux';
  const mode = await readFile('/sys/fs/selinux/enforce', 'utf8').catch(() => '');
  if (mode.trim() !== '1') return { check, result: 'pass', found: 'SELinux is not enforcing' };
  const fix =
    'Containers under SELinux may not read what is mounted for them. Not supported yet: use another node.';
  return { check, result: 'fail', found: 'SELinux is enforcing', fix };
}

async function engineFinding(session: Session, socketPath: string): Promise<Finding> {
  const check = 'engine';
  const engine = new UnixHttp({
    socketPath,
    clock: session.io.clock,
    timeoutMs: engineTimeoutMs,
    bodyBytesMax: 65_536,
  });
  try {
    const reply = await engine.send({ method: 'GET', path: '/version', signal: session.signal });
    const said = JSON.parse(reply.body.toString('utf8')) as Readonly<Record<string, string>>;
    const {
      Version: version = 'unknown',
      ApiVersion: api = '0',
      MinAPIVersion: oldest = '0',
    } = said;
    const found = `${socketPath}: version ${version}, API ${agreeOnEngineApi({ api, oldest })}`;
    return { check, result: 'pass', found };
  } catch (error) {
    if (isFault(error)) {
      const found = `${socketPath}: ${sentenceOf(error)}`;
      return { check, result: 'fail', found, fix: error.spec.hint };
    }
    const problem = (error as NodeJS.ErrnoException).code ?? 'answers something else';
    const fix = `Start the engine, give this user access to ${socketPath}, or name it with --engine-socket.`;
    return { check, result: 'fail', found: `${socketPath}: ${problem}`, fix };
  }
}

async function stateFinding(path: string): Promise<Finding> {
  const check = 'enforcer';
  try {
    const { mode } = await stat(path);
    const found = `${path}, mode ${(mode & 0o777).toString(8)}`;
    if ((mode & 0o077) === 0)
      return { check, result: 'pass', found: `joined or joining: ${found}` };
    return { check, result: 'fail', found, fix: `chmod 700 ${path}` };
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') return { check, result: 'skip', found: `you cannot read ${path}` };
    const fix = 'coffer node token NAME, then on this node: coffer enforcer --join-token-file FILE';
    return { check, result: 'warn', found: `${path}: ${code}; this node has not joined`, fix };
  }
}
