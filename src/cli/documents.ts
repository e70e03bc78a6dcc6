/**
 * Policy as files: groups and grants in YAML, one or several documents to a file, from files,
 * directories and standard input; and the way back from what is wrong to file, line and column.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, type FaultError } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { type PolicyDocument, policyDocument } from '../protocol/operations-policy.ts';
import { usage } from './command-spec.ts';
import { fileFault, readUserFile } from './private-file.ts';
import type { Session } from './session.ts';
import { parseYaml, type YamlDocument } from './yaml-text.ts';

export interface Documents {
  readonly documents: readonly PolicyDocument[];
  /** A fault whose errors name files, lines and columns in place of `/documents/…` pointers. */
  readonly located: (fault: Fault) => Fault;
}

interface Sourced {
  readonly source: string;
  readonly yaml: YamlDocument;
}

/**
 * @param paths - `-` is standard input.
 * @throws Fault `request.malformed`, `request.invalid`, `limit.exceeded`, `cli.file`, `cli.usage`
 */
export async function readDocuments(
  session: Session,
  paths: readonly string[],
  options: { readonly recursive: boolean },
): Promise<Documents> {
  if (paths.length === 0) throw usage('name the files with -f FILE, -f DIRECTORY, or -f -');
  const sourced: Sourced[] = [];
  for (const path of paths) {
    for (const file of path === '-' ? ['-'] : await filesAt(path, options.recursive)) {
      const bytes = file === '-' ? await readAll(session) : await readUserFile(file);
      const source = file === '-' ? 'stdin' : file;
      for (const yaml of parseYaml(textOf(bytes, source), source)) sourced.push({ source, yaml });
    }
  }
  if (sourced.length === 0) throw usage(`no documents in ${paths.join(', ')}`);
  const errors: FaultError[] = [];
  const documents = sourced.map(({ yaml }, at) =>
    policyDocument.read(yaml.value, `/documents/${at}`, errors),
  );
  const located = (fault: Fault): Fault => locate(fault, sourced);
  if (errors.length === 0) refuseTwins(documents, errors);
  if (errors.length > 0)
    throw located(new Fault('request.invalid', { what: 'documents' }, { errors }));
  return { documents, located };
}

function refuseTwins(documents: readonly PolicyDocument[], errors: FaultError[]): void {
  const seen = new Map<string, number>();
  documents.forEach((document, at) => {
    const name = document.kind === 'Group' ? document.name : document.group;
    const key = `${document.kind} ${name}`;
    if (seen.has(key)) {
      errors.push({ pointer: `/documents/${at}`, detail: `${key} is defined twice` });
    } else seen.set(key, at);
  });
}

async function filesAt(path: string, recursive: boolean): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = await readdir(path, { recursive });
    return names
      .filter((name) => /\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(path, name));
  } catch (error) {
    throw fileFault(path, error);
  }
}

async function readAll(session: Session): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of session.input.pieces()) {
    length += chunk.length;
    if (length > limits.applyBodyBytesMax) {
      throw new Fault('limit.exceeded', {
        what: 'stdin',
        unit: 'bytes',
        max: limits.applyBodyBytesMax,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function textOf(bytes: Buffer, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Fault('request.malformed', { file: source, problem: 'is not UTF-8' });
  }
}

function locate(fault: Fault, sourced: readonly Sourced[]): Fault {
  const errors = fault.errors.map(({ pointer, detail }): FaultError => {
    const [, index, rest = ''] = /^\/documents\/(\d+)(\/.*)?$/.exec(pointer) ?? [];
    const origin = sourced[Number(index)];
    if (index === undefined || !origin) return { pointer, detail };
    const { line, column } = origin.yaml.placeOf(rest);
    const member = rest === '' ? '' : ` ${rest.slice(1).replaceAll('/', '.')}`;
    return { pointer: `${origin.source}:${line}:${column}${member}`, detail };
  });
  const facts = Object.entries(fault.detail).filter(([key]) => key !== 'at' && key !== 'problem');
  return new Fault(fault.code, Object.fromEntries(facts), { errors });
}
