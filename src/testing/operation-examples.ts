/**
 * For every operation a request that would succeed for whoever may make it. A new operation without a
 * row does not compile.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { makeCsr } from '../crypto/csr.ts';
import { formatJoinToken } from '../protocol/join-token.ts';
import type { OperationName } from '../protocol/operations.ts';
import type { OperationReply } from '../protocol/request.ts';
import type { Principal } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { type RequestRig, testSettings } from './request-rig.ts';

export interface Example {
  readonly input: Readonly<Record<string, unknown>>;
  readonly value?: string;
  /** It needs an If-Match: the revision that this finds. */
  readonly ifRevision?: (rig: RequestRig) => number;
}

/** Names that stand for one team's things; each role of the tests is bound to `payments` or to all. */
export interface Place {
  readonly secret: string;
  readonly group: string;
  readonly node: string;
}

export const ownPlace: Place = { secret: 'payments/db', group: 'payments-api', node: 'node-1' };
export const otherPlace: Place = { secret: 'mail/db', group: 'mail-api', node: 'node-2' };

const secretRevision = (name: string) => (rig: RequestRig) =>
  rig.secrets.reader.find(parseSecretName(name))?.revision ?? 0;
const groupRevision = (name: string) => (rig: RequestRig) =>
  rig.policy.group(parseName(name))?.revision ?? 0;
const grantRevision = (name: string) => (rig: RequestRig) =>
  rig.policy.grant(parseName(name))?.revision ?? 0;

const match = { docker: { name: 'api' } };

export function examplesIn(place: Place): Readonly<Record<OperationName, Example>> {
  const { secret, group, node } = place;
  const grant = { group, secrets: [{ secret }] };
  return {
    'secret.list': { input: {} },
    'secret.get': { input: { name: secret } },
    'secret.put': { input: { name: secret }, value: 'a value' },
    'secret.generate': { input: { name: secret } },
    'secret.update': {
      input: { name: secret, description: 'changed' },
      ifRevision: secretRevision(secret),
    },
    'secret.promote': { input: { name: secret } },
    'secret.rollback': { input: { name: secret } },
    'secret.revoke': { input: { name: secret, version: 1 } },
    'secret.destroy': { input: { name: secret, version: 1 } },
    'secret.delete': { input: { name: secret }, ifRevision: secretRevision(secret) },
    'secret.restore': { input: { name: secret } },
    'group.list': { input: {} },
    'group.get': { input: { name: group } },
    'group.put': {
      input: { name: group, match: { docker: { name: 'other' } } },
      ifRevision: groupRevision(group),
    },
    'group.delete': {
      input: { name: `${group}-unused` },
      ifRevision: groupRevision(`${group}-unused`),
    },
    'grant.list': { input: {} },
    'grant.get': { input: { group } },
    'grant.put': { input: { ...grant, target: '/run/other' }, ifRevision: grantRevision(group) },
    'grant.delete': { input: { group }, ifRevision: grantRevision(group) },
    'policy.diff': { input: { documents: [{ kind: 'Group', name: `${group}-new`, match }] } },
    'policy.apply': { input: { documents: [{ kind: 'Group', name: `${group}-new`, match }] } },
    'access.explain': { input: { workload: `wld_${'0'.repeat(32)}`, secret } },
    'access.who-can': { input: { secret } },
    'node.list': { input: {} },
    'node.token': { input: { name: `${node}-new` } },
    'node.join': { input: { token: unknownToken(node), certificateRequest: makeRequestPem() } },
    'node.revoke': { input: { name: node } },
    'workload.list': { input: {} },
    'holding.list': { input: { secret } },
    'token.list': { input: {} },
    'token.create': {
      input: { name: `ci-${group}-new`, role: 'writer', paths: [`secrets/${secret}`] },
    },
    'token.revoke': { input: { name: `ci-${group}` } },
    'audit.list': { input: {} },
    'audit.tail': { input: {} },
    'audit.checkpoint': { input: {} },
    'audit.prove': { input: { sequence: 0 } },
    'event.watch': { input: {} },
    'system.status': { input: {} },
    'system.seal-status': { input: {} },
    'system.unseal': { input: {}, value: 'a guess' },
    'system.seal': { input: {} },
    'system.rotate-root-key': { input: {} },
    'system.accept-rollback': { input: { reason: 'restored from tape' } },
    'system.backup': { input: {} },
  };
}

/** Well formed, and of no gateway. */
function unknownToken(node: string): string {
  const secret = 'A'.repeat(43);
  const { address, pin } = testSettings;
  return formatJoinToken({ address, pin, node: parseName(node), id: '0'.repeat(32), secret });
}

/** Makes the example's request. */
export function askExample(
  rig: RequestRig,
  principal: Principal,
  operation: OperationName,
  example: Example,
): Promise<OperationReply<OperationName>> {
  const { input, value, ifRevision } = example;
  return rig.ask(principal, operation, input, {
    ...(value === undefined ? {} : { value: SecretValue.copy(Buffer.from(value)) }),
    ...(ifRevision === undefined ? {} : { ifRevision: ifRevision(rig) }),
  });
}

/** A certificate request for a new key, as an enforcer makes it. */
export function makeRequestPem(privateKey = newKey()): string {
  const lines =
    makeCsr(privateKey)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  const body = lines.join('\n');
  return `-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----\n`;
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
}

/** Joins a node through the pipeline, as an owner and then an enforcer do. */
export async function joinNode(
  rig: RequestRig,
  owner: Principal,
  nobody: Principal,
  name: string,
): Promise<{ readonly certificate: string }> {
  const { output } = await rig.ask(owner, 'node.token', { name });
  const input = { token: output.token, certificateRequest: makeRequestPem() };
  return (await rig.ask(nobody, 'node.join', input)).output;
}

/** Something of everything in both places: secrets with every stage, groups, grants, nodes. */
export async function fillRig(rig: RequestRig, owner: Principal, nobody: Principal): Promise<void> {
  for (const { secret, group, node } of [ownPlace, otherPlace]) {
    for (const text of ['one', 'two', 'three']) await rig.put(owner, secret, text);
    await rig.put(owner, secret, 'four', { input: { name: secret, stage: 'pending' } });
    for (const name of [group, `${group}-unused`])
      await rig.ask(owner, 'group.put', { name, match });
    await rig.ask(owner, 'grant.put', { group, secrets: [{ secret }] });
    await joinNode(rig, owner, nobody, node);
    const paths = [`secrets/${secret}`];
    await rig.ask(owner, 'token.create', { name: `ci-${group}`, role: 'writer', paths });
  }
  setTestWorkload(rig);
}

/** Workloads are in no record: a copy of records needs it again. */
export function setTestWorkload(rig: RequestRig): void {
  rig.policy.setWorkload({
    id: `wld_${'0'.repeat(32)}`,
    runtime: 'docker',
    name: 'api',
    node: 'node-1',
    image: { reference: 'api:1', id: '', digests: [] },
    labels: {},
  });
}
