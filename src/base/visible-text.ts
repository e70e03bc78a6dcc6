/**
 * Text from elsewhere, made safe to show: names of containers and labels are chosen by strangers, and
 * a terminal obeys control characters.
 */

/** Controls (C0, C1), and formats: what reorders or hides text, such as bidirectional controls. */
const unsafe = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

export function visible(text: string): string {
  return text.replaceAll(unsafe, escaped);
}

/** The same, keeping line breaks and tabs: for text with lines, such as YAML. */
export function visibleLines(text: string): string {
  return text.replaceAll(unsafe, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

/** JSON with what is left of the unsafe characters escaped; it means the same. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent) ?? 'null';
  return text.replaceAll(unsafe, (character) => (character === '\n' ? '\n' : escaped(character)));
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
