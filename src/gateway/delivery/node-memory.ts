/**
 * How much the gateway remembers because a node said so: the facts of its workloads, and what they hold.
 * The number of workloads is bounded elsewhere; here is the length of what is said of them.
 */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { HeldSet } from '../../model/assignment.ts';
import type { SelectableFacts } from '../policy/policy.ts';

/** Ids and numbers of one held file, which are remembered beside its name. */
const fileChars = 64;

/** Something of which a node says what it holds. */
interface Holder {
  readonly heldChars: number;
}

export class NodeMemory {
  readonly #chars = new Map<string, number>();

  hasRoom(node: string, chars: number): boolean {
    return (this.#chars.get(node) ?? 0) + chars <= limits.nodeMemoryCharsMax;
  }

  /** @param known - What they take the place of. @throws Fault `limit.exceeded` */
  admit(facts: SelectableFacts, known: SelectableFacts | undefined): void {
    const more = charsOfFacts(facts) - charsOfFacts(known);
    if (more > 0 && !this.hasRoom(facts.node, more)) {
      throw new Fault('limit.exceeded', { chars: limits.nodeMemoryCharsMax });
    }
    this.#add(facts.node, more);
  }

  forget(facts: SelectableFacts, holders: Iterable<Holder>): void {
    let chars = charsOfFacts(facts);
    for (const { heldChars } of holders) chars += heldChars;
    this.#add(facts.node, -chars);
  }

  /** Counts what `act` changes in what the holder holds. */
  around<T>(node: string, holder: Holder, act: () => T): T {
    const before = holder.heldChars;
    const result = act();
    this.#add(node, holder.heldChars - before);
    return result;
  }

  #add(node: string, chars: number): void {
    const total = (this.#chars.get(node) ?? 0) + chars;
    if (total > 0) this.#chars.set(node, total);
    else this.#chars.delete(node);
  }
}

function charsOfFacts(facts: SelectableFacts | undefined): number {
  if (!facts) return 0;
  const { id, name, image, labels, kubernetes } = facts;
  return lengthOf([
    ...[id, name, image.reference, image.id, ...image.digests],
    ...Object.entries(labels).flat(),
    ...Object.values(kubernetes ?? {}),
  ]);
}

export function charsOfHeld(held: Pick<HeldSet, 'files' | 'terms'> | undefined): number {
  if (!held) return 0;
  const names = held.files.map(({ name }) => name);
  return lengthOf([...names, held.terms]) + names.length * fileChars;
}

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}
