/** Which known word somebody may have meant. */

/** Longer names are compared by how they begin. */
const lettersMax = 96;

/** @returns undefined if none is near enough to be worth suggesting. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((candidate) => ({
      candidate,
      distance: distanceOf(word.slice(0, lettersMax), candidate.slice(0, lettersMax)),
    }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .toSorted((a, b) => a.distance - b.distance);
  return near[0]?.candidate;
}

/** Damerau's: insertions, deletions, replacements and swaps of neighbours. */
function distanceOf(left: string, right: string): number {
  const rows: number[][] = [];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let row = 0; row <= left.length; row += 1) {
    const next: number[] = [row];
    rows.push(next);
    for (let column = 1; column <= right.length; column += 1) {
      if (row === 0) {
        next.push(column);
        continue;
      }
      const cost = left[row - 1] === right[column - 1] ? 0 : 1;
      const swapped =
        left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
          ? at(row - 2, column - 2) + 1
          : Number.POSITIVE_INFINITY;
      next.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + cost,
          swapped,
        ),
      );
    }
  }
  return at(left.length, right.length);
}
