/** `stream.proto`, field by field, as tables. The test beside it holds them to the generated code. */
import { message } from './wire-message.ts';

export const kubernetesFactsMessage = message({
  namespace: { number: 1, kind: 'string' },
  pod: { number: 2, kind: 'string' },
  podUid: { number: 3, kind: 'string' },
  container: { number: 4, kind: 'string' },
  serviceAccount: { number: 5, kind: 'string' },
});

export const workloadProcessMessage = message({
  pid: { number: 1, kind: 'uint32' },
  startTicks: { number: 2, kind: 'uint64' },
  mountNamespace: { number: 3, kind: 'uint64' },
  userNamespace: { number: 4, kind: 'uint64' },
  cgroup: { number: 5, kind: 'string' },
  uid: { number: 6, kind: 'uint32' },
  gid: { number: 7, kind: 'uint32' },
  userNamespaced: { number: 8, kind: 'bool' },
});

export const workloadMessage = message({
  id: { number: 1, kind: 'string' },
  runtime: { number: 2, kind: 'string' },
  containerId: { number: 3, kind: 'string' },
  name: { number: 4, kind: 'string' },
  imageReference: { number: 5, kind: 'string' },
  imageId: { number: 6, kind: 'string' },
  imageDigests: { number: 7, kind: 'string', repeated: true },
  labels: { number: 8, kind: 'map' },
  kubernetes: { number: 9, kind: kubernetesFactsMessage },
  startedAtMs: { number: 10, kind: 'uint64' },
  process: { number: 11, kind: workloadProcessMessage },
  privileged: { number: 12, kind: 'bool' },
  hostPid: { number: 13, kind: 'bool' },
  readOnlyRoot: { number: 14, kind: 'bool' },
  proof: { number: 15, kind: 'map' },
});

const heldFileMessage = message({
  name: { number: 1, kind: 'string' },
  secretId: { number: 2, kind: 'string' },
  version: { number: 3, kind: 'uint32' },
});

const heldMessage = message({
  workloadId: { number: 1, kind: 'string' },
  target: { number: 2, kind: 'string' },
  setRevision: { number: 3, kind: 'uint64' },
  files: { number: 4, kind: heldFileMessage, repeated: true },
  terms: { number: 5, kind: 'string' },
});

const fileMessage = message({
  name: { number: 1, kind: 'string' },
  secretId: { number: 2, kind: 'string' },
  version: { number: 3, kind: 'uint32' },
  mode: { number: 4, kind: 'uint32' },
  uid: { number: 5, kind: 'uint32', optional: true },
  gid: { number: 6, kind: 'uint32', optional: true },
  content: { number: 7, kind: 'bytes', optional: true },
  keep: { number: 8, kind: 'bool', optional: true },
});

const helloMessage = message({
  protocol: { number: 1, kind: 'uint32' },
  version: { number: 2, kind: 'string' },
  bootId: { number: 3, kind: 'string' },
  workloads: { number: 4, kind: workloadMessage, repeated: true },
  held: { number: 5, kind: heldMessage, repeated: true },
  checkpoint: { number: 6, kind: 'string' },
  weakenings: { number: 7, kind: 'string', repeated: true },
});

const receiptMessage = message({
  workloadId: { number: 1, kind: 'string' },
  target: { number: 2, kind: 'string' },
  setRevision: { number: 3, kind: 'uint64' },
  outcome: { number: 4, kind: 'uint32' },
  fault: { number: 5, kind: 'string' },
  files: { number: 6, kind: heldFileMessage, repeated: true },
  tookUs: { number: 7, kind: 'uint64' },
  terms: { number: 8, kind: 'string' },
});

const setAssignedMessage = message({
  workloadId: { number: 1, kind: 'string' },
  target: { number: 2, kind: 'string' },
  setRevision: { number: 3, kind: 'uint64' },
  files: { number: 4, kind: fileMessage, repeated: true },
  onChange: {
    number: 5,
    kind: message({ signals: { number: 1, kind: 'string', repeated: true } }),
  },
  keepOnLeaseLoss: { number: 6, kind: 'bool' },
  leaseMs: { number: 7, kind: 'uint32' },
  urgent: { number: 8, kind: 'bool' },
  terms: { number: 9, kind: 'string' },
});

/** One of these is there: the oneof `body`. */
export const fromEnforcerMessage = message({
  hello: { number: 1, kind: helloMessage },
  workloadStarted: { number: 2, kind: message({ workload: { number: 1, kind: workloadMessage } }) },
  workloadStopped: { number: 3, kind: message({ workloadId: { number: 1, kind: 'string' } }) },
  receipt: { number: 4, kind: receiptMessage },
  checkpointSeen: {
    number: 5,
    kind: message({
      size: { number: 1, kind: 'uint64' },
      cosignature: { number: 2, kind: 'string' },
      refused: { number: 3, kind: 'string' },
    }),
  },
  renewRequest: { number: 6, kind: message({ certificateRequest: { number: 1, kind: 'string' } }) },
  nodeHealth: {
    number: 7,
    kind: message({
      mounts: { number: 1, kind: 'uint32' },
      tampered: { number: 2, kind: 'string', repeated: true },
      weakenings: { number: 3, kind: 'string', repeated: true },
    }),
  },
  leaseSeen: { number: 8, kind: message({ serial: { number: 1, kind: 'uint64' } }) },
});

/** One of these is there: the oneof `body`. */
export const fromGatewayMessage = message({
  welcome: {
    number: 1,
    kind: message({
      protocol: { number: 1, kind: 'uint32' },
      leaseMs: { number: 2, kind: 'uint32' },
      leaseEveryMs: { number: 3, kind: 'uint32' },
      checkpointVerifier: { number: 4, kind: 'string' },
    }),
  },
  setAssigned: { number: 2, kind: setAssignedMessage },
  lease: { number: 3, kind: message({ serial: { number: 1, kind: 'uint64' } }) },
  checkpoint: {
    number: 4,
    kind: message({
      note: { number: 1, kind: 'string' },
      consistency: { number: 2, kind: 'bytes', repeated: true },
    }),
  },
  renewed: { number: 5, kind: message({ certificate: { number: 1, kind: 'string' } }) },
  refused: { number: 6, kind: message({ code: { number: 1, kind: 'string' } }) },
});

export type MessageType<M> = M extends { readonly empty: () => infer T } ? T : never;
export type WireFromEnforcer = MessageType<typeof fromEnforcerMessage>;
export type WireFromGateway = MessageType<typeof fromGatewayMessage>;
export type WireHeld = MessageType<typeof heldMessage>;
export type WireHeldFile = MessageType<typeof heldFileMessage>;
export type WireFile = MessageType<typeof fileMessage>;
export type WireReceipt = MessageType<typeof receiptMessage>;
export type WireSetAssigned = MessageType<typeof setAssignedMessage>;
export type WireWorkload = MessageType<typeof workloadMessage>;
