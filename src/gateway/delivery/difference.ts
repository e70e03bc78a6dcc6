/**
 * The difference between what one workload should hold in one directory and what its node said it
 * holds. Pure: the heart of delivery, and the same for a new container, a rotation and a revocation.
 */
import { createHash } from 'node:crypto';
import type { HeldFile, HeldSet } from '../../model/assignment.ts';
import type { Secret } from '../../model/secret.ts';
import { deliverableVersion } from '../../model/secret.ts';
import type { SecretName } from '../../model/name.ts';
import type { WantedFile, WantedSet } from '../policy/policy.ts';

/** A wanted file whose secret has a version to deliver. */
export interface DueFile extends HeldFile {
  readonly wanted: WantedFile;
}

export interface DueSet {
  readonly target: string;
  readonly files: readonly DueFile[];
  readonly terms: string;
  /** The policy's words on signals and leases; undefined when nothing is wanted here any more. */
  readonly wanted: WantedSet | undefined;
}

export interface Difference {
  /** Files to send: new here, or at another version. */
  readonly sent: readonly DueFile[];
  /** Files whose bytes the node has already. */
  readonly kept: readonly DueFile[];
  /** Files that are in place and should not be. */
  readonly withdrawn: readonly HeldFile[];
}

/** Due sets by what is wanted: workloads of one group want one and the same set. */
export type SharedDueSets = Map<WantedSet, DueSet>;

export function dueSet(
  wanted: WantedSet,
  secretNamed: (name: SecretName) => Secret | undefined,
  shared: SharedDueSets,
): DueSet {
  const known = shared.get(wanted);
  if (known) return known;
  const files = wanted.files.flatMap((file): DueFile[] => {
    const secret = secretNamed(file.secret);
    const version = secret && deliverableVersion(secret);
    if (!secret || version === undefined) return [];
    return [{ name: file.file, secretId: secret.id, version, wanted: file }];
  });
  const terms = files.length === 0 ? '' : termsOf(wanted, files);
  const due = { target: wanted.target, files, terms, wanted };
  shared.set(wanted, due);
  return due;
}

/** Where nothing is wanted any more. */
export function nothingDue(target: string): DueSet {
  return { target, files: [], terms: '', wanted: undefined };
}

/** @returns undefined when what is held is what is due. */
export function difference(due: DueSet, held: HeldSet | undefined): Difference | undefined {
  if (held && isInPlace(due, held)) return undefined;
  const there = held?.files ?? [];
  const heldAs = finder(there);
  const sent: DueFile[] = [];
  const kept: DueFile[] = [];
  let staying = 0;
  for (const [index, file] of due.files.entries()) {
    const before = heldAs(file.name, index);
    if (before?.secretId === file.secretId) staying += 1;
    (before && isSame(file, before) ? kept : sent).push(file);
  }
  const withdrawn = staying === there.length ? [] : replacedIn(there, due.files);
  const unchanged = sent.length === 0 && withdrawn.length === 0;
  // A held set without files is one whose content nobody remembers: it must be replaced or withdrawn.
  const unknown = held !== undefined && held.files.length === 0;
  if (unchanged && !unknown && due.terms === (held?.terms ?? '')) return undefined;
  return { sent, kept, withdrawn };
}

/** Finds files by name. Nearly always they stand in the same order as those that are asked for. */
function finder<F extends HeldFile>(files: readonly F[]) {
  let byName: Map<string, F> | undefined;
  return (name: string, likelyAt: number): F | undefined => {
    const likely = files[likelyAt];
    if (likely?.name === name || files.length === 0) return likely;
    byName ??= new Map(files.map((file) => [file.name, file]));
    return byName.get(name);
  };
}

/** Files for which none of the same name and secret is due. */
function replacedIn(files: readonly HeldFile[], due: readonly DueFile[]): readonly HeldFile[] {
  const dueAs = finder(due);
  return files.filter(({ name, secretId }, index) => dueAs(name, index)?.secretId !== secretId);
}

/** The common answer, without making anything: a receipt says what was sent, in the order it was sent. */
function isInPlace(due: DueSet, held: HeldSet): boolean {
  return held.files.length > 0 && due.terms === held.terms && sameFiles(due.files, held.files);
}

export function sameFiles(ours: readonly HeldFile[], theirs: readonly HeldFile[]): boolean {
  if (ours === theirs) return true;
  return ours.length === theirs.length && ours.every((file, index) => isSame(file, theirs[index]));
}

function isSame(file: HeldFile, other: HeldFile | undefined): boolean {
  return (
    file.name === other?.name && file.secretId === other.secretId && file.version === other.version
  );
}

/** Everything about a set that is neither content nor version, as a short digest. */
function termsOf(wanted: WantedSet, files: readonly DueFile[]): string {
  const terms = [
    wanted.signals,
    wanted.onLeaseLoss,
    wanted.leaseMs,
    files.map(({ wanted: file }) => [file.file, file.mode, file.uid ?? -1, file.gid ?? -1]),
  ];
  return createHash('sha256').update(JSON.stringify(terms)).digest('hex').slice(0, 16);
}
