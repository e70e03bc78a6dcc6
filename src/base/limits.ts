/**
 * The bounds that several parts of the product keep to, or that people meet: each with its unit in its name
 * and its reason beside it, and said nowhere else.
 *
 * What bounds the inner workings of one file stands in that file. So do the timeouts and rates of the HTTPS
 * listener, which tests set apart: `gateway/http/http-options.ts`.
 */

export const limits = {
  /** One value. Kubernetes allows 1 MiB, Swarm 500 KiB; keys, certificates and passwords are far below. */
  secretValueBytesMax: 64 * 1024,
  /** Versions kept per secret; the oldest that is neither current nor previous is destroyed first. */
  secretVersionsMax: 32,
  /** A name segment: RFC 1123 label length plus one, so that host names fit. */
  nameSegmentCharsMax: 64,
  /** Organisation, team, system, environment and part, with room to spare. */
  nameSegmentsMax: 8,
  /** Labels are for choosing by, not for keeping documents in. */
  labelsMax: 32,
  labelValueCharsMax: 256,
  /** Files delivered to one workload, so that one set fits one stream frame and one small tmpfs. */
  setFilesMax: 128,
  setBytesMax: 1024 * 1024,
  /** How long a replaced value stays readable for readers who hold the old directory open. */
  replacedValueGraceMs: 250,
  /** A batch of mount commands takes milliseconds; past this the thread is held by something. */
  mountAnswerMsMax: 10_000,
  /** A node that has had nothing to do for this long gives back memory: not between two rotations. */
  lullMs: 5_000,
  /** HTTP: a value plus headers' worth of slack; documents (apply) have their own bound. */
  httpBodyBytesMax: 256 * 1024,
  httpHeaderBytesMax: 16 * 1024,
  applyBodyBytesMax: 4 * 1024 * 1024,
  /** Several times what any of our inputs has; what is beyond is not looked at. */
  jsonDepthMax: 32,
  jsonKeysMax: 10_000,
  /** Members and list items of one applied document: 20,000 groups and grants of a dozen members. */
  applyJsonNodesMax: 300_000,
  /** One message on the node stream: a set at its largest plus its envelope. */
  streamFrameBytesMax: 2 * 1024 * 1024,
  /** Containers on one node; Kubernetes stops at 110 by default, dense Docker hosts at several hundred. */
  workloadsPerNodeMax: 4096,
  /**
   * Text that one node may have the gateway remember: 4,096 containers with 8 KiB of facts each. Two or three
   * KiB are usual.
   */
  nodeMemoryCharsMax: 32 * 1024 * 1024,
  /** Lists: what a person reads at once, and what one answer may cost. */
  pageItemsDefault: 50,
  pageItemsMax: 500,
  /** Batches that share one fsync. Bounds the time a commit holds the loop. */
  commitGroupMax: 512,
  /** Audit entries, and bytes written, that share one fsync: one bundle stays one row. */
  commitGroupEntriesMax: 8192,
  commitGroupBytesMax: 8 * 1024 * 1024,
  /** What one request may write, sealed: several times the largest apply there can be. */
  commitRequestBytesMax: 64 * 1024 * 1024,
  /** Commits that wait. At 5,000 a second, three seconds; more is refused as busy. */
  commitQueueMax: 16_384,
  /** How long a node may keep secrets without hearing from the gateway; also the outage budget. */
  leaseMsDefault: 10 * 60_000,
  /** Shorter, and a slow moment of the gateway would wipe. */
  leaseMsMin: 5_000,
  /** As long as a node may go on without a new certificate. */
  leaseMsMax: 24 * 3_600_000,
  /** One answer of a container engine: a list of 2,000 containers with long labels is 8 MiB. */
  engineAnswerBytesMax: 32 * 1024 * 1024,
  engineEventBytesMax: 1024 * 1024,
  /** A busy engine takes seconds to answer; one that takes longer hangs. */
  engineTimeoutMs: 10_000,
  /** One host runs a few thousand at most. */
  containersMax: 10_000,
  /** Labels of one container that are attested; images carry about 20 of their own. */
  containerLabelsMax: 128,
  containerLabelCharsMax: 1024,
  /** One fact about a container: its name, its image, its control group. */
  factCharsMax: 1024,
  /** Names of its image: a build machine that pushes one image to many places has many. */
  imageDigestsMax: 64,
  /** The longest text that an answer repeats: a fact, or a secret's name behind a word of ours. */
  answerTextCharsMax: 1024,
  /** What an answer tells one by one of what may be endless; the rest it counts or leaves out. */
  warningsMax: 8,
  impactWorkloadsMax: 1000,
  explainStepsMax: 1000,
  receiversMax: 10_000,
  workloadGroupsMax: 1000,
  weakNodesMax: 1000,
  /** Groups and grants in one `apply`, and with those that it prunes. */
  documentsMax: 20_000,
  documentChangesMax: 40_000,
  /** One of them as text, to be compared. */
  documentTextCharsMax: 64 * 1024,
  /** What one node says is weak about itself. */
  weakeningsMax: 32,
  /** One entry of the audit log: its texts, at three bytes a character or less; encoded; its details. */
  auditEntryCharsMax: 20_000,
  auditEntryBytesMax: 64 * 1024,
  auditDetailsMax: 64,
  /** Idempotency keys: how long an answer is replayed, and how many are kept. */
  idempotencyMs: 24 * 3_600_000,
  idempotencyRecordsMax: 100_000,
  /** One such record: of a longer answer (an apply of some hundred documents) only that it was given. */
  idempotencyRecordBytesMax: 64 * 1024,
  /** Requests of one principal: well above what one person or pipeline needs, well below all there is. */
  principalRequestsPerSecond: 10_000,
  principalRequestsBurst: 20_000,
  /** Audit entries about requests that nobody proved; more are counted, not listed. */
  anonymousEntriesPerSecond: 10,
  /**
   * Audit entries that one node causes by its word alone. At once: a machine that starts anew with all its
   * workloads, a dozen files each. On average: the comings and goings of a busy builder.
   */
  nodeEntriesBurst: 65_536,
  nodeEntriesPerSecond: 50,
  /** Certificates that one node may ask for at once, and how soon another; it needs one in sixteen hours. */
  nodeRenewalsBurst: 8,
  nodeRenewalMs: 10 * 60_000,
  /** What a backup leaves free of the store's disk: for what is committed while it is made and read. */
  backupReserveShare: 0.1,
  backupReserveBytesMax: 1024 * 1024 * 1024,
  /** Names looked at for one page of a list that shows only some of them. */
  pageScanMax: 20_000,
  /** Certificates of one node that are accepted at once: the one in use and its renewals. */
  nodeCertificatesMax: 4,
  /** Time to carry a token to its node; too short to be found lying about later. */
  joinTokenMsMax: 10 * 60_000,
  /** A key that was copied unnoticed is of use for a day; a gateway down for hours cuts off no node. */
  nodeCertificateMs: 24 * 3_600_000,
} as const;
