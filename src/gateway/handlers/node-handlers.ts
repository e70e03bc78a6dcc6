/** Operations on nodes, on workloads, and on what workloads hold. */
import { Fault, isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { labelKeyPattern } from '../../model/group.ts';
import { type Name, parseName, parseSecretName } from '../../model/name.ts';
import { formatJoinToken, parseJoinToken } from '../../protocol/join-token.ts';
import type {
  HoldingView,
  NodeView,
  nodeOperations,
  WorkloadView,
} from '../../protocol/operations-node.ts';
import type { HoldingStatus } from '../delivery/delivery.ts';
import type { StoredNode } from '../identity/identity.ts';
import type { Entitlements, SelectableFacts } from '../policy/policy.ts';
import { parseLabelSelector } from '../secrets/secrets.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer } from './plan.ts';
import { timestampOf } from './timestamp.ts';

export function nodeHandlers(tools: Tools): HandlersOf<typeof nodeOperations> {
  const { identity, policy, paging, holdings, settings } = tools;
  const { nodes } = identity;
  return {
    'node.list': (input, { principal, permits }) => {
      const scope = { operation: 'node.list', principal, input };
      const isPermitted = permits('node.list');
      const after = paging.start(scope);
      const items = nodes.names().filter((name) => name > after);
      const view = (name: Name): NodeView => nodeViewOf(tools, name);
      const isShown = (name: Name): boolean =>
        isPermitted(`nodes/${name}`) &&
        (input.state === undefined || view(name).state === input.state);
      return answer(paging.page({ scope, items, placeOf: (name) => name, isShown, view }));
    },
    'node.token': ({ name }) => {
      const { publicId, secret, endsAtMs, ...plan } = nodes.planToken(name);
      const { address, pin } = settings();
      const token = formatJoinToken({ address, pin, node: name, id: publicId, secret });
      return { ...plan, output: () => ({ name, token, endsAt: timestampOf(endsAtMs) }) };
    },
    'node.join': ({ token, certificateRequest }) => {
      const { id, secret, node } = parsedToken(token);
      const plan = nodes.planJoin({ publicId: id, secret, node, certificateRequest });
      const { streamAddress, trustDomain } = settings();
      const { certificate, authority, writes, expectations, detail } = plan;
      return {
        output: () => ({ name: node, certificate, authority, streamAddress, trustDomain }),
        resource: `nodes/${node}`,
        writes,
        expectations,
        detail,
      };
    },
    'node.revoke': ({ name }) => {
      const { writes, expectations, detail, seen } = nodes.planRevoke(name);
      const output = (): NodeView => ({ ...nodeViewOf(tools, name), state: 'revoked' });
      return { output, seen, writes, expectations, detail };
    },
    'workload.list': (input, { principal, permits }) => {
      const scope = { operation: 'workload.list', principal, input };
      const isPermitted = permits('workload.list');
      const { group, node, prefix = '', selector } = input;
      const after = paging.start(scope);
      const selects = selector === undefined ? () => true : parseLabelSelector(selector);
      return answer(
        paging.page({
          scope,
          items: workloadsAfter(policy.entitlements, after, node),
          placeOf: ({ id }) => id,
          isShown: ({ id, name, labels }) =>
            name.startsWith(prefix) &&
            selects(labels) &&
            (group === undefined || policy.entitlements.groupsOf(id).includes(group)) &&
            isPermitted(`workloads/${id}`),
          view: (facts) => workloadViewOf(tools, facts),
        }),
      );
    },
    'holding.list': (input, { principal, permits }) => {
      const scope = { operation: 'holding.list', principal, input };
      const isPermitted = permits('holding.list');
      const isShown = (status: HoldingStatus): boolean =>
        isPermitted(`secrets/${status.secret}`) &&
        (input.secret ?? status.secret) === status.secret &&
        (input.node ?? status.node) === status.node &&
        (input.state ?? status.state) === status.state &&
        [undefined, status.workload, status.workloadId].includes(input.workload);
      const after = placeFrom(paging.start(scope));
      const { secret, node, workload } = input;
      const found = holdings.holdings({
        from: after[0],
        ...(secret === undefined ? {} : { secret }),
        ...(node === undefined ? {} : { node }),
        ...(workload === undefined ? {} : { workload }),
      });
      return answer(
        paging.page({
          scope,
          items: inOrder(found, after),
          placeOf: (status) => JSON.stringify(placeOf(status)),
          isShown,
          view: holdingViewOf,
        }),
      );
    },
  };
}

/** A text that is no token says no more than one that is unknown. */
function parsedToken(text: string): ReturnType<typeof parseJoinToken> {
  try {
    return parseJoinToken(text);
  } catch (error) {
    if (isFault(error)) throw new Fault('auth.failed');
    throw error;
  }
}

function nodeViewOf({ identity, presence, policy }: Tools, name: Name): NodeView {
  const node = identity.nodes.find(name)?.node;
  const seen = presence.of(name);
  const endsAtMs = node?.certificates.at(-1)?.endsAtMs;
  return {
    id: node?.id ?? identity.nodes.expectedId(name) ?? '',
    name,
    state: stateOf(node, seen?.connected ?? false),
    ...(node === undefined ? {} : { joinedAt: timestampOf(node.joinedAtMs) }),
    ...(seen === undefined || seen.version === '' ? {} : { version: seen.version }),
    ...(seen?.lastSeenAtMs === undefined ? {} : { lastSeenAt: timestampOf(seen.lastSeenAtMs) }),
    ...(endsAtMs === undefined ? {} : { certificateEndsAt: timestampOf(endsAtMs) }),
    workloads: policy.entitlements.countOn(name),
    weakenings: seen?.weakenings ?? [],
  };
}

function stateOf(node: StoredNode | undefined, isConnected: boolean): NodeView['state'] {
  if (node === undefined) return 'joining';
  if (node.state === 'revoked') return 'revoked';
  return isConnected ? 'connected' : 'disconnected';
}

/** Of labels, those that a group can name: container engines take more of them, and longer ones. */
function workloadViewOf({ policy }: Tools, facts: SelectableFacts): WorkloadView {
  const labels = Object.entries(facts.labels)
    .filter(([key]) => labelKeyPattern.test(key))
    .slice(0, limits.labelsMax)
    .map(([key, value]) => [key, value.slice(0, limits.labelValueCharsMax)]);
  return {
    id: facts.id,
    name: facts.name,
    node: parseName(facts.node),
    runtime: facts.runtime,
    image: facts.image.reference,
    imageDigests: facts.image.digests,
    labels: Object.fromEntries(labels) as WorkloadView['labels'],
    groups: policy.entitlements.groupsOf(facts.id).slice(0, limits.workloadGroupsMax),
    ...startOf(facts),
  };
}

/** The place itself may have ended meanwhile. */
function* workloadsAfter(
  entitlements: Pick<Entitlements, 'workloads'>,
  after: string,
  node: Name | undefined,
): Generator<SelectableFacts> {
  const range = { from: after, ...(node === undefined ? {} : { node }) };
  for (const facts of entitlements.workloads(range)) if (facts.id !== after) yield facts;
}

/** A node may say any number: one that is no time is not shown. */
function startOf({ startedAtMs = 0 }: SelectableFacts): Pick<WorkloadView, 'startedAt'> {
  const isTime = startedAtMs > 0 && startedAtMs < Date.UTC(10_000, 0);
  return isTime ? { startedAt: timestampOf(startedAtMs) } : {};
}

type Place = readonly [workloadId: string, secret: string, file: string, version: number];

function placeOf({ workloadId, secret, file, version }: HoldingStatus): Place {
  return [workloadId, secret, file, version];
}

/** @param text - A place that a cursor of ours held, or nothing. */
function placeFrom(text: string): Place {
  return text === '' ? ['', '', '', -1] : (JSON.parse(text) as Place);
}

function comparePlaces(left: Place, right: Place): number {
  const at = left.findIndex((part, index) => part !== right[index]);
  if (at === -1) return 0;
  return (left[at] ?? '') < (right[at] ?? '') ? -1 : 1;
}

/** What comes after a place: workloads come in order, and here so does what is in each. */
function* inOrder(found: Iterable<HoldingStatus>, after: Place): Generator<HoldingStatus> {
  let together: HoldingStatus[] = [];
  const sorted = (): readonly HoldingStatus[] =>
    together
      .filter((status) => comparePlaces(placeOf(status), after) > 0)
      .sort((left, right) => comparePlaces(placeOf(left), placeOf(right)));
  for (const status of found) {
    if (status.workloadId !== together[0]?.workloadId) {
      yield* sorted();
      together = [];
    }
    together.push(status);
  }
  yield* sorted();
}

function holdingViewOf(status: HoldingStatus): HoldingView {
  const { workload, workloadId, file, version, wanted, state, fault, sinceMs } = status;
  return {
    workload,
    workloadId,
    node: parseName(status.node),
    secret: parseSecretName(status.secret),
    file,
    version,
    wanted,
    state,
    ...(fault === undefined ? {} : { fault }),
    ...(sinceMs === undefined ? {} : { since: timestampOf(sinceMs) }),
  };
}
