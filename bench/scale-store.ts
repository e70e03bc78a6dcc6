/**
 * A store with a million secrets and ten thousand groups with their grants, made through the write path,
 * in large commits. It takes minutes.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { gatewayPrincipal } from '../src/model/principal.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import type { AuditEntry, AuditRequest } from '../src/gateway/audit/audit.ts';
import { type BenchCore, openBenchCore } from './core.ts';

export interface ScaleSizes {
  readonly secrets: number;
  readonly grants: number;
  /** Secrets of one grant. */
  readonly granted: number;
  readonly workloads: number;
  readonly nodes: number;
}

/** Plans that share a commit. */
const together = 4096;
const secondsBetweenLines = 5;

/** Makes the store unless this directory has one of these sizes already. */
export async function scaleStore(directory: string, sizes: ScaleSizes): Promise<void> {
  const complete = join(directory, 'complete');
  const wanted = JSON.stringify(sizes);
  if (existsSync(complete) && readFileSync(complete, 'utf8') === wanted) return;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700, recursive: true });
  await using bench = await openBenchCore(directory);
  await fill(bench, sizes);
  writeFileSync(complete, wanted);
}

export function secretAt(index: number): string {
  return `team-${index % 1000}/service-${Math.floor(index / 1000)}/password`;
}

export function groupAt(index: number): string {
  return `group-${index}`;
}

export function labelsAt(index: number): Readonly<Record<string, string>> {
  return { app: `app-${index}` };
}

/** Each grant has secrets of its own. */
export function grantAt(index: number, granted: number) {
  return {
    group: parseName(groupAt(index)),
    secrets: Array.from({ length: granted }, (_, at) => ({
      secret: parseSecretName(secretAt(index * granted + at)),
      file: parseName(`password-${at}`),
    })),
  };
}

async function fill(bench: BenchCore, sizes: ScaleSizes): Promise<void> {
  const { policy, secrets } = bench.core;
  await inGroups(bench, 'secrets', sizes.secrets, (index) => {
    using value = SecretValue.copy(Buffer.from(`value ${index}, as long as passwords are`));
    const name = parseSecretName(secretAt(index));
    return ['secret.put', secrets.planPut({ name, value, by: 'bench' })];
  });
  await inGroups(bench, 'groups', sizes.grants, (index) => {
    const match = { docker: { labels: labelsAt(index) } };
    return ['group.put', policy.plans.putGroup({ name: parseName(groupAt(index)), match })];
  });
  await inGroups(bench, 'grants', sizes.grants, (index) => [
    'grant.put',
    policy.plans.putGrant(grantAt(index, sizes.granted)),
  ]);
}

type Plan = Pick<AuditRequest, 'writes' | 'expectations'>;

function entryOf(action: string): AuditEntry {
  const about = { resource: 'bench', outcome: 'ok', rule: '', requestId: '', detail: {} };
  return { principal: gatewayPrincipal, action, ...about };
}

async function inGroups(
  { core: { audit } }: BenchCore,
  what: string,
  count: number,
  plan: (index: number) => readonly [action: string, plan: Plan],
): Promise<void> {
  let saidAt = process.uptime();
  for (let at = 0; at < count; ) {
    const length = Math.min(together, count - at);
    const plans = Array.from({ length }, (_, index) => plan(at + index));
    const [first, ...rest] = plans.map(([action]) => entryOf(action));
    if (!first) return;
    await audit.commit({
      writes: plans.flatMap(([, { writes }]) => writes),
      expectations: plans.flatMap(([, { expectations }]) => expectations),
      entries: [first, ...rest],
    });
    at += length;
    if (process.uptime() - saidAt < secondsBetweenLines && at < count) continue;
    saidAt = process.uptime();
    process.stderr.write(
      `store: ${at.toLocaleString('en')} of ${count.toLocaleString('en')} ${what}\n`,
    );
  }
}
