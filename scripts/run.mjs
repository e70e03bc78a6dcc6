/**
 * What `npm run demo`, `npm run verify` and `npm run bench` start: sets the machine up, then runs the
 * program under the Node this project pins.
 *
 * Plain JavaScript without dependencies, for any Node from 20 on: it is there before anything else is.
 * All that can be TypeScript is in the programs it starts.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installModules, pathWith, pinnedNode, root, say } from './setup.mjs';
import { installPackages } from './system-packages.mjs';

const usage = `usage: node scripts/run.mjs demo|verify|bench [arguments]

  demo     [--json]              two containers, one secret: put, deliver, rotate, revoke
  verify   [--list] [--only <step or test file>] [--keep-going] [--long] [--no-install]
  bench    [<name> [arguments]]  without a name: which there are
`;

/** Steps of `verify` that need no programs of this machine. */
const selfContained = /^(types|format|lint|dead-code|generated|dependencies)$/;

/** Programs in bench/, by what their first lines say; what others there import or start is none. */
function benches() {
  const directory = join(root, 'bench');
  const names = existsSync(directory)
    ? readdirSync(directory).filter((name) => name.endsWith('.ts'))
    : [];
  const texts = new Map(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
  const isPart = (name) => [...texts.values()].some((text) => text.includes(`'./${name}'`));
  return [...texts]
    .filter(([name]) => !isPart(name) && !name.endsWith('-program.ts'))
    .map(([name, text]) => {
      const header = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? '';
      const about = header
        .replaceAll(/\s*\*\s/g, ' ')
        .trim()
        .split(/[.:]\s/)[0];
      return { name: name.slice(0, -3), about };
    });
}

/** The program to start, and whether it needs the machine's packages. */
function programOf(command, args) {
  if (command === 'verify') {
    const only = args[args.indexOf('--only') + 1];
    const isSelfContained = args.includes('--only') && selfContained.test(only ?? '');
    const needsPackages =
      !isSelfContained && !args.includes('--list') && !args.includes('--no-install');
    return { path: 'scripts/verify.ts', args, needsPackages };
  }
  if (command === 'demo') return { path: 'scenarios/demo/demo.ts', args, needsPackages: true };
  if (command !== 'bench') return undefined;
  const [name, ...rest] = args;
  const known = benches();
  if (!known.some((bench) => bench.name === name)) {
    for (const bench of known) say(`${bench.name.padEnd(12)} ${bench.about}`);
    say('\nrun one: npm run bench -- <name> [arguments]');
    process.exit(name === undefined ? 0 : 2);
  }
  return { path: `bench/${name}.ts`, args: rest, needsPackages: false };
}

async function main() {
  const [command, ...args] = process.argv.slice(2);
  const program = programOf(command, args);
  if (program === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  // What a program prints with --json is for a program to read: ours goes to standard error then.
  const notes = args.includes('--json') ? process.stderr : process.stdout;
  installModules(notes);
  const node = pinnedNode();
  if (program.needsPackages) await installPackages(command, notes);
  if (!existsSync(join(root, program.path))) {
    say(`${program.path} is not in this tree.`);
    return 1;
  }
  const child = spawn(node, [join(root, program.path), ...program.args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: pathWith(node) },
  });
  // The child ends what it started; we only wait.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill(signal));
  }
  return new Promise((resolve) => {
    child.on('error', (error) => {
      say(`${node}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (status, signal) => resolve(status ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

process.exitCode = await main();
