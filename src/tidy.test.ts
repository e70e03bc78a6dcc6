/**
 * Goal: the house stays as ARCHITECTURE.md says it is.
 * Method: read every source file as text, compare its imports with the table in that document, and
 * check the rules that need no judgement. Each rule is first shown a breach that it must catch.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';

interface Source {
  /** Relative to src/, with slashes. */
  readonly path: string;
  readonly text: string;
}

interface Room {
  readonly name: string;
  readonly kind: string;
  readonly mayImport: readonly string[];
}

const src = import.meta.dirname;
const root = dirname(src);
const lineCharsMax = 110;
const fileLinesMax = 500;
/** One row per fault: a table is read by looking up, and is as long as it is. */
const longTables = ['base/fault-table.ts'];
const bannedNames = /(^|\/)(utils?|helpers?|common|misc|index|shared)(\.|\/)/;
const isTest = (path: string): boolean =>
  /\.(test|suite)\.ts$/.test(path) || path.startsWith('testing/');

const sources: readonly Source[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.endsWith('_pb.ts'))
  .map((path) => ({ path, text: readFileSync(join(src, path), 'utf8') }));

const rooms: readonly Room[] = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => {
    const [name = '', kind = '', list = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.trim());
    return { name: name.replaceAll('`', ''), kind, mayImport: list.match(/[^`\s]+/g) ?? [] };
  });

/** The room of a file: the longest row of the table that contains it. */
function roomOf(path: string): Room | undefined {
  return rooms
    .filter((room) => path.startsWith(`${room.name}/`))
    .toSorted((a, b) => b.name.length - a.name.length)[0];
}

function importsOf(source: Source): string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)[^'";]*?from '([^']+)'|(?:^|\n)import '([^']+)'|import\('([^']+)'\)/g;
  return [...source.text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function wrongImports(source: Source): string[] {
  const from = roomOf(source.path);
  if (!from || isTest(source.path)) return [];
  return importsOf(source)
    .filter((target) => target.startsWith('.'))
    .flatMap((target) => {
      const path = normalize(join(dirname(source.path), target));
      const to = roomOf(path);
      if (path.startsWith('testing/')) return [`${source.path} imports testing`];
      if (!to || to.name === from.name) return [];
      const wildcard = from.mayImport.some(
        (name) => name === '*' || (name.endsWith('/*') && to.name.startsWith(name.slice(0, -1))),
      );
      if (!wildcard && !from.mayImport.includes(to.name))
        return [`${source.path} may not import ${to.name}`];
      const face = `${to.name}/${to.name.split('/').at(-1)}.ts`;
      if (to.kind === 'room' && path !== face)
        return [`${source.path} goes past the face of ${to.name}: ${path}`];
      return [];
    });
}

const confined: readonly {
  readonly pattern: RegExp;
  readonly only: readonly string[];
  readonly what: string;
}[] = [
  { pattern: /from 'koffi'/, only: ['linux/libc.ts'], what: 'FFI' },
  { pattern: /'node:sqlite'/, only: ['gateway/physical/sqlite.ts'], what: 'SQLite' },
  { pattern: /@peculiar\/x509/, only: ['crypto/x509.ts'], what: 'certificates' },
  {
    pattern: /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|process\.hrtime)\b/,
    only: ['base/clock.ts'],
    what: 'time',
  },
  {
    pattern: /\b(Math\.random|randomBytes|randomUUID|randomInt|randomFillSync|getRandomValues)\b/,
    only: ['base/random.ts'],
    what: 'chance',
  },
  { pattern: /\bconsole\.(log|error|warn|info)\b/, only: [], what: 'printing' },
];

function breaches(source: Source): string[] {
  if (isTest(source.path)) return [];
  const code = source.text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
  const found = confined
    .filter((rule) => !rule.only.includes(source.path) && rule.pattern.test(code))
    .map((rule) => `${source.path}: ${rule.what} belongs to ${rule.only.join(', ') || 'nobody'}`);
  if (/export \* from|export default/.test(code))
    found.push(`${source.path}: barrel or default export`);
  return found;
}

function shapes(source: Source): string[] {
  const lines = source.text.split('\n');
  const found: string[] = [];
  if (lines.length > fileLinesMax && !longTables.includes(source.path))
    found.push(`${source.path}: ${lines.length} lines`);
  if (bannedNames.test(source.path)) found.push(`${source.path}: a name that says nothing`);
  lines.forEach((line, index) => {
    if (line.length > lineCharsMax && !/https?:|^ *\/\/|'.{60,}'|`.{60,}`|\/.{50,}\//.test(line)) {
      found.push(`${source.path}:${index + 1}: ${line.length} characters`);
    }
  });
  if (!source.text.startsWith('/**') && !source.text.startsWith('#!'))
    found.push(`${source.path}: no header comment`);
  return found;
}

test('the import table is read and names only rooms that can exist', () => {
  ok(rooms.length > 20, 'the table has its rows');
  const names = new Set(rooms.map((room) => room.name));
  for (const room of rooms) {
    for (const target of room.mayImport.filter((name) => !name.includes('*')))
      ok(names.has(target), `${room.name}: ${target}`);
  }
});

test('every source file is in a room or is a program', () => {
  const homeless = sources.filter((source) => !roomOf(source.path)).map((source) => source.path);
  deepEqual(
    homeless.toSorted(),
    ['main.test.ts', 'main.ts', 'tidy.test.ts'].filter((name) => homeless.includes(name)),
  );
});

test('rooms import only what the table allows, and only through faces', () => {
  const planted = {
    path: 'base/planted.ts',
    text: "import { a } from '../gateway/barrier/barrier.ts';",
  };
  equal(wrongImports(planted).length, 1, 'the rule catches a planted breach');
  const past = {
    path: 'gateway/audit/planted.ts',
    text: "import { a } from '../barrier/envelope.ts';",
  };
  equal(wrongImports(past).length, 1, 'the rule catches a way past a face');
  deepEqual(sources.flatMap(wrongImports), []);
});

test('time, chance, FFI, SQLite, certificates and printing stay where they belong', () => {
  equal(breaches({ path: 'gateway/planted.ts', text: 'const a = Date.now();' }).length, 1);
  deepEqual(sources.flatMap(breaches), []);
});

test('files are short, lines are short, names say something, and each file says what it is', () => {
  equal(shapes({ path: 'base/utils.ts', text: '/** x */' }).length, 1);
  deepEqual(sources.flatMap(shapes), []);
});

test('no file names the place where it was written', () => {
  const pattern = new RegExp(['/wo', 'rk/'].join(''));
  deepEqual(
    sources
      .filter((source) => pattern.test(source.text))
      .map((source) => relative(src, source.path)),
    [],
  );
});
