/**
 * Names that people choose: checked here and nowhere else, and never folded. A spelling that is not
 * canonical is refused, so that no two spellings can mean one thing to one part and two things to
 * another (THREAT-MODEL, V1).
 */
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { isSegment } from '../base/segment.ts';

declare const brand: unique symbol;
type Branded<Kind extends string> = string & { readonly [brand]: Kind };

/** Of a group, grant, node, role, label key or delivered file: one segment. */
export type Name = Branded<'Name'>;
/** Of a secret: one to eight segments joined by single slashes, e.g. `payments/db-password`. */
export type SecretName = Branded<'SecretName'>;
/** Of resources: segments as in a secret name, where `*` stands for one and a last `**` for the rest. */
export type PathPattern = Branded<'PathPattern'>;

const segmentRule =
  `at most ${limits.nameSegmentCharsMax} of a-z, 0-9, dot, dash and underscore, ` +
  'beginning and ending with a letter or digit, without two dots in a row';
/** What is said to who misspelt one: `must be …`. */
export const nameRule = `a name of ${segmentRule}`;
const segmentsRule = `at most ${limits.nameSegmentsMax} names joined by single slashes`;
export const secretNameRule = `${segmentsRule}, each of ${segmentRule}`;

/** @throws Fault `name.invalid` */
export function parseName(text: string): Name {
  if (!isSegment(text)) throw new Fault('name.invalid', { kind: 'name' });
  return text as Name;
}

/** @throws Fault `name.invalid` */
export function parseSecretName(text: string): SecretName {
  const segments = text.split('/', limits.nameSegmentsMax + 1);
  if (segments.length > limits.nameSegmentsMax || !segments.every(isSegment)) {
    throw new Fault('name.invalid', { kind: 'secret name' });
  }
  return text as SecretName;
}

/** @throws Fault `name.invalid` */
export function parsePathPattern(text: string): PathPattern {
  const segments = text.split('/', limits.nameSegmentsMax + 2);
  const last = segments.length - 1;
  const sound = segments.every(
    (segment, index) =>
      isSegment(segment) || segment === '*' || (segment === '**' && index === last),
  );
  if (!sound || segments.length > limits.nameSegmentsMax + 1) {
    throw new Fault('name.invalid', { kind: 'path pattern' });
  }
  return text as PathPattern;
}
