/**
 * One segment of a name, in its one spelling: what people may call a thing, and what may stand for it in a
 * certificate.
 */

const pattern = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

/** Refuses what could be read in two ways; nothing is folded (THREAT-MODEL, V1). */
export function isSegment(text: string): boolean {
  return pattern.test(text) && !text.includes('..');
}
