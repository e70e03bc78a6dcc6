/**
 * Globs on names and image references: `*` stands for any characters within a segment, `**` also for
 * slashes. Everything else stands for itself, byte for byte; a glob is anchored at both ends.
 *
 * Promises
 *   - Matching takes time proportional to the text (times the pattern at worst), whatever the two
 *     are: states are followed side by side, nothing is tried again.
 *   - A text longer than `textCharsMax` matches nothing: facts come from nodes.
 */

export interface Glob {
  readonly pattern: string;
  /** What every match begins with. The whole pattern if `exact`. */
  readonly prefix: string;
  /** No wildcard in it. */
  readonly exact: boolean;
  matches(text: string): boolean;
}

/** Image references are at most 512 characters in groups; a longer fact is nobody's. */
const textCharsMax = 4096;
const star = -1;
const starStar = -2;
const slash = '/'.charCodeAt(0);

export function compileGlob(pattern: string): Glob {
  const wildcard = pattern.indexOf('*');
  if (wildcard === -1) {
    return { pattern, prefix: pattern, exact: true, matches: (text) => text === pattern };
  }
  const prefix = pattern.slice(0, wildcard);
  const steps = stepsOf(pattern.slice(wildcard));
  return {
    pattern,
    prefix,
    exact: false,
    matches: (text) =>
      text.length <= textCharsMax && text.startsWith(prefix) && run(steps, text, prefix.length),
  };
}

/** Character codes and wildcards. A run of two stars or more is one `**`. */
function stepsOf(pattern: string): readonly number[] {
  const steps: number[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    if (pattern[at] !== '*') {
      steps.push(pattern.charCodeAt(at));
    } else if (steps.at(-1) === star || steps.at(-1) === starStar) {
      steps[steps.length - 1] = starStar;
    } else {
      steps.push(star);
    }
  }
  return steps;
}

/** Follows the set of steps that the text so far can have reached; the last place is the end. */
function run(steps: readonly number[], text: string, from: number): boolean {
  const end = steps.length;
  let here = new Uint8Array(end + 1);
  let next = new Uint8Array(end + 1);
  reach(steps, here, 0);
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    let alive = false;
    for (let step = 0; step < end; step += 1) {
      if (here[step] !== 1) continue;
      const wanted = steps[step];
      if (wanted === starStar || (wanted === star && code !== slash)) reach(steps, next, step);
      else if (wanted === code) reach(steps, next, step + 1);
      else continue;
      alive = true;
    }
    if (!alive) return false;
    [here, next] = [next, here];
    next.fill(0);
  }
  return here[end] === 1;
}

/** Marks a place, and the one behind it if a wildcard stands there, which may stand for nothing. */
function reach(steps: readonly number[], marks: Uint8Array, step: number): void {
  marks[step] = 1;
  const wildcard = steps[step];
  // Two wildcards never stand side by side, so one step further is enough.
  if (wildcard === star || wildcard === starStar) marks[step + 1] = 1;
}
