/**
 * Wanted sets: what the grants that reach one workload come to, per directory. Pure.
 *
 * Where grants share a directory they are merged in the order of their groups' names. A file name
 * goes to the first that asks for it; a later grant that wants another secret (or other attributes)
 * there is refused that file, by name, and keeps its others. A set takes at most `setFilesMax` files.
 * For the whole directory the strictest wins: `wipe` over `keep`, the shortest lease, every signal.
 */
import { limits } from '../../base/limits.ts';
import type { Grant, GrantedSecret, SignalName } from '../../model/grant.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { RefusedFile, WantedFile, WantedSet } from './policy.ts';

export const targetDefault = '/run/secrets';
const modeDefault = 0o400;

/** A grant with everything spelled out; its files are shared by all sets that contain them. */
export interface CompiledGrant {
  readonly group: Name;
  readonly target: string;
  /** By file name, ascending. */
  readonly files: readonly WantedFile[];
  readonly signal: SignalName | undefined;
  readonly onLeaseLoss: 'wipe' | 'keep';
  readonly leaseMs: number;
}

/** The file's name in the workload's directory. */
export function fileNameOf(granted: GrantedSecret): Name {
  // The last segment of a secret's name is a name: both are made of the same segments.
  return granted.file ?? (granted.secret.slice(granted.secret.lastIndexOf('/') + 1) as Name);
}

export function compileGrant(grant: Grant, leaseMsDefault: number): CompiledGrant {
  const files = grant.secrets.map(
    (granted): WantedFile => ({
      secret: granted.secret,
      file: fileNameOf(granted),
      mode: granted.mode === undefined ? modeDefault : Number.parseInt(granted.mode, 8),
      ...(granted.uid === undefined ? {} : { uid: granted.uid }),
      ...(granted.gid === undefined ? {} : { gid: granted.gid }),
      group: grant.group,
    }),
  );
  return {
    group: grant.group,
    target: grant.target ?? targetDefault,
    files: files.toSorted((left, right) => order(left.file, right.file)),
    signal: grant.onChange?.signal,
    onLeaseLoss: grant.onLeaseLoss ?? 'wipe',
    leaseMs: grant.leaseSeconds === undefined ? leaseMsDefault : grant.leaseSeconds * 1000,
  };
}

/** What these groups are granted. */
export function grantsOf(
  groups: Iterable<{ readonly grant: CompiledGrant | undefined }>,
): readonly CompiledGrant[] {
  const grants: CompiledGrant[] = [];
  for (const { grant } of groups) if (grant !== undefined) grants.push(grant);
  return grants;
}

/** @param grants - Those of the groups that match one workload, in any order. */
export function wantedSets(grants: readonly CompiledGrant[]): readonly WantedSet[] {
  const byTarget = new Map<string, CompiledGrant[]>();
  for (const grant of grants.toSorted((left, right) => order(left.group, right.group))) {
    const together = byTarget.get(grant.target);
    if (together === undefined) byTarget.set(grant.target, [grant]);
    else together.push(grant);
  }
  return [...byTarget.values()]
    .map(mergedSet)
    .toSorted((left, right) => order(left.target, right.target));
}

/** How many combinations of grants a `WantedMemo` knows. */
const combinationsMax = 512;

/**
 * Remembers what combinations of grants come to: workloads of one group want one and the same sets, and
 * are asked about together.
 *
 * Promises: what it gives is what `wantedSets` would give for these very grants.
 */
export class WantedMemo {
  /** What a grant comes to by itself, as most do: known for as long as there is the grant. */
  readonly #alone = new WeakMap<CompiledGrant, readonly WantedSet[]>();
  readonly #known = new Map<
    string,
    { readonly grants: readonly CompiledGrant[]; readonly sets: readonly WantedSet[] }
  >();

  sets(grants: readonly CompiledGrant[]): readonly WantedSet[] {
    const [first] = grants;
    if (first === undefined) return [];
    return grants.length === 1 ? this.#ofOne(first) : this.#ofSeveral(grants);
  }

  #ofOne(grant: CompiledGrant): readonly WantedSet[] {
    let sets = this.#alone.get(grant);
    if (sets === undefined) this.#alone.set(grant, (sets = wantedSets([grant])));
    return sets;
  }

  #ofSeveral(grants: readonly CompiledGrant[]): readonly WantedSet[] {
    const key = grants.map((grant) => grant.group).join(' ');
    const known = this.#known.get(key);
    // A grant that was replaced meanwhile has its group's name still, but is another grant.
    if (known && grants.every((grant, index) => known.grants[index] === grant)) return known.sets;
    const sets = wantedSets(grants);
    if (this.#known.size >= combinationsMax) this.#known.clear();
    this.#known.set(key, { grants, sets });
    return sets;
  }
}

/** Every secret that at least one file of the sets shows. */
export function secretsIn(sets: readonly WantedSet[]): ReadonlySet<SecretName> {
  return new Set(sets.flatMap((set) => set.files.map((file) => file.secret)));
}

function mergedSet(grants: readonly CompiledGrant[]): WantedSet {
  const files = new Map<Name, WantedFile>();
  const refused: RefusedFile[] = [];
  for (const grant of grants) {
    for (const wanted of grant.files) {
      const { secret, file, group } = wanted;
      const holder = files.get(file);
      if (holder !== undefined) {
        if (!sameFile(holder, wanted)) {
          refused.push({
            secret,
            file,
            group,
            fault: 'grant.file-collision',
            instead: holder.group,
          });
        }
      } else if (files.size >= limits.setFilesMax) {
        refused.push({ secret, file, group, fault: 'limit.exceeded' });
      } else {
        files.set(file, wanted);
      }
    }
  }
  const signals = new Set(grants.flatMap((grant) => grant.signal ?? []));
  return {
    target: grants[0]?.target ?? targetDefault,
    files: [...files.values()].toSorted((left, right) => order(left.file, right.file)),
    refused,
    signals: [...signals].toSorted(order),
    onLeaseLoss: grants.some((grant) => grant.onLeaseLoss === 'wipe') ? 'wipe' : 'keep',
    leaseMs: grants.reduce((least, grant) => Math.min(least, grant.leaseMs), limits.leaseMsMax),
  };
}

function sameFile(left: WantedFile, right: WantedFile): boolean {
  return (
    left.secret === right.secret &&
    left.mode === right.mode &&
    left.uid === right.uid &&
    left.gid === right.gid
  );
}

/** Names are ASCII, so code units are the order of bytes, on every machine alike. */
export function order(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
