/** Unified diffs of short texts, as `diff -u` and `git apply` have them. */

const contextLines = 3;

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
}

/** @returns whole lines; empty if the texts are equal. */
export function unifiedDiff(
  before: string,
  after: string,
  names: { readonly before: string; readonly after: string },
): string {
  if (before === after) return '';
  const lines = diffLines(linesOf(before), linesOf(after));
  const hunks = hunksOf(lines).map((range) => formatHunk(lines, range));
  return `--- ${names.before}\n+++ ${names.after}\n${hunks.join('')}`;
}

function linesOf(text: string): readonly string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** Longest common subsequence, after what is equal at both ends has been set aside. */
function diffLines(before: readonly string[], after: readonly string[]): readonly Line[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start])
    start += 1;
  let [left, right] = [before.length, after.length];
  while (left > start && right > start && before[left - 1] === after[right - 1]) {
    left -= 1;
    right -= 1;
  }
  const same = (text: string): Line => ({ mark: ' ', text });
  return [
    ...before.slice(0, start).map(same),
    ...diffMiddle(before.slice(start, left), after.slice(start, right)),
    ...before.slice(left).map(same),
  ];
}

function diffMiddle(before: readonly string[], after: readonly string[]): readonly Line[] {
  const width = after.length + 1;
  const common = new Uint32Array((before.length + 1) * width);
  const at = (row: number, column: number): number => common[row * width + column] ?? 0;
  for (let row = before.length - 1; row >= 0; row -= 1) {
    for (let column = after.length - 1; column >= 0; column -= 1) {
      common[row * width + column] =
        before[row] === after[column]
          ? at(row + 1, column + 1) + 1
          : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: Line[] = [];
  let [row, column] = [0, 0];
  while (row < before.length || column < after.length) {
    const [old, next] = [before[row], after[column]];
    if (old !== undefined && old === next) {
      lines.push({ mark: ' ', text: old });
      row += 1;
      column += 1;
    } else if (
      next === undefined ||
      (old !== undefined && at(row + 1, column) >= at(row, column + 1))
    ) {
      lines.push({ mark: '-', text: old ?? '' });
      row += 1;
    } else {
      lines.push({ mark: '+', text: next });
      column += 1;
    }
  }
  return lines;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function hunksOf(lines: readonly Line[]): readonly Range[] {
  const ranges: Range[] = [];
  lines.forEach(({ mark }, at) => {
    if (mark === ' ') return;
    const start = Math.max(0, at - contextLines);
    const end = Math.min(lines.length, at + contextLines + 1);
    const last = ranges.at(-1);
    if (last && start <= last.end) ranges[ranges.length - 1] = { start: last.start, end };
    else ranges.push({ start, end });
  });
  return ranges;
}

function formatHunk(lines: readonly Line[], { start, end }: Range): string {
  const countOf = (part: readonly Line[], without: '-' | '+'): number =>
    part.filter(({ mark }) => mark !== without).length;
  const [ahead, inside] = [lines.slice(0, start), lines.slice(start, end)];
  const rangeOf = (without: '-' | '+'): string => {
    const size = countOf(inside, without);
    const first = countOf(ahead, without) + (size === 0 ? 0 : 1);
    return size === 1 ? `${first}` : `${first},${size}`;
  };
  const text = inside.map(({ mark, text: line }) => `${mark}${line}\n`).join('');
  return `@@ -${rangeOf('+')} +${rangeOf('-')} @@\n${text}`;
}
