/**
 * Ports for programs that have to be told theirs before they start, or get it back after they were killed.
 *
 * Not of those that the kernel gives out by itself: what is dialled meanwhile, on this machine or from it,
 * would be given one of them at times.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { systemRandom } from '../base/random.ts';

const portMin = 10_000;
const triesMax = 100;

/** Below all that the kernel gives out. */
function portLimit(): number {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  return Math.max(Number(range.split(/\s/, 1)[0]), portMin + 1000);
}

/** @returns Different ones on which nobody listens. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  try {
    for (let tries = 0; ports.length < count; tries += 1) {
      if (tries === triesMax) throw new Error('there is no free port');
      const port = portMin + systemRandom.integer(portLimit() - portMin);
      const server = createServer().listen(port, '127.0.0.1');
      if (!(await listens(server))) continue;
      servers.push(server);
      ports.push(port);
    }
    return ports;
  } finally {
    await Promise.all(servers.map((server) => once(server.close(), 'close')));
  }
}

async function listens(server: Server): Promise<boolean> {
  try {
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  }
}
