/**
 * Contexts: the gateways that this person works with, by name, in one YAML file that people may
 * edit. Tokens are not in it: each context's token is a file of its own (`places.ts`).
 */
import { Fault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { nameSchema } from '../model/group.ts';
import { configFile, type Environment } from './places.ts';
import { readPrivateFile, writePrivateFile } from './private-file.ts';

const contextSchema = schema.object({
  name: nameSchema,
  /** `https://host:port` */
  server: schema.string({ min: 10, max: 512 }),
  /** Authorities, PEM: kept in here, so that a context is one thing that can be copied. */
  ca: schema.optional(schema.string({ min: 1, max: 65_536 })),
  /** `sha256:…` of a public key in the gateway's chain. */
  pins: schema.optional(schema.array(schema.string({ min: 71, max: 71 }), { max: 8 })),
  /** In place of the token that `context add` keeps. */
  tokenFile: schema.optional(schema.string({ min: 1, max: 4096 })),
});
export type Context = schema.Infer<typeof contextSchema>;

const contextsSchema = schema.object({
  'current-context': schema.optional(schema.string({ max: 64 })),
  contexts: schema.optional(schema.array(contextSchema, { max: 1000 })),
});

export interface Contexts {
  readonly current: string | undefined;
  readonly contexts: readonly Context[];
}

/** @throws Fault `request.malformed`, `request.invalid`, `cli.file`, `cli.file-unsafe` */
export async function readContexts(env: Environment): Promise<Contexts> {
  const path = configFile(env);
  const bytes = await readPrivateFile(path, { secret: false });
  if (bytes === undefined) return { current: undefined, contexts: [] };
  const { parseYaml } = await import('./yaml-text.ts');
  const [document] = parseYaml(bytes.toString('utf8'), path);
  const read = schema.parse(contextsSchema, document?.value ?? {}, path);
  return { current: read['current-context'], contexts: read.contexts ?? [] };
}

export async function writeContexts(env: Environment, contexts: Contexts): Promise<void> {
  const { formatYaml } = await import('./yaml-text.ts');
  const text = formatYaml({
    'current-context': contexts.current,
    contexts: contexts.contexts.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  });
  await writePrivateFile(configFile(env), text);
}

/** @throws Fault `cli.context-unknown` */
export function contextNamed(contexts: Contexts, name: string): Context {
  const found = contexts.contexts.find((context) => context.name === name);
  if (!found) throw new Fault('cli.context-unknown', { context: name });
  return found;
}
