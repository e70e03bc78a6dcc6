/**
 * The first step of every command: packages from the lockfile, and the Node that they pin.
 *
 * Idempotent, and two small reads when all is done. Package scripts never run. A `node_modules` that
 * is a symbolic link is somebody else's and stays as it is.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const nodeMajorMin = 26;

export function say(text, to = process.stdout) {
  to.write(`${text}\n`);
}

function packagesIn(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/** Why `node_modules` is not what the lockfile says; undefined if it is. */
function whyStale() {
  // npm writes this when it is done, so a broken-off installation has none.
  const installedList = join(modules, '.package-lock.json');
  if (!existsSync(installedList)) return 'node_modules is not there yet';
  const wanted = packagesIn(join(root, 'package-lock.json'));
  const installed = packagesIn(installedList);
  const stale = Object.entries(wanted).find(
    ([path, { version, optional }]) =>
      path !== '' && installed[path]?.version !== version && !(optional && !installed[path]),
  );
  return stale && `${stale[0].replace(/^node_modules\//, '')} is not ${stale[1].version}`;
}

export function installModules(notes) {
  const reason = whyStale();
  if (reason === undefined) return;
  if (existsSync(modules) && lstatSync(modules).isSymbolicLink()) {
    say(`setup: ${reason}, but node_modules is a link: left as it is`, notes);
    return;
  }
  say(`setup: ${reason}: npm ci --ignore-scripts`, notes);
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env['npm_execpath'];
  const isNpm = npm?.endsWith('npm-cli.js') === true;
  const [program, before] = isNpm ? [process.execPath, [npm]] : ['npm', []];
  const pinned = pinnedPath();
  // npm chooses by the Node that runs it.
  const env = { ...process.env, ...(existsSync(pinned) ? { PATH: pathWith(pinned) } : {}) };
  try {
    execFileSync(program, [...before, ...args], { cwd: root, stdio: ['ignore', 2, 2], env });
  } catch (error) {
    say(`setup: npm ci failed (${error.message}). Is the package registry reachable?`);
    process.exit(1);
  }
}

function pinnedPath() {
  return join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node');
}

/** The Node to run under. Ends the process where there is none. */
export function pinnedNode() {
  const pinned = pinnedPath();
  if (existsSync(pinned)) return pinned;
  say(
    `setup: no pinned Node and tools for ${process.platform} on ${process.arch}. Cofferdam runs on Linux\n` +
      'with glibc, on x64 and arm64. Elsewhere nothing that mounts can run; those tests that mount\n' +
      `nothing run under Node ${nodeMajorMin} or newer (this is ${process.version}):\n` +
      "  node --test 'src/{base,client,crypto,gateway,model,protocol}/**/*.test.ts'",
  );
  process.exit(1);
}

/** A search path on which `node` is this Node. */
export function pathWith(node) {
  return [dirname(node), join(modules, '.bin'), process.env['PATH'] ?? ''].join(delimiter);
}
