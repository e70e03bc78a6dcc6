/**
 * The main job, end to end, for a person to watch: a secret is put, granted to a group, appears in the
 * memory of exactly those containers, changes without a restart, is revoked, and the audit log proves it.
 *
 * node scenarios/demo/demo.ts [--json] [--keep] [--verbose]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type ParseArgsConfig, parseArgs, styleText } from 'node:util';
import { systemClock as clock } from '../../src/base/clock.ts';
import type { GroupMatch } from '../../src/model/group.ts';
import { parseName, parseSecretName } from '../../src/model/name.ts';
import { SecretValue } from '../../src/model/secret-value.ts';
import { Installation } from '../../src/testing/installation.ts';
import { until } from '../../src/testing/until.ts';
import { type DemoWorkload, readInside, startWorkloads } from './workloads.ts';

const usage = `usage: npm run demo [-- --json] [-- --keep] [-- --namespaces] [-- --verbose]

  --json         one line per step: {"step":"put|delivered|rotated|revoked|audit-verified","ms":…}
  --keep         leave it running, to play with
  --namespaces   Linux namespaces of our own, even where a container engine answers
  --verbose      show what the programs log
`;

const { values: flags } = readFlags({
  options: {
    json: { type: 'boolean' },
    keep: { type: 'boolean' },
    namespaces: { type: 'boolean' },
    verbose: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

function readFlags<const Config extends ParseArgsConfig>(config: Config) {
  try {
    return parseArgs(config);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}

if (flags.help) {
  process.stdout.write(usage);
  process.exit(0);
}

const secret = parseSecretName('payments/db-password');
const group = parseName('payments-api');
const file = 'db-password';
/** This one, wherever a shell stands: `npx coffer` would be whatever a registry calls so. */
const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');

const say = (text: string): void => {
  if (!flags.json) process.stdout.write(`${text}\n`);
};

function step(name: string, ms: number, text: string): void {
  if (flags.json)
    process.stdout.write(`${JSON.stringify({ step: name, ms: Math.round(ms * 10) / 10 })}\n`);
  else
    say(
      `  ${styleText('green', '✔')} ${name.padEnd(15)} ${`${ms.toFixed(1)} ms`.padStart(10)}   ${text}`,
    );
}

/** Looks as often as the machine allows: it is what is measured. */
const patience = { everyMs: 0 };

async function timed(act: () => Promise<unknown>): Promise<number> {
  const startedMs = clock.monotonicMs();
  await act();
  return clock.monotonicMs() - startedMs;
}

const valueOf = (text: string): SecretValue => SecretValue.copy(Buffer.from(text, 'utf8'));

async function put(installation: Installation, text: string): Promise<void> {
  using value = valueOf(text);
  await installation.client.call('secret.put', { name: secret }, { value });
}

async function main(): Promise<void> {
  say(styleText('bold', '\nCofferdam: secrets into the memory of running containers\n'));
  // Whoever plays with it may close the terminal that it was started in.
  const outlivesUs = flags.keep === true;
  await using workloads = await startWorkloads({ engine: flags.namespaces !== true, outlivesUs });
  const entitled = workloads.all.filter((workload) => workload.entitled);
  const others = workloads.all.filter((workload) => !workload.entitled);
  say(`  containers from ${workloads.kind}`);
  for (const { name, about } of workloads.all) say(`    ${name.padEnd(16)} ${about}`);

  await using installation = await Installation.start({
    runtime: workloads.runtime,
    outlivesUs,
    onLog: (program, line) => {
      if (flags.verbose) process.stderr.write(`${program}: ${line}\n`);
    },
  });
  say(`  gateway at ${installation.address}, one enforcer, joined by a one-time token\n`);
  await prove(installation, entitled, others, workloads.match);
  if (flags.keep) await keep(installation, entitled);
  say(`\n  cleaning up\n`);
}

async function prove(
  installation: Installation,
  entitled: readonly DemoWorkload[],
  others: readonly DemoWorkload[],
  match: GroupMatch,
): Promise<void> {
  const { client } = installation;
  const everywhere = (text: string | undefined) => (): boolean =>
    entitled.every(({ pid }) => readInside(pid, file) === text);
  const names = entitled.map(({ name }) => name).join(' and ');

  const putMs = await timed(() => put(installation, 'first-password'));
  step('put', putMs, `${secret}, version 1: sealed, recorded, on disk`);

  await client.call('group.put', { name: group, match }, { ifRevision: 0 });
  await client.call('grant.put', { group, secrets: [{ secret }] }, { ifRevision: 0 });
  const deliveredMs = await until('delivered', everywhere('first-password'), patience);
  step('delivered', deliveredMs, `in /run/secrets/${file} of ${names}`);
  for (const { name, pid } of others) {
    if (readInside(pid, file) !== undefined) throw new Error(`${name} is not entitled and has it`);
    say(`    ${name} is not entitled: it has no such file`);
  }

  await put(installation, 'second-password');
  const rotatedMs = await until('rotated', everywhere('second-password'), patience);
  step('rotated', rotatedMs, 'version 2 read inside both, no restart, same processes');

  await client.call('secret.revoke', { name: secret });
  const revokedMs = await until(
    'revoked',
    async () => {
      if (!everywhere(undefined)()) return false;
      const { output } = await client.call('holding.list', { secret });
      return output.items.length === 0;
    },
    patience,
  );
  step('revoked', revokedMs, `gone from ${names}, receipts in`);

  const verifiedMs = await timed(() => verifyAudit(installation));
  step('audit-verified', verifiedMs, 'every entry, against the signed head of the log');
}

/** By the CLI, which trusts nothing that the gateway says about its log. */
async function verifyAudit(installation: Installation): Promise<void> {
  const env = {
    ...installation.environment,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: installation.directory,
  };
  const child = spawn(process.execPath, [coffer, 'audit', 'verify'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
  const [status] = (await once(child, 'close')) as [number];
  if (status !== 0) throw new Error(`coffer audit verify: exit ${status}`);
  for (const line of Buffer.concat(said).toString('utf8').trim().split('\n')) say(`    ${line}`);
}

async function keep(installation: Installation, entitled: readonly DemoWorkload[]): Promise<void> {
  const quoted = (text: string): string =>
    /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const program = quoted(coffer);
  const exported = Object.entries(installation.environment);
  const lines = [
    ...exported.map(([name, value]) => `export ${name}=${quoted(value)}`),
    `${program} secret put ${secret}    # asks for a value`,
    `${program} where`,
    ...entitled.map(({ readLine }) => `${readLine(file)}    # as root`),
    `${program} audit tail`,
  ];
  const shown = lines.map((line) => `    ${line}\n`).join('');
  say(`\n  It goes on running. In another shell:\n\n${shown}\n  Ctrl-C ends it.`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`demo failed: ${error instanceof Error ? error.message : 'unknown'}\n`);
  process.exit(1);
}
