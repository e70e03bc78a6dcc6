export interface NodeSettings {
  readonly flags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** For the program that is named first on the command line. */
export function nodeFor(program: string | undefined): NodeSettings;
