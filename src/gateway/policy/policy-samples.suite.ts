/** Random groups, grants and workloads that meet often, and the plain definitions to compare with. */
import fc from 'fast-check';
import type { Grant } from '../../model/grant.ts';
import type { Group, GroupMatch } from '../../model/group.ts';
import { type Name, type SecretName, parseName, parseSecretName } from '../../model/name.ts';
import type { WorkloadId } from '../../model/workload.ts';
import type { SelectableFacts } from './policy.ts';

export const name = (text: string): Name => parseName(text);
export const secret = (text: string): SecretName => parseSecretName(text);

const digests = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`);

export function workloadIdOf(number: number): WorkloadId {
  return `wld_${number.toString(16).padStart(32, '0')}`;
}

export function factsOf(given: Partial<SelectableFacts>): SelectableFacts {
  return {
    id: workloadIdOf(1),
    runtime: 'docker',
    name: 'api-1',
    node: 'node-1',
    image: { reference: '', id: '', digests: [] },
    labels: {},
    ...given,
  };
}

const namespace = fc.constantFrom('payments', 'mail');
const account = fc.constantFrom('api', 'web');
const workloadName = fc.constantFrom('api', 'api-1', 'payments-api-1', 'payments-web-1', 'x/y');
const pod = fc.constantFrom('api-7f', 'web-7f', 'payments-api-7f-1');
const container = fc.constantFrom('app', 'proxy');
const labels = fc.dictionary(fc.constantFrom('tier', 'team'), fc.constantFrom('backend', 'front'), {
  maxKeys: 2,
});
const reference = fc.constantFrom(
  'r.example/pay/api:1',
  'r.example/pay/web:1',
  'r.example/pay/eu/api:2',
  'nginx',
);
const repository = fc.constantFrom('r.example/pay/api', 'nginx');
const digest = fc.constantFrom(...digests);
export const nodeNames = ['node-1', 'node-2', 'node-3'] as const;
const nodeName = fc.constantFrom(...nodeNames);

export const anyFacts: fc.Arbitrary<SelectableFacts> = fc
  .record({
    number: fc.integer({ min: 0, max: 23 }),
    runtime: fc.constantFrom('docker', 'containerd', 'process'),
    name: workloadName,
    node: nodeName,
    image: fc.record({
      reference,
      id: digest,
      digests: fc.array(
        fc.tuple(repository, digest).map((parts) => parts.join('@')),
        { maxLength: 2 },
      ),
    }),
    labels,
    kubernetes: fc.option(
      fc.record(
        { namespace, pod, podUid: fc.constant('u'), container, serviceAccount: account },
        { requiredKeys: ['namespace', 'pod', 'podUid', 'container'] },
      ),
      { nil: undefined },
    ),
  })
  .map(({ number, kubernetes, ...facts }) => ({
    ...facts,
    id: workloadIdOf(number),
    ...(kubernetes === undefined ? {} : { kubernetes }),
  }));

const nameGlob = fc.constantFrom(
  'api',
  'api-*',
  'payments-*',
  'payments-api-*',
  '*',
  '**',
  'x/*',
  '*-1',
);
const podGlob = fc.constantFrom('api-*', 'payments-api-7f-*', 'web-7f', '*');
const imageMatch = fc.oneof(
  fc.constantFrom(
    'r.example/pay/*',
    'r.example/**',
    'r.example/pay/api:1',
    'ngin*',
    'r.example/pay/*:*',
    '**',
  ),
  digest,
  fc.tuple(repository, digest).map((parts) => parts.join('@')),
);

const sometimes = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 1 });
const seldom = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary: fc.constant(undefined), weight: 3 }, { arbitrary, weight: 1 });

const containerMatch = fc.record({ name: sometimes(nameGlob), labels: seldom(labels) });
const podMatch = fc.record({
  namespace: sometimes(namespace),
  serviceAccount: seldom(account),
  pod: seldom(podGlob),
  container: seldom(container),
  labels: seldom(labels),
});

/** Mostly conditions of one runtime, so that many of the matches match; sometimes of several. */
export const anyMatch: fc.Arbitrary<GroupMatch> = fc
  .tuple(
    fc.record({ image: seldom(imageMatch), node: seldom(nodeName) }),
    fc.oneof(
      { arbitrary: fc.record({ docker: containerMatch }), weight: 4 },
      { arbitrary: fc.record({ kubernetes: podMatch }), weight: 4 },
      { arbitrary: fc.record({ process: containerMatch }), weight: 2 },
      { arbitrary: fc.constant({}), weight: 4 },
      { arbitrary: fc.record({ docker: containerMatch, kubernetes: podMatch }), weight: 1 },
    ),
  )
  .map(([all, one]) => withoutUndefined({ ...all, ...one }) as GroupMatch);

function withoutUndefined(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object;
}

/** Eight groups, so that grants, groups and workloads meet. */
export const anyGroupName: fc.Arbitrary<Name> = fc
  .integer({ min: 0, max: 7 })
  .map((number) => name(`group-${number}`));
export const anySecret: fc.Arbitrary<SecretName> = fc
  .constantFrom('pay/db', 'pay/key', 'mail/db', 'mail/key', 'top')
  .map(secret);
export const anyGroup: fc.Arbitrary<Group> = fc.record({ name: anyGroupName, match: anyMatch });

export const anyGrant: fc.Arbitrary<Grant> = fc
  .record(
    {
      group: anyGroupName,
      secrets: fc.uniqueArray(
        fc.record(
          {
            secret: anySecret,
            file: fc.constantFrom(name('one'), name('two'), name('db')),
            mode: fc.constantFrom('0400', '0440'),
            uid: fc.constantFrom(0, 1000),
          },
          { requiredKeys: ['secret'] },
        ),
        {
          minLength: 1,
          maxLength: 4,
          selector: (granted) => granted.file ?? granted.secret.split('/').at(-1),
        },
      ),
      target: fc.constantFrom('/run/secrets', '/run/other'),
      onChange: fc.record({ signal: fc.constantFrom('SIGHUP', 'SIGUSR1') }, { requiredKeys: [] }),
      onLeaseLoss: fc.constantFrom('wipe', 'keep'),
      leaseSeconds: fc.constantFrom(60, 300),
    },
    { requiredKeys: ['group', 'secrets'] },
  )
  .map((grant) => grant as Grant);

/** A glob by translation to a regular expression: fine for tests, not for facts of strangers. */
function naiveGlob(pattern: string, text: string): boolean {
  const source = pattern
    .split(/(\*+)/)
    .map((part) => {
      if (part === '*') return '[^/]*';
      return part.startsWith('**') ? '.*' : part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('');
  return new RegExp(`^${source}$`, 's').test(text);
}

/** The meaning of a match, once more and in one piece. */
export function naiveMatches(match: GroupMatch, facts: SelectableFacts): boolean {
  const { image, node, docker, kubernetes, process } = match;
  const has = (wanted: Readonly<Record<string, string>> = {}): boolean =>
    Object.entries(wanted).every(([key, value]) => facts.labels[key] === value);
  if (image !== undefined) {
    if (facts.runtime === 'process') return false;
    const fits = image.startsWith('sha256:')
      ? [facts.image.id, ...facts.image.digests.map((given) => given.split('@')[1])].includes(image)
      : image.includes('@')
        ? facts.image.digests.includes(image)
        : naiveGlob(image, facts.image.reference);
    if (!fits) return false;
  }
  if (node !== undefined && facts.node !== node) return false;
  if (docker !== undefined) {
    if (facts.runtime !== 'docker' || !has(docker.labels)) return false;
    if (docker.name !== undefined && !naiveGlob(docker.name, facts.name)) return false;
  }
  if (process !== undefined) {
    if (facts.runtime !== 'process' || !has(process.labels)) return false;
    if (process.name !== undefined && !naiveGlob(process.name, facts.name)) return false;
  }
  if (kubernetes !== undefined) {
    const given = facts.kubernetes;
    if (facts.runtime !== 'containerd' || given === undefined || !has(kubernetes.labels))
      return false;
    if (kubernetes.pod !== undefined && !naiveGlob(kubernetes.pod, given.pod)) return false;
    for (const member of ['namespace', 'serviceAccount', 'container'] as const) {
      if (kubernetes[member] !== undefined && kubernetes[member] !== given[member]) return false;
    }
  }
  return true;
}
