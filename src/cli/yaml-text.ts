/**
 * YAML as people write it, read strictly: duplicate keys, anchors and aliases, tags and merge keys
 * are refused, each with its line and column, because what they mean is not seen by who reviews the
 * file. Digits behind a zero (`mode: 0440`) are the text that stands there: YAML 1.1 reads an octal
 * number, YAML 1.2 a decimal one, and who wrote it meant neither. One text may hold several documents;
 * each remembers where its parts stand.
 */
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  stringify,
  visit,
} from 'yaml';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface YamlDocument {
  readonly value: unknown;
  /** The place of what an RFC 6901 pointer names, or of the nearest part that is there. */
  placeOf(pointer: string): Place;
}

/**
 * @param source - Names the text in faults: a path, or `stdin`.
 * @throws Fault `request.malformed`, `limit.exceeded`
 */
export function parseYaml(text: string, source: string): readonly YamlDocument[] {
  if (text.length > limits.applyBodyBytesMax) {
    throw new Fault('limit.exceeded', {
      what: source,
      unit: 'bytes',
      max: limits.applyBodyBytesMax,
    });
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    // YAML 1.2 core: `no` is a string.
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    uniqueKeys: true,
    prettyErrors: false,
  });
  if (!Array.isArray(documents)) return [];
  const fail = (offset: number, problem: string): never => {
    const { line, col } = lines.linePos(offset);
    throw new Fault('request.malformed', { file: source, line, column: col, problem });
  };
  return (documents as Document[]).flatMap((document) => {
    const [error] = [...document.errors, ...document.warnings];
    if (error) fail(error.pos[0], plainProblem(error.code));
    refuseIndirection(document, fail);
    keepLeadingZeros(document);
    // Nothing between two marks, or after the last: no document.
    const { contents } = document;
    if (contents === null || (isScalar(contents) && contents.value === null)) return [];
    return [{ value: document.toJS() as unknown, placeOf: placeFinder(document, lines) }];
  });
}

export function formatYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function refuseIndirection(document: Document, fail: (at: number, problem: string) => never): void {
  const startOf = (node: Node): number => node.range?.[0] ?? 0;
  visit(document, {
    Alias: (_key, node) => fail(startOf(node), 'aliases are not allowed: write it out'),
    Node: (_key, node) => {
      if ('anchor' in node && node.anchor) fail(startOf(node), 'anchors are not allowed');
      if (node.tag !== undefined) fail(startOf(node), 'tags are not allowed');
    },
    Pair: (_key, pair) => {
      const { key } = pair;
      if (isScalar(key) && typeof key.value === 'string') return;
      fail((key as Node | null)?.range?.[0] ?? 0, 'keys must be text: put it in quotes');
    },
  });
}

function keepLeadingZeros(document: Document): void {
  visit(document, {
    Scalar: (_key, node) => {
      const { source = '' } = node;
      if (typeof node.value === 'number' && /^0\d+$/.test(source)) node.value = source;
    },
  });
}

/** The library's codes in words. Its own messages quote the source, which may hold a misplaced secret. */
function plainProblem(code: string): string {
  const words: Readonly<Record<string, string>> = {
    DUPLICATE_KEY: 'names a key twice',
    TAB_AS_INDENT: 'is indented with a tab',
    BAD_INDENT: 'is indented wrongly',
    MISSING_CHAR: 'lacks a closing character',
    MULTILINE_IMPLICIT_KEY: 'lacks a colon, or is indented wrongly',
    TAG_RESOLVE_FAILED: 'tags are not allowed',
    RESOURCE_EXHAUSTION: 'is nested too deeply',
    BLOCK_AS_IMPLICIT_KEY: 'has a second colon in one line, or is indented wrongly',
    BAD_ALIAS: 'aliases are not allowed: write it out',
  };
  return words[code] ?? `is not YAML (${code.toLowerCase().replaceAll('_', ' ')})`;
}

function placeFinder(document: Document, lines: LineCounter): (pointer: string) => Place {
  return (pointer) => {
    let offset = document.contents?.range?.[0] ?? 0;
    let node: unknown = document.contents;
    for (const escaped of pointer.split('/').slice(1)) {
      const step = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
      const found = stepInto(node, step);
      if (!found) break;
      ({ offset, node } = found);
    }
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
}

function stepInto(node: unknown, step: string): { offset: number; node: unknown } | undefined {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
    if (!pair || !isScalar(pair.key)) return undefined;
    return { offset: pair.key.range?.[0] ?? 0, node: pair.value };
  }
  if (isSeq(node)) {
    const item = node.items[Number(step)] as Node | undefined;
    return item === undefined ? undefined : { offset: item.range?.[0] ?? 0, node: item };
  }
  return undefined;
}
