/** What was typed after a command's name, as its code wants it: words by name, options by type. */
import { assert } from '../base/assert.ts';

export class Given {
  readonly #words: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly #options: Readonly<Record<string, unknown>>;

  constructor(
    words: Readonly<Record<string, string | readonly string[] | undefined>>,
    options: Readonly<Record<string, unknown>>,
  ) {
    this.#words = words;
    this.#options = options;
  }

  /** A word that the grammar requires. */
  word(name: string): string {
    const value = this.#words[name];
    assert(typeof value === 'string', 'a required word is there, or the grammar refused');
    return value;
  }

  maybeWord(name: string): string | undefined {
    const value = this.#words[name];
    return typeof value === 'string' ? value : undefined;
  }

  words(name: string): readonly string[] {
    const value = this.#words[name];
    return typeof value === 'string' ? [value] : (value ?? []);
  }

  text(option: string): string | undefined {
    const value = this.#options[option];
    return typeof value === 'string' ? value : undefined;
  }

  number(option: string): number | undefined {
    const value = this.#options[option];
    return typeof value === 'number' ? value : undefined;
  }

  flag(option: string): boolean {
    return this.#options[option] === true;
  }

  list(option: string): readonly string[] {
    const value = this.#options[option];
    return Array.isArray(value) ? (value as string[]) : [];
  }

  /** As it was typed: for members of an operation's input that go on unchanged. */
  option(option: string): unknown {
    return this.#options[option];
  }
}
