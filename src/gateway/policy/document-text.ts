/**
 * Groups and grants as YAML text, for people to compare. One document has one text: members stand in
 * the order of the schema, labels in that of their keys.
 *
 * An emitter of its own: these documents are small and plain, and the gateway parses no YAML.
 */
import { limits } from '../../base/limits.ts';
import type { Grant } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import { isPlainObject } from '../../base/schema.ts';

const moreMark = '\n# … and more\n';

/** Whole; equal texts mean equal documents. */
export function groupText(group: Group): string {
  const { image, node, docker, kubernetes, process } = group.match;
  return emit({
    kind: 'Group',
    name: group.name,
    match: {
      image,
      node,
      docker: docker && { name: docker.name, labels: sorted(docker.labels) },
      kubernetes: kubernetes && {
        namespace: kubernetes.namespace,
        serviceAccount: kubernetes.serviceAccount,
        pod: kubernetes.pod,
        container: kubernetes.container,
        labels: sorted(kubernetes.labels),
      },
      process: process && { name: process.name, labels: sorted(process.labels) },
    },
  });
}

/** Whole; equal texts mean equal documents. */
export function grantText(grant: Grant): string {
  return emit({
    kind: 'Grant',
    group: grant.group,
    target: grant.target,
    secrets: grant.secrets.map(({ secret, file, mode, uid, gid }) => ({
      secret,
      file,
      mode,
      uid,
      gid,
    })),
    onChange: grant.onChange && { signal: grant.onChange.signal },
    onLeaseLoss: grant.onLeaseLoss,
    leaseSeconds: grant.leaseSeconds,
  });
}

/** Short enough for a reply. */
export function clipped(text: string): string {
  const max = limits.documentTextCharsMax;
  return text.length <= max ? text : text.slice(0, max - moreMark.length) + moreMark;
}

function sorted(
  labels: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  if (labels === undefined) return undefined;
  const keys = Object.keys(labels).toSorted();
  return Object.fromEntries(keys.map((key) => [key, labels[key] ?? '']));
}

function emit(document: Readonly<Record<string, unknown>>): string {
  return `${members(document, '').join('\n')}\n`;
}

function members(object: Readonly<Record<string, unknown>>, indent: string): string[] {
  return Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .flatMap(([key, value]) => member(`${indent}${scalar(key)}:`, value, indent));
}

function member(head: string, value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return [head, ...value.map((item) => `${indent}  - ${flow(item)}`)];
  }
  if (!isPlainObject(value)) return [`${head} ${scalar(value)}`];
  const inner = members(value, `${indent}  `);
  return inner.length === 0 ? [`${head} {}`] : [head, ...inner];
}

/** One list item on one line, so that a comparison by lines shows one secret as one line. */
function flow(value: unknown): string {
  if (!isPlainObject(value)) return scalar(value);
  const parts = Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .map(([key, part]) => `${key}: ${scalar(part)}`);
  return `{ ${parts.join(', ')} }`;
}

/** Plain only where no reader of YAML could take it for something else; JSON strings are YAML too. */
function scalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  const plain = /^[A-Za-z][A-Za-z0-9._/-]*$/.test(value);
  const word = /^(?:true|false|null|yes|no|on|off|y|n)$/i.test(value);
  return plain && !word ? value : JSON.stringify(value);
}
