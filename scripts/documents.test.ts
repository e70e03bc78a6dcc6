/**
 * Goal: the documents point at things that are there, and the code points at places in them.
 * Method: read every document; follow each relative link and anchor, look for each file named in the
 * threat model and each fault code; then look for what source files say stands in the documents. A planted
 * document with one of each mistake is the control.
 */
import { deepEqual } from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { limits } from '../src/base/limits.ts';
import { faults } from '../src/base/fault-table.ts';
import { catalogue } from '../src/cli/catalogue.ts';

const root = dirname(import.meta.dirname);
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Page {
  /** Relative to the root. */
  readonly path: string;
  readonly text: string;
}

const pages: readonly Page[] = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
].map((path) => ({ path, text: read(path) }));

/** As GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const headings = text.match(/^#{1,6} .+$/gm) ?? [];
  const explicit = [...text.matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id ?? '');
  const slugs = headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set([...slugs, ...explicit]);
}

function brokenLinks({ path, text }: Page): string[] {
  const code = text.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');
  return [...code.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = '', anchor] = target.split('#');
    const aim = file === '' ? path : relative(root, join(root, dirname(path), file));
    if (!existsSync(join(root, aim))) return [`${path}: ${target}`];
    const lacks = anchor !== undefined && !anchorsOf(read(aim)).has(anchor);
    return lacks ? [`${path}: ${target}`] : [];
  });
}

const places = ['src', 'bin', 'scripts', 'scenarios', 'bench', 'deploy', 'vectors'];
const tree: readonly string[] = places.flatMap((place) => [
  place,
  ...readdirSync(join(root, place), { recursive: true, encoding: 'utf8' }).map((name) =>
    join(place, name),
  ),
]);

/** Files and directories that a document names in code quotes, by as much of their path as it gives. */
function missingFiles({ path, text }: Page): string[] {
  const named = new RegExp(`\`([\\w./-]+\\.(?:ts|mjs)|(?:${places.join('|')})/[\\w./-]*)\``, 'g');
  return [...text.matchAll(named)]
    .map(([, name = '']) => name.replace(/\/$/, ''))
    .filter((name) => !tree.some((one) => `/${one}`.endsWith(`/${name}`)))
    .map((name) => `${path}: ${name}`);
}

const faultRooms = new Set(Object.keys(faults).map((code) => code.split('.')[0]));

function unknownFaults({ path, text }: Page): string[] {
  return [...text.matchAll(/`([a-z]+)\.([a-z]+(?:-[a-z]+)*)`/g)]
    .filter(
      ([, room = '', name = '']) => faultRooms.has(room) && !/^(ts|md|json|proto)$/.test(name),
    )
    .map(([, room, name]) => `${room}.${name}`)
    .filter((code) => !(code in faults) && !knownWords.test(code))
    .map((code) => `${path}: ${code}`);
}

/** Operations, audit actions and log events share the shape of fault codes. */
const knownWords =
  /^(secret|group|grant|policy|node|token|audit|system|access|workload|holding|event|delivery|enforcer|gateway|witness|mount)\.|^runtime\.down$/;

test('links and anchors lead somewhere', () => {
  const planted = { path: 'docs/planted.md', text: '# A b\n[x](nowhere.md) [y](#a-b) [z](#c)\n' };
  deepEqual(
    brokenLinks({ ...planted, path: 'README.md' }).length,
    3,
    'the rule catches planted mistakes',
  );
  deepEqual(pages.flatMap(brokenLinks), []);
});

test('files and stories that documents name are there', () => {
  const planted = [
    '`gateway/nothing.test.ts`',
    '`nothing.test.ts`',
    '`scripts/nothing`',
    '`scenarios/nothing/`',
  ];
  for (const text of planted) deepEqual(missingFiles({ path: 'x.md', text }).length, 1, text);
  deepEqual(missingFiles({ path: 'x.md', text: '`clock.ts` `scenarios/` `main.test.ts`' }), []);
  deepEqual(pages.flatMap(missingFiles), []);
});

test('fault codes that documents name exist', () => {
  deepEqual(unknownFaults({ path: 'x.md', text: '`storage.never` `storage.full`' }).length, 1);
  deepEqual(pages.flatMap(unknownFaults), []);
});

const model = read('docs/THREAT-MODEL.md');

/** Numbers of the threat model, and documents with their anchors, that a source file names. */
function wrongMentions({ path, text }: Page): string[] {
  const joined = text.replaceAll(/\n *\* /g, ' ');
  const numbers = [...joined.matchAll(/THREAT-MODEL(?:\.md)?, ([TVG]\d+)/g)]
    .map(([, number = '']) => number)
    .filter((number) => !new RegExp(`^(\\*\\*${number}\\.|\\| ${number} \\|)`, 'm').test(model));
  const documents = [...joined.matchAll(/docs\/([\w/-]+\.(?:md|json))(?:#([\w-]+))?/g)]
    .filter(([, file = '', anchor]) => {
      if (!existsSync(join(root, 'docs', file))) return true;
      return anchor !== undefined && !anchorsOf(read(join('docs', file))).has(anchor);
    })
    .map(([place]) => place);
  return [...numbers, ...documents].map((what) => `${path}: ${what}`);
}

test('what the code says about documents stands there', () => {
  const planted = ['THREAT-MODEL.md, V99', 'docs/NOTHING.md', 'docs/FORMATS.md#nothing'];
  for (const text of planted) deepEqual(wrongMentions({ path: 'x.ts', text }).length, 1, text);
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('_pb.ts'))
    .map((name) => ({ path: join('src', name), text: read(join('src', name)) }));
  deepEqual(sources.flatMap(wrongMentions), []);
});

test('the limits that FORMATS.md shows are the limits', () => {
  const rows = read('docs/FORMATS.md').matchAll(/^\| [^|]+ \| (\d+)[^|]* \| `(\w+)` \|$/gm);
  const shown = [...rows].map(([, value, name = '']) => [name, Number(value)] as const);
  deepEqual(shown.length > 10, true, 'the table is read');
  deepEqual(
    shown,
    shown.map(([name]) => [name, (limits as Readonly<Record<string, number>>)[name]]),
  );
});

/** Words of `coffer …` in code, up to an option, a placeholder, or what no command is called. */
function unknownCommands({ path, text }: Page): string[] {
  const known = new Map(catalogue.map((entry) => [entry.noun, entry]));
  return [...text.matchAll(/(?:^|`|\$ |\| |sudo )coffer ([a-z][a-z-]*)/gm)]
    .map(([, word = '']) => word)
    .filter((word) => !known.has(word) && !['help', 'watchdog'].includes(word))
    .map((word) => `${path}: coffer ${word}`);
}

test('commands that documents and hints name exist', () => {
  deepEqual(unknownCommands({ path: 'x.md', text: '`coffer fly`\n$ coffer status\n' }).length, 1);
  const hints = Object.entries(faults).map(([code, { hint }]) => ({ path: code, text: hint }));
  deepEqual([...pages, ...hints].flatMap(unknownCommands), []);
});
