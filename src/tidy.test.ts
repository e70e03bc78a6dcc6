/**
 * Goal: the house stays as ARCHITECTURE.md says it is.
 * Method: read every source file as text, compare its imports with the table in that document, and
 * check the rules that need no judgement. Each rule is first shown every breach that it must catch.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

interface Source {
  /** Relative to the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

interface Room {
  readonly name: string;
  readonly kind: string;
  readonly mayImport: readonly string[];
}

interface Rule {
  readonly name: string;
  /** Each must be found exactly once. */
  readonly breaches: readonly Source[];
  readonly check: (source: Source) => readonly string[];
}

const root = dirname(import.meta.dirname);
const lineCharsMax = 110;
const fileLinesMax = 500;
/** One row per fault: a table is read by looking up, and is as long as it is. */
const longTables = ['src/base/fault-table.ts'];

function filesBelow(directory: string, pattern: RegExp): Source[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name) && !name.endsWith('_pb.ts'))
    .map((name) => join(directory, name))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const sources: readonly Source[] = ['src', 'bin', 'scripts', 'bench', 'scenarios'].flatMap(
  (directory) => filesBelow(directory, /\.(ts|mjs)$/),
);
const pages: readonly Source[] = [
  ...readdirSync(root)
    .filter((name) => name.endsWith('.md'))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') })),
  ...['docs', 'deploy'].flatMap((directory) => filesBelow(directory, /\.(md|json|service)$/)),
];
const architecture = pages.find(({ path }) => path === 'ARCHITECTURE.md')?.text ?? '';

/** What runs in production, as opposed to what tests, measures and demonstrates it. */
function isProduct({ path }: Source): boolean {
  const isOfTests = /\.(test|suite)\.ts$/.test(path) || path.startsWith('src/testing/');
  return /^(src|bin)\//.test(path) && !isOfTests;
}

const rooms: readonly Room[] = architecture
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
    .filter((room) => path.startsWith(`src/${room.name}/`))
    .toSorted((a, b) => b.name.length - a.name.length)[0];
}

/** What a file imports of ours, also as the program of a worker. */
function importsOf({ path, text }: Source): string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)[^'";]*?from '(\.[^']+)'|\b(?:import |import\(|URL\()'(\.[^']+\.m?[jt]s)'/g;
  return [...text.matchAll(pattern)].map(([, from, called]) =>
    normalize(join(dirname(path), from ?? called ?? '')),
  );
}

function wrongImports(source: Source): string[] {
  if (!isProduct(source)) return [];
  const from = roomOf(source.path);
  return importsOf(source).flatMap((path) => {
    if (!isProduct({ path, text: '' })) return [`${source.path} imports ${path}`];
    const to = roomOf(path);
    if (!from || !to || to.name === from.name) return [];
    const mayImport = from.mayImport.some(
      (name) => name === to.name || (name.endsWith('/*') && to.name.startsWith(name.slice(0, -1))),
    );
    if (!mayImport) return [`${source.path} may not import ${to.name}`];
    const face = `src/${to.name}/${to.name.split('/').at(-1)}.ts`;
    if (to.kind === 'room' && path !== face)
      return [`${source.path} goes past the face of ${to.name}: ${path}`];
    return [];
  });
}

const layers: Rule = {
  name: 'rooms import only what the table allows, and only through faces',
  breaches: [
    { path: 'src/base/planted.ts', text: "import { a } from '../gateway/barrier/barrier.ts';" },
    { path: 'src/base/planted.ts', text: "const a = await import('../wire/link.ts');" },
    {
      path: 'src/gateway/audit/planted.ts',
      text: "import {\n  a,\n} from '../barrier/envelope.ts';",
    },
    {
      path: 'src/gateway/planted.ts',
      text: "new URL('./physical/sqlite-worker.ts', import.meta.url)",
    },
    { path: 'src/cli/planted.ts', text: "import '../testing/engine.ts';" },
    { path: 'src/main.ts', text: "export { a } from '../scripts/planted.ts';" },
  ],
  check: wrongImports,
};

/** What only these files may reach for; all of them are named in ARCHITECTURE.md. */
const confined: readonly {
  readonly what: string;
  readonly only: readonly string[];
  readonly pattern: RegExp;
  readonly breaches: readonly string[];
}[] = [
  {
    what: 'FFI',
    only: ['linux/libc.ts'],
    pattern: /'koffi'/,
    breaches: ["import koffi from 'koffi';"],
  },
  {
    what: 'SQLite',
    only: ['gateway/physical/sqlite.ts'],
    pattern: /'node:sqlite'/,
    breaches: ["import { DatabaseSync } from 'node:sqlite';"],
  },
  {
    what: 'the encoding of certificates and requests',
    only: ['crypto/x509.ts', 'crypto/csr.ts'],
    pattern: /\/der\.ts'/,
    breaches: ["import { derSequence } from '../crypto/der.ts';"],
  },
  {
    what: 'the names in a certificate',
    only: ['crypto/certificate-identity.ts'],
    pattern: /\.(subjectAltName|checkHost|checkIP)\b/,
    breaches: ['certificate.subjectAltName', 'certificate.checkHost(name)'],
  },
  {
    what: 'encryption',
    only: ['crypto/aead.ts'],
    pattern: /\bcreate(C|Dec)ipheriv\b/,
    breaches: ["createCipheriv('aes-256-ecb', key, null)", 'import { createDecipheriv }'],
  },
  {
    what: 'derivation of keys',
    only: ['crypto/kdf.ts'],
    pattern: /\b(argon2|hkdf|pbkdf2|scrypt)(Sync)?\b/,
    breaches: ["hkdfSync('sha256', root, '', label, 32)", 'import { argon2 }', 'pbkdf2Sync('],
  },
  {
    what: 'time',
    only: ['base/clock.ts'],
    pattern:
      /\b(Date\.now|new Date\(\)|performance\.now|hrtime|process\.uptime|set(Timeout|Interval|Immediate)|AbortSignal\.timeout|timers\/promises)/,
    breaches: ['Date.now()', 'new Date()', 'setTimeout(act, 5)', 'AbortSignal.timeout(5)'],
  },
  {
    what: 'chance',
    only: ['base/random.ts'],
    pattern: /\b(Math\.random|random(Bytes|UUID\w*|Int|Fill\w*)|getRandomValues)\b/,
    breaches: ['Math.random()', 'randomBytes(32)', 'randomUUIDv7()', 'randomFillSync(bytes)'],
  },
];

const confinements: readonly Rule[] = confined.map(({ what, only, pattern, breaches }) => ({
  name: `${what} is left to ${only.join(' and ')}`,
  breaches: breaches.map((text) => ({ path: 'src/gateway/planted.ts', text })),
  check: (source) => {
    const isAllowed = only.some((path) => source.path === `src/${path}`);
    if (!isProduct(source) || isAllowed || !pattern.test(source.text)) return [];
    return [`${source.path}: ${what} is left to ${only.join(' and ')}`];
  },
}));

const literal = [
  /'([^'\\]|\\.)*'/,
  /`([^`\\$]|\\.|\$\{[\w.]+\})*`/,
  /\/(?!\*)([^/\\]|\\.)+\/[a-z]*/,
].map((one) => one.source);

/**
 * A line that cannot be broken: nothing but a literal, perhaps with its name; the title of a test; or what
 * ends in an address.
 */
const unbreakable = [
  new RegExp(`^\\s*([\\w'.-]+: |return |const \\w+ = )?(${literal.join('|')})[,;]?( \\+)?$`),
  /^\s*(void |await )?(t\.)?(test|describe)\(['`]/,
  /https?:\/\/\S{40,}$/,
];

const comment = /^\s*(?:\/\*\*[\s\S]*?\*\/|\/\/ .*$)/gm;

/** Files that a comment names, by as much of their path as it gives; `*` stands for a part of a name. */
function missingFiles({ path, text }: Source): string[] {
  const comments = (text.match(comment) ?? []).join('\n');
  return [...comments.matchAll(/(?<![\w.*-])[\w./*-]*[\w*-]\.(?:ts|mjs)\b/g)]
    .map(([name]) => name.replace(/^(\.\.?\/)+/, ''))
    .filter((name) => {
      const pattern = name.replaceAll('.', '\\.').replaceAll('*', '[\\w-]*');
      const named = new RegExp(`(^|/)${pattern}$`);
      return !sources.some((source) => named.test(source.path));
    })
    .map((name) => `${path}: there is no ${name}`);
}

const shapes: readonly Rule[] = [
  {
    name: 'files are short',
    breaches: [{ path: 'bench/planted.ts', text: 'a();\n'.repeat(fileLinesMax) }],
    check: ({ path, text }) => {
      const lines = text.split('\n').length;
      return lines > fileLinesMax && !longTables.includes(path) ? [`${path}: ${lines} lines`] : [];
    },
  },
  {
    name: 'lines are short',
    breaches: [
      `/** ${'word '.repeat(22)}*/`,
      `const a = call('${'text '.repeat(20)}', b);`,
      `  // ${'word '.repeat(22)}`,
      `return \`\${${'call('.repeat(22)}a)}\`;`,
    ].map((text) => ({ path: 'src/base/planted.ts', text })),
    check: ({ path, text }) =>
      text.split('\n').flatMap((line, index) => {
        if (line.length <= lineCharsMax || unbreakable.some((one) => one.test(line))) return [];
        return [`${path}:${index + 1}: ${line.length} characters`];
      }),
  },
  {
    name: 'names of files say something',
    breaches: [
      'src/base/utils.ts',
      'src/cli/common/a.ts',
      'scripts/helper.mjs',
      'src/wire/index.ts',
    ].map((path) => ({ path, text: '' })),
    check: ({ path }) =>
      /(^|\/)(utils?|helpers?|common|misc|index|shared)(\.|\/)/.test(path)
        ? [`${path}: a name that says nothing`]
        : [],
  },
  {
    name: 'each file says what it is',
    breaches: [{ path: 'scenarios/planted.ts', text: "import 'node:fs';\n/** late */" }],
    check: ({ path, text }) =>
      text.startsWith('/**') || text.startsWith('#!') ? [] : [`${path}: no header comment`],
  },
  {
    name: 'nothing is exported wholesale',
    breaches: [{ path: 'src/base/planted.ts', text: "export * from './clock.ts';" }],
    check: ({ path, text }) => (/^export \*/m.test(text) ? [`${path}: a barrel`] : []),
  },
  {
    name: 'files that comments name are there',
    breaches: [
      { path: 'src/base/planted.ts', text: '/**\n * See `base/nothing.ts`, or clock.ts.\n */' },
      { path: 'src/base/planted.ts', text: '  // As in nothing.test.ts.' },
      { path: 'src/base/planted.ts', text: '/** Rows of `protocol/nothing-*.ts`. */' },
    ],
    check: missingFiles,
  },
];

/** In pieces, so that this file is none. */
const workplaces = [
  ['/wo', 'rk/'],
  ['/tmp/w', 't/'],
].map((pieces) => pieces.join(''));
const nowhere: Rule = {
  name: 'no file names the place where it was written',
  breaches: workplaces.map((place) => ({ path: 'README.md', text: `as in ${place}main` })),
  check: ({ path, text }) =>
    workplaces.filter((place) => text.includes(place)).map((place) => `${path}: names ${place}`),
};

test('the import table is read and names only rooms that can exist', () => {
  ok(rooms.length > 20, 'the table has its rows');
  const names = new Set(rooms.map((room) => room.name));
  for (const room of rooms) {
    for (const target of room.mayImport.filter((name) => !name.includes('*')))
      ok(names.has(target), `${room.name}: ${target}`);
  }
});

test('every source file is in a room or is a program', () => {
  const homeless = filesBelow('src', /\.ts$/).filter(({ path }) => !roomOf(path));
  deepEqual(homeless.map(({ path }) => path).toSorted(), [
    'src/main.test.ts',
    'src/main.ts',
    'src/tidy.test.ts',
  ]);
});

test('ARCHITECTURE.md names the files that something is confined to', () => {
  const files = confined.flatMap(({ only }) => only);
  deepEqual(
    files.filter((file) => !architecture.includes(`\`${file}\``)),
    [],
  );
});

/** Files that are older than a rule and break it still: they are mended, and none is added. */
const toMend: Readonly<Record<string, readonly string[]>> = {
  'lines are short': [
    'src/cli/audit-commands.ts',
    'src/cli/holders.ts',
    'src/cli/policy-commands.ts',
    'src/enforcer/holdings.ts',
    'src/gateway/handle-request.ts',
    'src/gateway/physical/sqlite.ts',
    'src/gateway/policy/role.ts',
    'src/gateway/restore.ts',
    'src/gateway/seal/passphrase-seal.ts',
    'src/gateway/stream/cosignature.ts',
    'src/gateway/stream/session.ts',
    'src/protocol/operations-policy.ts',
    'src/testing/auditor.ts',
  ],
};

for (const { name, breaches, check } of [layers, ...confinements, ...shapes, nowhere]) {
  test(name, () => {
    for (const planted of breaches) equal(check(planted).length, 1, planted.text || planted.path);
    const judged = name === nowhere.name ? [...sources, ...pages] : sources;
    const old = toMend[name] ?? [];
    deepEqual(judged.filter(({ path }) => !old.includes(path)).flatMap(check), []);
    const mended = judged.filter(
      (source) => old.includes(source.path) && check(source).length === 0,
    );
    deepEqual(
      mended.map(({ path }) => path),
      [],
      'mended, and still excused',
    );
  });
}
