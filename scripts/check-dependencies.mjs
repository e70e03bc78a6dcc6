/**
 * Holds the rules for packages of others, over package.json and the lockfile.
 *
 * Each run-time package is pinned, has its reason in docs/decisions/, and brings no program that runs
 * when it is installed; licences are on a list; the numbers stay small. Prints every breach; the last
 * line is the count.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const directMax = 6;
const runtimeMax = 10;
const allMax = 100;
/** koffi's finds its binary among its own optional packages; we never run it. */
const mayHaveInstallScript = new Set(['koffi']);
const licences = new Set([
  '0BSD',
  'Apache-2.0',
  'Apache-2.0 AND BSD-3-Clause',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
  'MIT OR Apache-2.0',
]);

const read = (path) => readFileSync(join(root, path), 'utf8');
const manifest = JSON.parse(read('package.json'));
const lockfile = read('package-lock.json');
const packages = Object.entries(JSON.parse(lockfile).packages)
  .filter(([path]) => path !== '')
  .map(([path, entry]) => ({ ...entry, name: path.replace(/^.*node_modules\//, '') }));
const decisions = readdirSync(join(root, 'docs/decisions'))
  .map((name) => read(join('docs/decisions', name)))
  .join('\n');

const breaches = [];
const isRuntime = (entry) => entry.dev !== true && entry.devOptional !== true;
/** Packages for other kinds of machine are listed, but only one of each is ever installed. */
const isForThisMachine = ({ os, cpu }) =>
  (os === undefined || [os].flat().includes('linux')) &&
  (cpu === undefined || [cpu].flat().includes('x64'));

const direct = Object.entries(manifest.dependencies);
if (direct.length > directMax) breaches.push(`${direct.length} direct run-time packages`);
for (const [name, version] of direct) {
  if (!decisions.includes(`\`${name}\``)) breaches.push(`${name} is named in no decision`);
  if (!/^\d+\.\d+\.\d+$/.test(version)) breaches.push(`${name} ${version} is not pinned`);
}
for (const [name, version] of Object.entries(manifest.devDependencies)) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) breaches.push(`${name} ${version} is not pinned`);
}

for (const { name, license, hasInstallScript, ...entry } of packages) {
  if (!licences.has(license?.replace(/^\((.*)\)$/, '$1')))
    breaches.push(`${name}: licence ${license ?? 'unknown'}`);
  if (hasInstallScript && isRuntime(entry) && !mayHaveInstallScript.has(name)) {
    breaches.push(`${name} runs a program when it is installed`);
  }
}
if (/"resolved"/.test(lockfile)) breaches.push('the lockfile names a registry');

const installed = packages.filter(isForThisMachine);
const runtime = installed.filter(isRuntime).length;
if (runtime > runtimeMax) breaches.push(`${runtime} run-time packages, at most ${runtimeMax}`);
if (installed.length > allMax) breaches.push(`${installed.length} packages, at most ${allMax}`);

for (const breach of breaches) process.stdout.write(`${breach}\n`);
const counts = `${direct.length} direct, ${runtime} at run time, ${installed.length} with tools`;
process.stdout.write(`${counts}\n`);
process.exitCode = breaches.length === 0 ? 0 : 1;
