/**
 * A store with a million secrets and ten thousand groups with their grants, made through the write path.
 * It takes minutes, so it is kept in the temporary directory, under a name that changes with the sizes
 * and with every line of the rooms that write it. `npm run bench -- scale --fresh` makes it anew.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { gatewayPrincipal } from '../src/model/principal.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import type { AuditRequest } from '../src/gateway/audit/audit.ts';
import { type BenchCore, openBenchCore } from './core.ts';

export interface ScaleSizes {
  readonly secrets: number;
  readonly grants: number;
  /** Secrets of one grant. */
  readonly granted: number;
  readonly workloads: number;
  readonly nodes: number;
}

const together = 512;
const sources = 'src/gateway/{physical,barrier,seal,audit,secrets,policy}/*.ts';
const root = join(import.meta.dirname, '..');

/** @returns Its directory. Not to be changed: work on a copy. */
export async function scaleStore(sizes: ScaleSizes, fresh: boolean): Promise<string> {
  const directory = join(tmpdir(), `coffer-bench-scale-${fingerprint(sizes)}`);
  const complete = join(directory, 'complete');
  if (fresh || !existsSync(complete)) rmSync(directory, { recursive: true, force: true });
  if (existsSync(complete)) return directory;
  mkdirSync(directory, { mode: 0o700 });
  await using bench = await openBenchCore(directory);
  await fill(bench, sizes);
  writeFileSync(complete, '');
  return directory;
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

async function fill({ core }: BenchCore, sizes: ScaleSizes): Promise<void> {
  const { audit, policy, secrets } = core;
  await inGroups('secrets', sizes.secrets, (index) => {
    using value = SecretValue.copy(Buffer.from(`value ${index}, as long as passwords are`));
    const name = parseSecretName(secretAt(index));
    const plan = secrets.planPut({ name, value, by: 'bench' });
    return audit.commit(requestOf('secret.put', plan));
  });
  await inGroups('groups', sizes.grants, (index) => {
    const match = { docker: { labels: labelsAt(index) } };
    const group = { name: parseName(groupAt(index)), match };
    return audit.commit(requestOf('group.put', policy.planPutGroup(group)));
  });
  await inGroups('grants', sizes.grants, (index) =>
    audit.commit(requestOf('grant.put', policy.planPutGrant(grantAt(index, sizes.granted)))),
  );
}

function requestOf(
  action: string,
  plan: Pick<AuditRequest, 'writes' | 'expectations'>,
): AuditRequest {
  const about = { resource: 'bench', outcome: 'ok', rule: '', requestId: '', detail: {} };
  const { writes, expectations } = plan;
  return { writes, expectations, entries: [{ principal: gatewayPrincipal, action, ...about }] };
}

async function inGroups(
  what: string,
  count: number,
  commit: (index: number) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < count; at += together) {
    const length = Math.min(together, count - at);
    await Promise.all(Array.from({ length }, (_, index) => commit(at + index)));
    if (Math.floor((at + length) / 50_000) > Math.floor(at / 50_000))
      process.stderr.write(`store: ${at + length} of ${count} ${what}\n`);
  }
}

function fingerprint(sizes: ScaleSizes): string {
  const digest = createHash('sha256').update(JSON.stringify(sizes));
  const paths = globSync(sources, { cwd: root }).filter((path) => !path.includes('.test.'));
  for (const path of [...paths, 'bench/scale-store.ts'].sort())
    digest.update(readFileSync(join(root, path)));
  return digest.digest('hex').slice(0, 16);
}
