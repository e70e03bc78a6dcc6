/**
 * The node stream's messages as the rest of the house knows them: plain data and `SecretValue`s on
 * one side, protobuf bytes on the other. The only file that touches the generated code.
 *
 * Decoding is strict where it matters: names, ids, revisions and bounds are checked here, so that a
 * broken or hostile peer is a fault at the border.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
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
  type FromEnforcer as WireFromEnforcer,
  FromEnforcerSchema,
  type FromGateway as WireFromGateway,
  FromGatewaySchema,
  type HeldFile as WireHeldFile,
  type Held as WireHeld,
  type File as WireFile,
  Receipt_Outcome as WireOutcome,
  type SetAssigned as WireSetAssigned,
  type Receipt as WireReceipt,
} from './stream_pb.ts';
import { workloadFromWire, workloadToWire } from './stream-workload.ts';

export const streamProtocol = 1;

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

const outcomes: Readonly<Record<ReceiptOutcome, WireOutcome>> = {
  placed: WireOutcome.PLACED,
  gone: WireOutcome.GONE,
  failed: WireOutcome.FAILED,
  stale: WireOutcome.STALE,
  wiped: WireOutcome.WIPED,
};

/** What `Held` and `Receipt` have in common. */
interface HeldInit {
  workloadId: string;
  target: string;
  setRevision: bigint;
  files: { name: string; secretId: string; version: number }[];
  terms: string;
}

type EnforcerBody = NonNullable<MessageInitShape<typeof FromEnforcerSchema>['body']>;
type GatewayBody = NonNullable<MessageInitShape<typeof FromGatewaySchema>['body']>;

export function encodeFromEnforcer(message: FromEnforcer): Uint8Array {
  return toBinary(FromEnforcerSchema, create(FromEnforcerSchema, { body: enforcerBody(message) }));
}

/** The result holds values when an assignment does: whoever sends it wipes it (`Link.send`). */
export function encodeFromGateway(message: FromGateway): Uint8Array {
  return toBinary(FromGatewaySchema, create(FromGatewaySchema, { body: gatewayBody(message) }));
}

/** @returns undefined for a body from a newer peer. @throws Fault `stream.malformed` */
export function decodeFromEnforcer(bytes: Uint8Array): FromEnforcer | undefined {
  return guarded(() => readFromEnforcer(fromBinary(FromEnforcerSchema, bytes)));
}

/** @returns undefined for a body from a newer peer. @throws Fault `stream.malformed` */
export function decodeFromGateway(bytes: Uint8Array): FromGateway | undefined {
  return guarded(() => readFromGateway(fromBinary(FromGatewaySchema, bytes)));
}

function enforcerBody(message: FromEnforcer): EnforcerBody {
  switch (message.kind) {
    case 'hello':
      return {
        case: 'hello',
        value: {
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
      return { case: 'workloadStarted', value: { workload: workloadToWire(message.workload) } };
    case 'workload-stopped':
      return { case: 'workloadStopped', value: { workloadId: message.workloadId } };
    case 'receipt': {
      const { receipt } = message;
      return {
        case: 'receipt',
        value: {
          ...heldToWire(receipt),
          outcome: outcomes[receipt.outcome],
          fault: receipt.fault,
          tookUs: BigInt(receipt.tookUs),
        },
      };
    }
    case 'checkpoint-seen':
      return {
        case: 'checkpointSeen',
        value: {
          size: BigInt(message.size),
          cosignature: message.cosignature,
          refused: message.refused,
        },
      };
    case 'renew':
      return { case: 'renewRequest', value: { certificateRequest: message.certificateRequest } };
    case 'health':
      return {
        case: 'nodeHealth',
        value: {
          mounts: message.mounts,
          tampered: [...message.tampered],
          weakenings: [...message.weakenings],
        },
      };
    case 'lease-seen':
      return { case: 'leaseSeen', value: { serial: BigInt(message.serial) } };
  }
}

function gatewayBody(message: FromGateway): GatewayBody {
  switch (message.kind) {
    case 'welcome': {
      const { protocol, leaseMs, leaseEveryMs, checkpointVerifier } = message;
      return { case: 'welcome', value: { protocol, leaseMs, leaseEveryMs, checkpointVerifier } };
    }
    case 'assign': {
      const { set } = message;
      return {
        case: 'setAssigned',
        value: {
          workloadId: set.workloadId,
          target: set.target,
          setRevision: BigInt(set.setRevision),
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
      return { case: 'lease', value: { serial: BigInt(message.serial) } };
    case 'checkpoint':
      return {
        case: 'checkpoint',
        value: { note: message.note, consistency: [...message.consistency] },
      };
    case 'renewed':
      return { case: 'renewed', value: { certificate: message.certificate } };
    case 'refused':
      return { case: 'refused', value: { code: message.code } };
  }
}

function fileToWire(file: AssignedFile): Omit<WireFile, '$typeName' | '$unknown'> {
  const { name, secretId, version, mode, content } = file;
  return {
    name,
    secretId,
    version,
    mode,
    ...(file.uid === undefined ? {} : { uid: file.uid }),
    ...(file.gid === undefined ? {} : { gid: file.gid }),
    source:
      content === 'keep'
        ? { case: 'keep', value: true }
        : // Lent, not copied: `toBinary` copies it into the message before this call returns.
          { case: 'content', value: content.use((bytes) => bytes) },
  };
}

function heldToWire(held: HeldSet): HeldInit {
  return {
    workloadId: held.workloadId,
    target: held.target,
    setRevision: BigInt(held.setRevision),
    files: held.files.map(({ name, secretId, version }) => ({ name, secretId, version })),
    terms: held.terms,
  };
}

function readFromEnforcer(wire: WireFromEnforcer): FromEnforcer | undefined {
  const { body } = wire;
  switch (body.case) {
    case 'hello': {
      const hello = body.value;
      bounded(hello.workloads.length, limits.workloadsPerNodeMax);
      bounded(hello.held.length, limits.workloadsPerNodeMax);
      return {
        kind: 'hello',
        protocol: hello.protocol,
        version: short(hello.version),
        bootId: short(hello.bootId),
        workloads: hello.workloads.map(workloadFromWire),
        held: hello.held.map(heldFromWire),
        checkpoint: hello.checkpoint,
        weakenings: hello.weakenings.slice(0, 32).map(short),
      };
    }
    case 'workloadStarted':
      if (!body.value.workload) throw malformed('workload');
      return { kind: 'workload-started', workload: workloadFromWire(body.value.workload) };
    case 'workloadStopped':
      return { kind: 'workload-stopped', workloadId: short(body.value.workloadId) };
    case 'receipt':
      return { kind: 'receipt', receipt: receiptFromWire(body.value) };
    case 'checkpointSeen':
      return {
        kind: 'checkpoint-seen',
        size: whole(body.value.size),
        cosignature: short(body.value.cosignature),
        refused: short(body.value.refused),
      };
    case 'renewRequest':
      return { kind: 'renew', certificateRequest: body.value.certificateRequest };
    case 'nodeHealth':
      return {
        kind: 'health',
        mounts: body.value.mounts,
        tampered: body.value.tampered.slice(0, limits.workloadsPerNodeMax).map(short),
        weakenings: body.value.weakenings.slice(0, 32).map(short),
      };
    case 'leaseSeen':
      return { kind: 'lease-seen', serial: whole(body.value.serial) };
    case undefined:
      return undefined;
  }
}

function readFromGateway(wire: WireFromGateway): FromGateway | undefined {
  const { body } = wire;
  switch (body.case) {
    case 'welcome': {
      const { protocol, leaseMs, leaseEveryMs, checkpointVerifier } = body.value;
      return { kind: 'welcome', protocol, leaseMs, leaseEveryMs, checkpointVerifier };
    }
    case 'setAssigned':
      return { kind: 'assign', set: assignedFromWire(body.value) };
    case 'lease':
      return { kind: 'lease', serial: whole(body.value.serial) };
    case 'checkpoint':
      return { kind: 'checkpoint', note: body.value.note, consistency: body.value.consistency };
    case 'renewed':
      return { kind: 'renewed', certificate: body.value.certificate };
    case 'refused':
      return { kind: 'refused', code: short(body.value.code) };
    case undefined:
      return undefined;
  }
}

function assignedFromWire(wire: WireSetAssigned): AssignedSet {
  bounded(wire.files.length, limits.setFilesMax);
  return {
    workloadId: short(wire.workloadId),
    target: short(wire.target),
    setRevision: whole(wire.setRevision),
    files: wire.files.map((file) => ({
      ...heldFileFromWire(file),
      mode: file.mode,
      ...(file.uid === undefined ? {} : { uid: file.uid }),
      ...(file.gid === undefined ? {} : { gid: file.gid }),
      content: file.source.case === 'content' ? takeContent(file.source.value) : 'keep',
    })),
    signals: (wire.onChange?.signals ?? []).filter((name): name is SignalName =>
      (signals as readonly string[]).includes(name),
    ),
    keepOnLeaseLoss: wire.keepOnLeaseLoss,
    leaseMs: wire.leaseMs,
    urgent: wire.urgent,
    terms: short(wire.terms),
  };
}

/** Moves the bytes into memory that can be wiped, and wipes what the decoder made. */
function takeContent(content: Uint8Array): SecretValue {
  bounded(content.length, limits.secretValueBytesMax);
  const own = allocate(content.length);
  own.set(content);
  content.fill(0);
  return SecretValue.own(own);
}

function receiptFromWire(wire: WireReceipt): SetReceipt {
  const outcome = (Object.keys(outcomes) as ReceiptOutcome[]).find(
    (name) => outcomes[name] === wire.outcome,
  );
  if (!outcome) throw malformed('outcome');
  return { ...heldFromWire(wire), outcome, fault: short(wire.fault), tookUs: whole(wire.tookUs) };
}

function heldFromWire(
  wire: Pick<WireHeld, 'workloadId' | 'target' | 'setRevision' | 'files' | 'terms'>,
): HeldSet {
  bounded(wire.files.length, limits.setFilesMax);
  return {
    workloadId: short(wire.workloadId),
    target: short(wire.target),
    setRevision: whole(wire.setRevision),
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

function malformed(what: string): Fault {
  return new Fault('stream.malformed', { what });
}

function bounded(count: number, max: number): void {
  if (count > max) throw malformed('too many');
}

function short(text: string): string {
  if (text.length > 512) throw malformed('text too long');
  return text;
}

function whole(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw malformed('number too large');
  return number;
}
