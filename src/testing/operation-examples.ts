/**
 * The contract's examples as requests that succeed: in a gateway that is filled for them, for the things
 * of one team and for those of another.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { defined } from '../base/assert.ts';
import { makeCsr } from '../crypto/csr.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import type { Principal } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { operationExamples } from '../protocol/examples.ts';
import { operationNamed, type OperationName, operationNames } from '../protocol/operations.ts';
import type { OperationReply } from '../protocol/request.ts';
import type { RequestRig } from './request-rig.ts';

export interface Example {
  readonly input: Readonly<Record<string, unknown>>;
  readonly value?: string;
  /** It needs an If-Match: the revision that this finds. */
  readonly ifRevision?: (rig: RequestRig) => number;
}

/** One team's things. The contract's examples are about those of `payments`, on `node-1`. */
export interface Place {
  readonly team: string;
  readonly secret: string;
  readonly group: string;
  readonly node: string;
}

export function placeOf(team: string, node: string): Place {
  return { team, secret: `${team}/db-password`, group: `${team}-api`, node };
}

export const ownPlace = placeOf('payments', 'node-1');
export const otherPlace = placeOf('mail', 'node-2');

export function examplesIn(place: Place): Readonly<Record<OperationName, Example>> {
  const examples = operationNames.map((name) => [name, exampleOf(name, place)] as const);
  return Object.fromEntries(examples) as Readonly<Record<OperationName, Example>>;
}

/** The log of a test is short. */
const inShortLog: Readonly<Partial<Record<OperationName, Example['input']>>> = {
  'audit.prove': { sequence: 0 },
  'audit.tail': { after: 0 },
  'event.watch': { after: 0 },
};

function exampleOf(name: OperationName, place: Place): Example {
  // A cursor is good in the gateway that made it.
  const { cursor: _cursor, ...given }: Example['input'] = operationExamples[name].input;
  const text = JSON.stringify(given)
    .replaceAll(ownPlace.team, place.team)
    .replaceAll(ownPlace.node, place.node);
  const input = JSON.parse(text) as Example['input'];
  const { body, preconditioned, resource } = operationNamed(name);
  return {
    input: { ...input, ...inShortLog[name] },
    ...(body === 'value' ? { value: 'a value' } : {}),
    ...(preconditioned === true ? { ifRevision: (rig) => revisionOf(rig, resource(input)) } : {}),
  };
}

/** Of what stands under this resource; 0 if nothing does. */
function revisionOf({ secrets, policy }: RequestRig, resource: string): number {
  const slash = resource.indexOf('/');
  const name = resource.slice(slash + 1);
  const finders: Readonly<Record<string, () => { readonly revision: number } | undefined>> = {
    secrets: () => secrets.reader.find(parseSecretName(name)),
    groups: () => policy.group(parseName(name)),
    grants: () => policy.grant(parseName(name)),
  };
  const find = finders[resource.slice(0, slash)];
  return defined(find, `the rig knows where ${resource} is kept`)()?.revision ?? 0;
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

/** What the examples are about, in both places: secrets with every stage, groups, grants, nodes, tokens. */
export async function fillRig(rig: RequestRig, owner: Principal, nobody: Principal): Promise<void> {
  const match = { docker: { name: 'api' } };
  for (const { team, secret, group, node } of [ownPlace, otherPlace]) {
    for (const text of ['one', 'two', 'three']) await rig.put(owner, secret, text);
    await rig.put(owner, secret, 'four', { input: { name: secret, stage: 'pending' } });
    for (const name of [group, `${team}-old`]) await rig.ask(owner, 'group.put', { name, match });
    await rig.ask(owner, 'grant.put', { group, secrets: [{ secret }] });
    await joinNode(rig, owner, nobody, node);
    const token = { name: `ci-${team}-old`, role: 'writer', paths: [`secrets/${secret}`] };
    await rig.ask(owner, 'token.create', token);
  }
  setWorkloads(rig);
}

/** Workloads are in no record: a copy of records needs them again. */
export function setWorkloads(rig: RequestRig): void {
  for (const [index, { team, node }] of [ownPlace, otherPlace].entries()) {
    rig.policy.entitlements.setWorkload({
      id: `wld_${String(index).repeat(32)}`,
      runtime: 'docker',
      name: `${team}-api-1`,
      node,
      image: { reference: 'api:1', id: '', digests: [] },
      labels: {},
    });
  }
}
