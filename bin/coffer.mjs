#!/usr/bin/env node
/**
 * The `coffer` command as npm installs it: starts src/main.ts under the Node that this package
 * brings along, whatever Node runs this file.
 *
 * Promises: arguments, standard streams, signals and the exit code pass through unchanged.
 * Plain JavaScript, because it must run under Node 20.
 */
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { nodeFor } from './node-flags.mjs';

const majorNeeded = 26;
// Absent from Node 20.
const { enableCompileCache } = nodeModule;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const main = join(root, 'src', 'main.ts');
const [major = 0] = process.versions.node.split('.').map(Number);

const { flags, environment } = nodeFor(process.argv[2]);
const cache = compileCache();

if (major === majorNeeded && flags.every((flag) => process.execArgv.includes(flag))) {
  if (cache !== undefined) enableCompileCache?.(cache);
  await import(pathToFileURL(main).href);
} else {
  const node = major === majorNeeded ? process.execPath : findNode();
  if (node === undefined) refuse();
  else become(node);
}

/**
 * Compiled code is kept only where nobody else can write: whoever writes there, runs code as this
 * user. Anything unusual, and there is no cache. It is enabled before the first TypeScript is loaded,
 * so that what strips types is not loaded either: 50 ms and 27 MiB.
 */
function compileCache() {
  if (process.env.NODE_COMPILE_CACHE || process.env.NODE_DISABLE_COMPILE_CACHE) return undefined;
  const given = process.env.XDG_CACHE_HOME;
  try {
    const base = given?.startsWith('/') ? given : join(homedir(), '.cache');
    let there = base;
    while (!existsSync(there)) there = dirname(there);
    // Before anything is made in what may be somebody else's home.
    if (!isOnlyOurs(realpathSync(there))) return undefined;
    const directory = join(base, 'coffer', 'compile-cache');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const real = realpathSync(directory);
    return isOnlyOurs(real) ? real : undefined;
  } catch {
    // A home that cannot be written, or none: slower, nothing else.
    return undefined;
  }
}

/**
 * From the root down: whoever may write to one of these directories can put another in the next one's
 * place, unless it is like /tmp, where only its owner can. A home that `sudo` left in the environment is
 * its user's, and so not root's.
 */
function isOnlyOurs(directory) {
  const user = process.geteuid?.();
  for (let path = directory; ; path = dirname(path)) {
    const { uid, mode } = lstatSync(path);
    const isSticky = path !== directory && (mode & 0o1000) !== 0;
    if ((uid !== user && uid !== 0) || ((mode & 0o022) !== 0 && !isSticky)) return false;
    if (path === dirname(path)) return true;
  }
}

/** Beside this package's own dependencies, or beside the package itself when npm hoisted them. */
function findNode() {
  for (const modules of [join(root, 'node_modules'), dirname(root)]) {
    if (!existsSync(modules)) continue;
    const named = readdirSync(modules).filter((name) => name === `node-linux-${process.arch}`);
    const found = named.map((name) => join(modules, name, 'bin', 'node')).find(existsSync);
    if (found !== undefined) return found;
  }
  return undefined;
}

function refuse() {
  process.stderr.write(
    `coffer: needs Node ${majorNeeded}; this is Node ${process.versions.node}, and the one that ` +
      `comes with Cofferdam is not installed.\n\nInstall it:\n\n    cd ${root} && npm ci\n`,
  );
  process.exitCode = 1;
}

function become(node) {
  const args = [...flags, '--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)];
  const env = {
    ...process.env,
    ...environment,
    ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
  };
  if (typeof process.execve === 'function') {
    process.removeAllListeners('warning');
    process.execve(node, [node, ...args], env);
  }
  const child = spawn(node, args, { stdio: 'inherit', env });
  const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'];
  // The terminal sends SIGINT to both of us already: this one only must not die of it first.
  const fromTerminal = process.stdin.isTTY ? ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGWINCH'] : [];
  for (const signal of forwarded) {
    process.on(signal, () => {
      if (!fromTerminal.includes(signal)) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`coffer: cannot start ${node}: ${error.code ?? error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // Only where the signal does not end us: say it as a shell would.
    process.exitCode = 128 + (constants.signals[signal] ?? 0);
  });
}
