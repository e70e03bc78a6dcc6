/**
 * The node stream's messages as the rest of the house knows them: plain data and `SecretValue`s on
 * one side, protobuf bytes on the other.
 *
 * Decoding is strict where it matters: names, ids, revisions and bounds are checked here, so that a
 * broken or hostile peer is a fault at the border.
 */
import { allocate } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import type {
  AssignedFile,
  AssignedSet,
  HeldFile,
  HeldSet,
  ReceiptOutcome,
  SetReceipt,
} from '../model/assignment.ts';
import { type SignalName, signals } from '../model/grant.ts';
import { parseId } from '../model/id.ts';
import { parseName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import {
  fromEnforcerMessage,
  fromGatewayMessage,
  type WireFile,
  type WireFromEnforcer,
  type WireFromGateway,
  type WireHeld,
  type WireHeldFile,
  type WireReceipt,
  type WireSetAssigned,
} from './stream-schema.ts';
import { workloadFromWire, workloadToWire } from './stream-workload.ts';
import { decode, encode } from './wire-message.ts';

export const streamProtocol = 1;

/** A checkpoint with cosignatures, a certificate request, a certificate. */
const noteCharsMax = 64 * 1024;
const pemCharsMax = 16 * 1024;

export type FromEnforcer =
  | {
      readonly kind: 'hello';
      readonly protocol: number;
      readonly version: string;
      readonly bootId: string;
      readonly workloads: readonly WorkloadFacts[];
      readonly held: readonly HeldSet[];
      readonly checkpoint: string;
      readonly weakenings: readonly string[];
    }
  | { readonly kind: 'workload-started'; readonly workload: WorkloadFacts }
  | { readonly kind: 'workload-stopped'; readonly workloadId: string }
  | { readonly kind: 'receipt'; readonly receipt: SetReceipt }
  | {
      readonly kind: 'checkpoint-seen';
      readonly size: number;
      readonly cosignature: string;
      readonly refused: string;
    }
  | { readonly kind: 'renew'; readonly certificateRequest: string }
  | {
      readonly kind: 'health';
      readonly mounts: number;
      readonly tampered: readonly string[];
      readonly weakenings: readonly string[];
    }
  | { readonly kind: 'lease-seen'; readonly serial: number };

export type FromGateway =
  | {
      readonly kind: 'welcome';
      readonly protocol: number;
      readonly leaseMs: number;
      readonly leaseEveryMs: number;
      readonly checkpointVerifier: string;
    }
  | { readonly kind: 'assign'; readonly set: AssignedSet }
  | { readonly kind: 'lease'; readonly serial: number }
  | {
      readonly kind: 'checkpoint';
      readonly note: string;
      readonly consistency: readonly Uint8Array[];
    }
  | { readonly kind: 'renewed'; readonly certificate: string }
  | { readonly kind: 'refused'; readonly code: string };

/** As in the enumeration `Receipt.Outcome`. */
const outcomes: Readonly<Record<ReceiptOutcome, number>> = {
  placed: 1,
  gone: 2,
  failed: 3,
  stale: 4,
  wiped: 5,
};
const outcomeOfNumber = new Map(
  Object.entries(outcomes).map(([name, number]) => [number, name as ReceiptOutcome]),
);

export function encodeFromEnforcer(message: FromEnforcer): Uint8Array {
  return encode(fromEnforcerMessage, enforcerBody(message));
}

/** The result holds values when an assignment does: whoever sends it wipes it (`Link.send`). */
export function encodeFromGateway(message: FromGateway): Uint8Array {
  return encode(fromGatewayMessage, gatewayBody(message));
}

/** @returns undefined for a body from a newer peer. @throws Fault `stream.malformed` */
export function decodeFromEnforcer(bytes: Uint8Array): FromEnforcer | undefined {
  return guarded(() => readFromEnforcer(oneBody(decode(fromEnforcerMessage, bytes))));
}

/** @returns undefined for a body from a newer peer. @throws Fault `stream.malformed` */
export function decodeFromGateway(bytes: Uint8Array): FromGateway | undefined {
  return guarded(() => readFromGateway(oneBody(decode(fromGatewayMessage, bytes))));
}

function enforcerBody(message: FromEnforcer): WireFromEnforcer {
  switch (message.kind) {
    case 'hello':
      return {
        hello: {
          protocol: message.protocol,
          version: message.version,
          bootId: message.bootId,
          workloads: message.workloads.map(workloadToWire),
          held: message.held.map(heldToWire),
          checkpoint: message.checkpoint,
          weakenings: [...message.weakenings],
        },
      };
    case 'workload-started':
      return { workloadStarted: { workload: workloadToWire(message.workload) } };
    case 'workload-stopped':
      return { workloadStopped: { workloadId: message.workloadId } };
    case 'receipt': {
      const { receipt } = message;
      return {
        receipt: {
          ...heldToWire(receipt),
          outcome: outcomes[receipt.outcome],
          fault: receipt.fault,
          tookUs: receipt.tookUs,
        },
      };
    }
    case 'checkpoint-seen':
      return {
        checkpointSeen: {
          size: message.size,
          cosignature: message.cosignature,
          refused: message.refused,
        },
      };
    case 'renew':
      return { renewRequest: { certificateRequest: message.certificateRequest } };
    case 'health':
      return {
        nodeHealth: {
          mounts: message.mounts,
          tampered: [...message.tampered],
          weakenings: [...message.weakenings],
        },
      };
    case 'lease-seen':
      return { leaseSeen: { serial: message.serial } };
  }
}

function gatewayBody(message: FromGateway): WireFromGateway {
  switch (message.kind) {
    case 'welcome': {
      const { protocol, leaseMs, leaseEveryMs, checkpointVerifier } = message;
      return { welcome: { protocol, leaseMs, leaseEveryMs, checkpointVerifier } };
    }
    case 'assign': {
      const { set } = message;
      return {
        setAssigned: {
          workloadId: set.workloadId,
          target: set.target,
          setRevision: set.setRevision,
          files: set.files.map(fileToWire),
          onChange: { signals: [...set.signals] },
          keepOnLeaseLoss: set.keepOnLeaseLoss,
          leaseMs: set.leaseMs,
          urgent: set.urgent,
          terms: set.terms,
        },
      };
    }
    case 'lease':
      return { lease: { serial: message.serial } };
    case 'checkpoint':
      return { checkpoint: { note: message.note, consistency: [...message.consistency] } };
    case 'renewed':
      return { renewed: { certificate: message.certificate } };
    case 'refused':
      return { refused: { code: message.code } };
  }
}

function fileToWire(file: AssignedFile): WireFile {
  const { name, secretId, version, mode, content } = file;
  return {
    name,
    secretId,
    version,
    mode,
    ...(file.uid === undefined ? {} : { uid: file.uid }),
    ...(file.gid === undefined ? {} : { gid: file.gid }),
    // Lent, not copied: `encode` copies it into the message before this call's caller returns.
    ...(content === 'keep' ? { keep: true } : { content: content.use((bytes) => bytes) }),
  };
}

function heldToWire(held: HeldSet): WireHeld {
  const { workloadId, target, setRevision, terms } = held;
  const files = held.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
  return { workloadId, target, setRevision, files, terms };
}

function readFromEnforcer(wire: WireFromEnforcer): FromEnforcer | undefined {
  if (wire.receipt) return { kind: 'receipt', receipt: receiptFromWire(wire.receipt) };
  if (wire.leaseSeen) return { kind: 'lease-seen', serial: wire.leaseSeen.serial };
  if (wire.workloadStarted) {
    const { workload } = wire.workloadStarted;
    if (!workload) throw malformed('workload');
    return { kind: 'workload-started', workload: workloadFromWire(workload) };
  }
  if (wire.workloadStopped) {
    return { kind: 'workload-stopped', workloadId: short(wire.workloadStopped.workloadId) };
  }
  if (wire.nodeHealth) {
    const { mounts, tampered, weakenings } = wire.nodeHealth;
    bounded(tampered.length, limits.workloadsPerNodeMax);
    bounded(weakenings.length, limits.weakeningsMax);
    return {
      kind: 'health',
      mounts,
      tampered: tampered.map(short),
      weakenings: weakenings.map(short),
    };
  }
  if (wire.checkpointSeen) {
    const { size, cosignature, refused } = wire.checkpointSeen;
    return {
      kind: 'checkpoint-seen',
      size,
      cosignature: short(cosignature),
      refused: short(refused),
    };
  }
  if (wire.renewRequest) {
    return {
      kind: 'renew',
      certificateRequest: within(wire.renewRequest.certificateRequest, pemCharsMax),
    };
  }
  if (wire.hello) return helloFromWire(wire.hello);
  return undefined;
}

function helloFromWire(hello: NonNullable<WireFromEnforcer['hello']>): FromEnforcer {
  bounded(hello.workloads.length, limits.workloadsPerNodeMax);
  bounded(hello.held.length, limits.workloadsPerNodeMax);
  bounded(hello.weakenings.length, limits.weakeningsMax);
  return {
    kind: 'hello',
    protocol: hello.protocol,
    version: short(hello.version),
    bootId: short(hello.bootId),
    workloads: hello.workloads.map(workloadFromWire),
    held: hello.held.map(heldFromWire),
    checkpoint: within(hello.checkpoint, noteCharsMax),
    weakenings: hello.weakenings.map(short),
  };
}

function readFromGateway(wire: WireFromGateway): FromGateway | undefined {
  if (wire.setAssigned) return { kind: 'assign', set: assignedFromWire(wire.setAssigned) };
  if (wire.lease) return { kind: 'lease', serial: wire.lease.serial };
  if (wire.checkpoint) return { kind: 'checkpoint', ...wire.checkpoint };
  if (wire.welcome) return { kind: 'welcome', ...wire.welcome };
  if (wire.renewed) return { kind: 'renewed', certificate: wire.renewed.certificate };
  if (wire.refused) return { kind: 'refused', code: short(wire.refused.code) };
  return undefined;
}

function assignedFromWire(wire: WireSetAssigned): AssignedSet {
  bounded(wire.files.length, limits.setFilesMax);
  const files: AssignedFile[] = [];
  try {
    for (const file of wire.files) files.push(assignedFileFromWire(file));
    return {
      workloadId: short(wire.workloadId),
      target: short(wire.target),
      setRevision: wire.setRevision,
      files,
      signals: (wire.onChange?.signals ?? []).filter((name): name is SignalName =>
        (signals as readonly string[]).includes(name),
      ),
      keepOnLeaseLoss: wire.keepOnLeaseLoss,
      leaseMs: wire.leaseMs,
      urgent: wire.urgent,
      terms: short(wire.terms),
    };
  } catch (error) {
    for (const { content } of files) if (content !== 'keep') content[Symbol.dispose]();
    throw error;
  }
}

function assignedFileFromWire(file: WireFile): AssignedFile {
  return {
    ...heldFileFromWire(file),
    mode: file.mode,
    ...(file.uid === undefined ? {} : { uid: file.uid }),
    ...(file.gid === undefined ? {} : { gid: file.gid }),
    content: contentFromWire(file),
  };
}

/** Moves the bytes into memory that can be wiped; the link wipes the frame that they came in. */
function contentFromWire({ content, keep }: WireFile): SecretValue | 'keep' {
  if (keep === true && content === undefined) return 'keep';
  if (content === undefined || keep !== undefined) throw malformed('content');
  bounded(content.length, limits.secretValueBytesMax);
  const own = allocate(content.length);
  own.set(content);
  return SecretValue.own(own);
}

function receiptFromWire(wire: WireReceipt): SetReceipt {
  const outcome = outcomeOfNumber.get(wire.outcome);
  if (!outcome) throw malformed('outcome');
  return { ...heldFromWire(wire), outcome, fault: short(wire.fault), tookUs: wire.tookUs };
}

function heldFromWire(
  wire: Pick<WireHeld, 'workloadId' | 'target' | 'setRevision' | 'files' | 'terms'>,
): HeldSet {
  bounded(wire.files.length, limits.setFilesMax);
  return {
    workloadId: short(wire.workloadId),
    target: short(wire.target),
    setRevision: wire.setRevision,
    files: wire.files.map(heldFileFromWire),
    terms: short(wire.terms),
  };
}

function heldFileFromWire(wire: Pick<WireHeldFile, 'name' | 'secretId' | 'version'>): HeldFile {
  return {
    name: parseName(wire.name),
    secretId: parseId('secret', wire.secretId),
    version: wire.version,
  };
}

function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Fault && error.code === 'stream.malformed') throw error;
    // The decoder's own message may quote the bytes: it stays here.
    throw malformed('message');
  }
}

/** The bodies are a oneof: of two, each reader could take another. */
function oneBody<T extends object>(wire: T): T {
  bounded(Object.keys(wire).length, 1);
  return wire;
}

function malformed(what: string): Fault {
  return new Fault('stream.malformed', { what });
}

function bounded(count: number, max: number): void {
  if (count > max) throw malformed('too many');
}

/** Codes, ids and places. */
function short(text: string): string {
  return within(text, 512);
}

function within(text: string, charsMax: number): string {
  if (text.length > charsMax) throw malformed('text too long');
  return text;
}
