/**
 * Simulated enforcers: as many real mutual-TLS streams as asked for, each with workloads that exist only
 * in what it says. Acknowledges every set at once, or holds the receipts until they are released. Started
 * by `fleet.ts`.
 *
 * usage: fleet-program.ts <file of identities> <address> <workloads on each> [hold]
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { systemClock as clock } from '../src/base/clock.ts';
import type { HeldFile } from '../src/model/assignment.ts';
import type { WorkloadFacts } from '../src/model/workload.ts';
import {
  decodeFromGateway,
  encodeFromEnforcer,
  streamProtocol,
} from '../src/protocol/stream-messages.ts';
import { webSocketLink } from '../src/wire/web-socket-link.ts';
import type { FromFleet, ToFleet } from './fleet-messages.ts';
import { fakeWorkload } from './fleet-workload.ts';

interface FleetFile {
  readonly authority: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly certificate: string;
    readonly key: string;
  }[];
}

const [path = '', address = '', workloadsEach = '1', mode] = process.argv.slice(2);
const file = JSON.parse(readFileSync(path, 'utf8')) as FleetFile;
/** Handshakes at once: more only queue, on two cores. */
const together = 64;
let received = 0;
let wanted = Number.POSITIVE_INFINITY;
let held: (() => void)[] = [];

function arrived(): void {
  if (received < wanted) return;
  wanted = Number.POSITIVE_INFINITY;
  say({ kind: 'arrived' });
}

function say(message: FromFleet): void {
  process.send?.(message);
}

function connect(node: FleetFile['nodes'][number]): Promise<void> {
  const workloads = Array.from({ length: Number(workloadsEach) }, (_, index) =>
    fakeWorkload(node.name, index),
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const tls = {
    cert: node.certificate,
    key: node.key,
    ca: file.authority,
    checkServerIdentity: () => undefined,
  };
  const socket = new WebSocket(`wss://${address}/v1/stream`, {
    ...(tls as object),
    perMessageDeflate: false,
  });
  socket.on('error', reject);
  let stream: Socket | undefined;
  socket.once('upgrade', (response) => (stream = response.socket));
  socket.on('open', () => {
    talk(socket, stream, workloads);
    resolve();
  });
  return promise;
}

function talk(
  socket: WebSocket,
  stream: Socket | undefined,
  workloads: readonly WorkloadFacts[],
): void {
  const link = webSocketLink(socket, { joins: stream });
  link.open({
    message(bytes) {
      const message = decodeFromGateway(bytes);
      if (message?.kind === 'lease') {
        link.send(encodeFromEnforcer({ kind: 'lease-seen', serial: message.serial }));
      } else if (message?.kind === 'assign') {
        const { workloadId, target, setRevision, terms } = message.set;
        const files = message.set.files.map(({ name, secretId, version, content }): HeldFile => {
          if (content !== 'keep') content[Symbol.dispose]();
          return { name, secretId, version };
        });
        received += 1;
        const outcome = files.length === 0 ? 'gone' : 'placed';
        const receipt = {
          workloadId,
          target,
          setRevision,
          files,
          terms,
          outcome,
          fault: '',
          tookUs: 1,
        } as const;
        const answer = (): void => link.send(encodeFromEnforcer({ kind: 'receipt', receipt }));
        if (mode === 'hold') held.push(answer);
        else answer();
        arrived();
      }
    },
    closed(reason) {
      if (reason !== 'closed') process.stderr.write(`stream ended: ${reason}\n`);
    },
  });
  const about = {
    protocol: streamProtocol,
    version: 'fleet',
    bootId: 'fleet',
    checkpoint: '',
    weakenings: [],
  };
  link.send(encodeFromEnforcer({ kind: 'hello', ...about, workloads, held: [] }));
}

for (let at = 0; at < file.nodes.length; at += together) {
  await Promise.all(file.nodes.slice(at, at + together).map(connect));
}
process.on('message', (message: ToFleet) => {
  if (message.kind === 'until') {
    wanted = message.sets;
    arrived();
  } else {
    for (const answer of held) answer();
    held = [];
  }
});
say({ kind: 'connected' });
process.on('disconnect', () => process.exit(0));
for (;;) {
  await clock.sleep(1000);
  if (process.env['FLEET_VERBOSE']) process.stderr.write(`fleet received ${received}\n`);
}
