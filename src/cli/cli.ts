/**
 * The command line: finds the command that is meant, runs it, and turns whatever goes wrong into
 * words and an exit code.
 *
 * Promises
 *   - Standard output carries data only. With `-o json` a failure is one line of RFC 9457 on standard
 *     error, and nothing on standard output.
 *   - No command shows a secret value; none takes one as an argument.
 *   - Nothing waits for a person who is not there.
 *
 * Each command is data (`command-spec.ts`); each noun's file is loaded only when it is used
 * (`catalogue.ts`), because the time to the first byte is part of how it feels.
 */
import { Fault, isFault } from '../base/fault.ts';
import type { ProgramIo } from '../base/program.ts';
import { type CatalogueEntry, catalogue, catalogueEntry } from './catalogue.ts';
import type { CommandSpec } from './command-spec.ts';
import type { DryRun } from './session.ts';

/** @returns the exit code: `coffer help exit-codes`. */
export async function runCli(argv: readonly string[], io: ProgramIo): Promise<number> {
  const place = { command: '', where: undefined as string | undefined };
  try {
    return await dispatch(argv, io, place);
  } catch (error) {
    const [{ formatProblem }, { makePaint }] = await Promise.all([
      import('../protocol/problem-text.ts'),
      import('../base/paint.ts'),
    ]);
    const json = wantsJson(argv, io);
    io.stderr.write(
      formatProblem(error, { ...place, json, paint: makePaint(io, 'stderr', undefined) }),
    );
    return isFault(error) ? error.spec.exit : 1;
  }
}

interface Place {
  command: string;
  where: string | undefined;
}

async function dispatch(argv: readonly string[], io: ProgramIo, place: Place): Promise<number> {
  const noun = nounOf(argv);
  const asksForHelp = argv.some((word) => word === '--help' || word === '-h');
  if (noun === undefined) {
    if (argv.includes('--version'))
      return await dispatch(['version', ...argv.filter((word) => word !== '--version')], io, place);
    return await showOverview(io, asksForHelp || argv.length === 0);
  }
  if (noun === 'help') return await help(argv.slice(argv.indexOf('help') + 1), io, place);
  if (noun === '__complete') {
    const { complete } = await import('./completion.ts');
    return await complete(argv.slice(argv.indexOf(noun) + 1), io);
  }
  const entry = catalogueEntry(noun);
  if (!entry) throw new Fault('cli.usage', { problem: await unknownCommand(noun) });
  return await runCommand(argv, io, { place, specs: await specsOf(entry) });
}

/** The first word that is neither an option nor an option's value. */
function nounOf(argv: readonly string[]): string | undefined {
  const withValue = /^(--(context|server|ca|pin|token-file|output|color|timeout)|-o)$/;
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (withValue.test(word)) at += 1;
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

async function specsOf(entry: CatalogueEntry): Promise<readonly CommandSpec[]> {
  const module = await entry.load?.();
  return (module?.commands ?? []).filter(({ name }) => name.split(' ')[0] === entry.noun);
}

async function runCommand(
  argv: readonly string[],
  io: ProgramIo,
  { place, specs }: { readonly place: Place; readonly specs: readonly CommandSpec[] },
): Promise<number> {
  const [{ commandMeant, parseCommand }, { Printed, Session }] = await Promise.all([
    import('./parser.ts'),
    import('./session.ts'),
  ]);
  place.command = commandMeant(specs, argv);
  const parsed = await parseCommand(specs, argv);
  if (parsed.kind === 'help') {
    io.stdout.write(parsed.text);
    return 0;
  }
  const { spec, given, flags } = parsed.invocation;
  place.command = spec.name;
  const timeout = new AbortController();
  const timer =
    flags.timeout === undefined
      ? undefined
      : io.clock.setTimer(flags.timeout * 1000, () => timeout.abort());
  const signal = AbortSignal.any([io.signal, timeout.signal]);
  const dryRun = given.text('dryRun') as DryRun | undefined;
  const session = new Session({ io, flags, command: spec.name, dryRun, signal });
  try {
    await session.format();
    if (flags.curl === true || flags.policy === true) {
      const { isExplained } = await import('./permissions.ts');
      if (await isExplained(session, spec, given)) return 0;
    }
    const code = (await spec.run(session, given)) ?? 0;
    if (signal.aborted) throw new Fault('cli.interrupted');
    return code;
  } catch (error) {
    if (error instanceof Printed) return 0;
    place.where = await session.whereIfUsed().catch(() => undefined);
    if (io.signal.aborted && session.isFollowing) return 130;
    if (timeout.signal.aborted) throw new Fault('cli.timeout', { seconds: flags.timeout });
    if (io.signal.aborted) throw new Fault('cli.interrupted');
    const [{ withSuggestion }, { withPlaces }] = await Promise.all([
      import('./suggestion.ts'),
      import('./input-places.ts'),
    ]);
    throw withPlaces(await withSuggestion(error, session, spec, given), spec);
  } finally {
    timer?.cancel();
    await session.close();
  }
}

async function showOverview(io: ProgramIo, wanted: boolean): Promise<number> {
  const { overviewText } = await import('./help-text.ts');
  io[wanted ? 'stdout' : 'stderr'].write(overviewText());
  return wanted ? 0 : 2;
}

async function help(words: readonly string[], io: ProgramIo, place: Place): Promise<number> {
  const [topic] = words;
  const text = await import('./help-text.ts');
  if (topic === undefined) return await showOverview(io, true);
  if (topic === 'exit-codes') io.stdout.write(text.exitCodesText());
  else if (topic === 'environment') io.stdout.write(text.environmentText());
  else if (topic === 'options') {
    const { globalOptionsText } = await import('./parser.ts');
    io.stdout.write(globalOptionsText());
  } else {
    const entry = catalogueEntry(topic);
    if (!entry) throw new Fault('cli.usage', { problem: await unknownCommand(topic) });
    if (entry.load)
      return await runCommand([...words, '--help'], io, { place, specs: await specsOf(entry) });
    io.stdout.write(
      `coffer ${entry.noun}: ${entry.summary}\n\nSee \`coffer ${entry.noun} --help\`.\n`,
    );
  }
  return 0;
}

async function unknownCommand(word: string): Promise<string> {
  const { nearest } = await import('../base/nearest-word.ts');
  const suggestion = nearest(
    word,
    catalogue.map((entry) => entry.noun),
  );
  const ask = suggestion === undefined ? '' : `; did you mean \`coffer ${suggestion}\`?`;
  return `there is no command ${JSON.stringify(word)}${ask}`;
}

/** Known before anything is parsed, because a failure to parse must be JSON, too. */
function wantsJson(argv: readonly string[], io: ProgramIo): boolean {
  const joined = argv.join('\n');
  const flag = /(?:^|\n)(?:-o\n?|--output[\n=])([a-z]+)/.exec(joined)?.[1];
  return (flag ?? io.env['COFFER_OUTPUT']) === 'json';
}
