/**
 * What can be told of a command line before it is parsed: which words name the command, wherever options
 * of all commands stand among them, and in which form and colour a failure is said, also one to parse.
 */
const withValue: ReadonlySet<string> = new Set([
  '--context',
  '--server',
  '--ca',
  '--pin',
  '--token-file',
  '--output',
  '-o',
  '--color',
  '--timeout',
]);

/** @returns where the words stand that are neither options nor values of options of all commands. */
export function wordsAt(argv: readonly string[]): readonly number[] {
  const found: number[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (withValue.has(word)) at += 1;
    else if (!word.startsWith('-')) found.push(at);
  }
  return found;
}

export function asksForHelp(argv: readonly string[]): boolean {
  return argv.some((word) => word === '--help' || word === '-h');
}

export interface SaidHow {
  /** As `-o` or `--output` gives it, undefined without. */
  readonly output: string | undefined;
  readonly color: string | undefined;
}

export function saidHow(argv: readonly string[]): SaidHow {
  return { output: lastOf(argv, '--output', '-o'), color: lastOf(argv, '--color') };
}

/** The last is the one that counts. */
function lastOf(argv: readonly string[], long: string, short?: string): string | undefined {
  let found: string | undefined;
  argv.forEach((word, at) => {
    if (word === long || word === short) found = argv[at + 1];
    else if (word.startsWith(`${long}=`)) found = word.slice(long.length + 1);
    else if (short !== undefined && word.startsWith(short)) found = word.slice(short.length);
  });
  return found;
}
