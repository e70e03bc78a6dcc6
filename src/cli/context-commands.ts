/** `coffer context …` and `coffer config explain`: which gateways there are, and what is in force. */
import { wipe } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { nameSchema } from '../model/group.ts';
import { parseAddress } from '../client/connection.ts';
import { asksNobody, type CommandSpec, usage, type WordSpec } from './command-spec.ts';
import {
  type Context,
  type Contexts,
  contextNamed,
  readContexts,
  writeContexts,
} from './contexts.ts';
import type { Given } from './given.ts';
import { askHidden, confirmByName } from './interaction.ts';
import { showList, showOne, showText, type View } from './output.ts';
import { auditMemoryFile, configFile, tokenFile } from './places.ts';
import { readPrivateFile, readUserFile, removeFile, writePrivateFile } from './private-file.ts';
import type { Session } from './session.ts';
import { tokenIn } from './settings.ts';
import { formatRows } from './table.ts';
import { visible } from '../base/visible-text.ts';

const nameWord: WordSpec = { name: 'name', about: 'of the context', kind: 'context' };

interface ContextRow {
  readonly name: string;
  readonly current: boolean;
  readonly server: string;
  readonly trust: string;
  readonly tokenFile: string;
}

const contextView: View<ContextRow> = {
  kind: 'context',
  nameOf: (context) => context.name,
  columns: [
    { title: 'NAME', of: (context) => context.name },
    { title: 'CURRENT', of: (context) => (context.current ? '*' : '-') },
    { title: 'SERVER', of: (context) => context.server },
    { title: 'TRUST', of: (context) => context.trust },
    { title: 'TOKEN FILE', wide: true, of: (context) => context.tokenFile },
  ],
};

function rowOf(session: Session, contexts: Contexts, context: Context): ContextRow {
  const trust = [...(context.ca === undefined ? [] : ['ca']), ...(context.pins ?? [])];
  return {
    name: context.name,
    current: context.name === contexts.current,
    server: context.server,
    trust: trust.length === 0 ? 'system' : trust.join(','),
    tokenFile: context.tokenFile ?? tokenFile(session.io.env, context.name),
  };
}

const list: CommandSpec = {
  name: 'context list',
  aliases: ['ls'],
  summary: 'List contexts',
  examples: ['coffer context list', 'coffer context list -o name'],
  permissions: asksNobody,
  async run(session) {
    const contexts = await readContexts(session.io.env);
    const items = contexts.contexts.map((context) => rowOf(session, contexts, context));
    await showList(session, contextView, { items });
  },
};

const show: CommandSpec = {
  name: 'context show',
  summary: 'Show a context; by default the current one',
  examples: ['coffer context show', 'coffer context show prod -o json'],
  words: [{ ...nameWord, optional: true }],
  permissions: asksNobody,
  async run(session, given) {
    const contexts = await readContexts(session.io.env);
    const name = given.maybeWord('name') ?? contexts.current;
    if (name === undefined) throw usage('there is no current context');
    const context = contextNamed(contexts, name);
    await showOne(session, contextView, { ...rowOf(session, contexts, context) });
  },
};

const use: CommandSpec = {
  name: 'context use',
  summary: 'Make a context the current one',
  examples: ['coffer context use prod', 'coffer --context prod status    # once'],
  words: [nameWord],
  permissions: asksNobody,
  async run(session, given) {
    const contexts = await readContexts(session.io.env);
    const { name } = contextNamed(contexts, given.word('name'));
    await writeContexts(session.io.env, { ...contexts, current: name });
    session.note(`context/${name} is current`);
  },
};

const add: CommandSpec = {
  name: 'context add',
  summary: 'Save a gateway: its address, how to verify it, and your token',
  details:
    'You are asked for the token, or it is read from --token-file (`-` for standard input); it is kept in ' +
    'a file that only you can read. Before that, the gateway must prove that it is the one of --pin or ' +
    '--ca, and accept the token; otherwise nothing is kept. The first context becomes the current one.',
  examples: [
    'coffer context add prod --server https://gateway.example:8443 --ca ca.pem',
    'coffer context add lab --server https://10.0.0.5:8443 --pin sha256:… --token-file token',
  ],
  words: [{ name: 'name', about: 'of the new context', optional: true }],
  options: [
    { flags: '--name <name>', about: 'the same as the argument' },
    { flags: '--no-token', about: 'save no token; COFFER_TOKEN will be set' },
    { flags: '--no-check', about: 'do not connect to the gateway now' },
    { flags: '--use', about: 'make it the current one' },
    {
      flags: '--replace',
      about: 'replace the context of this name, also its token; without --server only the token',
    },
  ],
  permissions: asksNobody,
  async run(session, given) {
    const { env } = session.io;
    const name = given.maybeWord('name') ?? given.text('name');
    if (name === undefined) throw usage('the context needs a name: `coffer context add NAME …`');
    const contexts = await readContexts(env);
    const old = contexts.contexts.find((other) => other.name === name);
    if (old && !given.flag('replace')) throw new Fault('cli.context-exists', { context: name });
    const context = await newContext(session, name, old);
    await checkAndKeepToken(session, given, context);
    // A token is for the gateway that gave it.
    const isLeft = given.option('token') === false && old?.server !== context.server;
    if (old && isLeft) await removeFile(tokenFile(env, name));
    const others = contexts.contexts.filter((other) => other !== old);
    const first = contexts.contexts.length === 0 || contexts.current === undefined;
    const current = first || given.flag('use') ? name : contexts.current;
    await writeContexts(env, { current, contexts: [...others, context] });
    const done = old === undefined ? 'added' : 'replaced';
    session.note(
      `context/${name} ${done}${current === name ? ' and current' : ''}: ${context.server}`,
    );
  },
};

/** @param old - What stays where nothing is given: then it is the same gateway. */
async function newContext(
  session: Session,
  name: string,
  old: Context | undefined,
): Promise<Context> {
  const { server, ca, pin } = session.flags;
  if (server === undefined && old && ca === undefined && pin === undefined) return old;
  if (server === undefined) throw usage('the context needs --server https://host:port');
  parseAddress(server);
  return {
    name: schema.parse(nameSchema, name, 'context name'),
    server,
    ...(ca === undefined ? {} : { ca: (await readUserFile(ca)).toString('utf8') }),
    ...(pin === undefined ? {} : { pins: pin }),
  };
}

async function checkAndKeepToken(session: Session, given: Given, context: Context): Promise<void> {
  const token = given.option('token') === false ? undefined : await readNewToken(session);
  try {
    const text = token && tokenIn(token.toString('latin1'), 'nothing was kept, this is no token');
    if (given.option('check') !== false) await check(session, context, text);
    if (text !== undefined) {
      await writePrivateFile(tokenFile(session.io.env, context.name), `${text}\n`);
    }
  } finally {
    if (token) wipe(token);
  }
}

async function check(session: Session, context: Context, token: string | undefined): Promise<void> {
  const { checkContext } = await import('./context-check.ts');
  try {
    const unknown = await session.waitingFor(checkContext(session, context, token));
    if (unknown !== undefined) session.note(unknown);
  } catch (error) {
    session.note('Nothing was kept. To keep it without connecting, use --no-check.');
    throw error;
  }
}

async function readNewToken(session: Session): Promise<Buffer> {
  const { tokenFile: path } = session.flags;
  if (path === '-') {
    const chunks: Buffer[] = [];
    for await (const chunk of session.input.pieces()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
  if (path !== undefined) return await readUserFile(path);
  using typed = await askHidden(session, 'Token (hidden)', '--token-file or --no-token');
  return typed.use((bytes) => Buffer.from(bytes));
}

const remove: CommandSpec = {
  name: 'context remove',
  aliases: ['rm'],
  summary: 'Delete a context, its token, and what was verified of its audit log',
  examples: ['coffer context remove lab', 'coffer context remove lab --yes'],
  words: [nameWord],
  destroys: true,
  permissions: asksNobody,
  async run(session, given) {
    const { env } = session.io;
    const contexts = await readContexts(env);
    const { name, server } = contextNamed(contexts, given.word('name'));
    await confirmByName(session, {
      name,
      what: [
        `The context ${name} (${server}) will be deleted, with`,
        `  its token: ${tokenFile(env, name)}`,
        `  what was verified of its audit log: ${auditMemoryFile(env, name)}`,
      ],
      yes: given.flag('yes'),
    });
    await removeFile(tokenFile(env, name));
    await removeFile(auditMemoryFile(env, name));
    await writeContexts(env, {
      current: contexts.current === name ? undefined : contexts.current,
      contexts: contexts.contexts.filter((context) => context.name !== name),
    });
    session.note(`context/${name} removed`);
  },
};

const rename: CommandSpec = {
  name: 'context rename',
  summary: 'Rename a context',
  examples: ['coffer context rename prod production', 'coffer context rename local test'],
  words: [nameWord, { name: 'to', about: 'its new name' }],
  permissions: asksNobody,
  async run(session, given) {
    const { env } = session.io;
    const contexts = await readContexts(env);
    const old = contextNamed(contexts, given.word('name'));
    const name = schema.parse(nameSchema, given.word('to'), 'context name');
    if (contexts.contexts.some((context) => context.name === name)) {
      throw new Fault('cli.context-exists', { context: name });
    }
    // Kept first and forgotten last: a crash in between leaves a copy, not a loss.
    const places = [tokenFile, auditMemoryFile] as const;
    for (const place of places) {
      const bytes = await readPrivateFile(place(env, old.name), { secret: true });
      if (bytes) await writePrivateFile(place(env, name), bytes);
    }
    await writeContexts(env, {
      current: contexts.current === old.name ? name : contexts.current,
      contexts: contexts.contexts.map((context) =>
        context === old ? { ...context, name } : context,
      ),
    });
    for (const place of places) await removeFile(place(env, old.name));
    session.note(`context/${old.name} is now context/${name}`);
  },
};

const explain: CommandSpec = {
  name: 'config explain',
  summary: 'Show each setting, its value, and where it comes from',
  examples: ['coffer config explain', 'coffer config explain -o json'],
  permissions: asksNobody,
  async run(session) {
    const settings = await session.settings();
    const { context, server, trust, token, output, interactive, log } = settings;
    const items = Object.entries({ context, server, trust, token, output, interactive, log }).map(
      ([setting, { value, from }]) => ({ setting, value: String(value ?? ''), from }),
    );
    const file = configFile(session.io.env);
    await showText(
      session,
      { items, file },
      {
        name: file,
        text: () =>
          formatRows([
            ['SETTING', 'VALUE', 'FROM'],
            ...items.map(({ setting, value, from }) =>
              [setting, value || '<none>', from].map(visible),
            ),
          ]),
      },
    );
  },
};

export const commands: readonly CommandSpec[] = [list, show, use, add, remove, rename, explain];
