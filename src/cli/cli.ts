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
import { asksForHelp, saidHow, wordsAt } from '../base/command-line.ts';
import type { ProgramIo } from '../base/program.ts';
import { type CatalogueEntry, catalogue, catalogueEntry } from './catalogue.ts';
import { type CommandSpec, usage } from './command-spec.ts';
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
    const { output, color } = saidHow(argv);
    const { outputByDefault } = await import('./settings.ts');
    const json = (output ?? (await outputByDefault(io))) === 'json';
    const paint = makePaint(io, 'stderr', color);
    io.stderr.write(formatProblem(error, { ...place, json, paint }));
    return isFault(error) ? error.spec.exit : 1;
  }
}

interface Place {
  command: string;
  where: string | undefined;
}

async function dispatch(argv: readonly string[], io: ProgramIo, place: Place): Promise<number> {
  const [nounAt = argv.length] = wordsAt(argv);
  const noun = argv[nounAt];
  if (noun === undefined) {
    if (argv.includes('--version'))
      return await dispatch(['version', ...argv.filter((word) => word !== '--version')], io, place);
    if (!asksForHelp(argv) && argv.length > 0) throw usage('no command was given');
    return await showOverview(io);
  }
  if (noun === 'help') return await help(argv.slice(nounAt + 1), io, place);
  if (noun === '__complete') {
    const { complete } = await import('./completion.ts');
    return await complete(argv.slice(nounAt + 1), io);
  }
  const entry = catalogueEntry(noun);
  if (!entry) throw usage(await unknownCommand(noun));
  return await runCommand(argv, io, { place, specs: await specsOf(entry) });
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

async function showOverview(io: ProgramIo): Promise<number> {
  const { overviewText } = await import('./help-text.ts');
  io.stdout.write(overviewText());
  return 0;
}

async function help(words: readonly string[], io: ProgramIo, place: Place): Promise<number> {
  const [topic] = words;
  const text = await import('./help-text.ts');
  if (topic === undefined) return await showOverview(io);
  if (topic === 'exit-codes') io.stdout.write(text.exitCodesText());
  else if (topic === 'environment') io.stdout.write(text.environmentText());
  else if (topic === 'options') {
    const { globalOptionsText } = await import('./parser.ts');
    io.stdout.write(globalOptionsText());
  } else {
    const entry = catalogueEntry(topic);
    if (!entry) throw usage(await unknownCommand(topic));
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
