/**
 * The OpenAPI 3.1 document, read off the operations table. Served at `/openapi.json`, committed as
 * docs/openapi.json; a test keeps the two equal, so that a change of the API shows in review.
 */
import type { JsonSchema } from '../../base/schema.ts';
import { operationExamples } from '../../protocol/examples.ts';
import type { Operation } from '../../protocol/operation.ts';
import { type OperationName, operationNamed, operationNames } from '../../protocol/operations.ts';
import { nodeView, workloadView, holdingView } from '../../protocol/operations-node.ts';
import { tokenView } from '../../protocol/operations-token.ts';
import {
  grantView,
  groupView,
  policyChange,
  policyDocument,
} from '../../protocol/operations-policy.ts';
import { generateRules, secretView } from '../../protocol/operations-secret.ts';
import { auditEntryView } from '../../protocol/operations-system.ts';
import { problemJsonSchema, problemMediaType } from '../../protocol/problem.ts';
import { memberSchemas } from './router.ts';

type Json = Readonly<Record<string, unknown>>;
type AnyOperation = Operation<unknown, unknown>;

/** Schemas that get a name of their own; every other stands where it is used. */
const namedSchemas: ReadonlyMap<JsonSchema, string> = new Map([
  [secretView.json, 'Secret'],
  [generateRules.json, 'GenerateRules'],
  [groupView.json, 'Group'],
  [grantView.json, 'Grant'],
  [policyDocument.json, 'PolicyDocument'],
  [policyChange.json, 'PolicyChange'],
  [nodeView.json, 'Node'],
  [tokenView.json, 'Token'],
  [workloadView.json, 'Workload'],
  [holdingView.json, 'Holding'],
  [auditEntryView.json, 'AuditEntry'],
]);

const statusWords: Readonly<Record<number, string>> = {
  400: 'Malformed or invalid. Nothing was done.',
  401: 'Not authenticated.',
  403: 'Known, but not allowed.',
  404: 'Unknown, or not for you to know.',
  405: 'Not with this method; see `Allow`.',
  406: 'Cannot be answered in a media type that `Accept` names.',
  408: 'The request came too slowly.',
  409: 'Conflicts with what is there.',
  412: 'It has another revision than was stated.',
  413: 'Too large, too deep or too wide.',
  414: 'The request target is too long.',
  415: 'Another media type or a content encoding.',
  422: 'This idempotency key was used for a different request.',
  428: 'State the revision that you saw.',
  429: 'Too many requests; see `Retry-After`.',
  431: 'Headers are too large.',
  500: 'A defect of the gateway. The request id is in its log.',
  503: 'Not now: sealed, read-only, starting or stopping; see `Retry-After`.',
  507: 'The disk of the store is full. Nothing was done.',
};

let text: string | undefined;

export function openApiText(): string {
  text ??= JSON.stringify(openApiDocument());
  return text;
}

export function openApiDocument(): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const name of operationNames) {
    const operation = operationNamed(name);
    const methods = (paths[operation.path] ??= {});
    methods[operation.method.toLowerCase()] = operationObject(name, operation);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Cofferdam',
      version: 'v1',
      summary: 'Secrets in the memory of exactly the running containers that are entitled to them.',
      description: 'Write-only: no operation returns the value of a secret.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths: { ...paths, ...probePathObjects() },
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Problem: problemJsonSchema,
        ...Object.fromEntries([...namedSchemas].map(([json, name]) => [name, inner(json)])),
      },
      parameters: headerParameters,
      responses: Object.fromEntries(
        Object.entries(statusWords).map(([status, words]) => [
          `Problem${status}`,
          problemResponse(words),
        ]),
      ),
    },
  };
}

function operationObject(name: OperationName, operation: AnyOperation): Json {
  const { access } = operation;
  return {
    operationId: name,
    summary: operation.summary,
    tags: [name.split('.')[0]],
    ...accessOf(name, access),
    parameters: parametersOf(name, operation),
    ...requestBodyOf(name, operation),
    responses: { 200: answerOf(name, operation), ...refusalsOf(name, operation) },
  };
}

function accessOf(name: OperationName, access: AnyOperation['access']): Json {
  if (access === 'permission') return { description: `Needs the permission \`${name}\`.` };
  if (access === 'self') return { description: 'Needs a token, but no permission.' };
  return { description: `Public: ${access.publicBecause}.`, security: [] };
}

/** Whether it can be rehearsed, and answered again to who repeats it. */
function isRepeatable({ effect, credential }: AnyOperation): boolean {
  return effect === 'change' && credential !== true;
}

function memberOfPath(operation: AnyOperation): string | undefined {
  return /\{([A-Za-z]+)\}/.exec(operation.path)?.[1];
}

function parametersOf(name: OperationName, operation: AnyOperation): readonly Json[] {
  const inPath = memberOfPath(operation);
  const example: Json = operationExamples[name].input;
  const members = Object.entries(memberSchemas(operation))
    .filter(([member]) => member === inPath || operation.body !== 'json')
    .map(([member, schema]) => ({
      name: member,
      in: member === inPath ? 'path' : 'query',
      required: schema.optional !== true,
      schema: referring(schema.json),
      ...(example[member] === undefined ? {} : { example: example[member] }),
      ...(member === inPath && String(example[member]).includes('/')
        ? { description: 'Its slashes are sent as they are, not escaped.' }
        : {}),
    }));
  const headers = ['RequestId'];
  if (isRepeatable(operation)) headers.push('DryRun', 'IdempotencyKey');
  if (operation.revisioned === true) {
    headers.push(
      ...(operation.effect === 'change' ? ['IfMatch', 'IfNoneMatch'] : ['KnownRevision']),
    );
  }
  if (operation.reply === 'events') headers.push('LastEventId');
  return [...members, ...headers.map((header) => ({ $ref: `#/components/parameters/${header}` }))];
}

function requestBodyOf(name: OperationName, operation: AnyOperation): Json {
  if (operation.body === 'none') return {};
  if (operation.body === 'value') {
    const bytes = { schema: {} };
    const content = { 'application/octet-stream': bytes, 'text/plain': bytes };
    const description = 'The value, byte for byte. No trailing newline is removed.';
    return { requestBody: { required: true, description, content } };
  }
  const inPath = memberOfPath(operation);
  const { properties, required, ...rest } = operation.input.json;
  const kept = Object.entries(properties as Json).filter(([member]) => member !== inPath);
  const needed = (required as readonly string[]).filter((member) => member !== inPath);
  const schema = { ...rest, properties: Object.fromEntries(kept), required: needed };
  const { [inPath ?? '']: _inPath, ...example }: Json = operationExamples[name].input;
  return {
    requestBody: {
      required: needed.length > 0,
      content: { 'application/json': { schema: referring(schema), example } },
    },
  };
}

function answerOf(name: OperationName, operation: AnyOperation): Json {
  const headers = { 'X-Request-Id': { schema: { type: 'string' } } };
  const schema = referring(operation.output.json);
  const example: Json = operationExamples[name].output;
  switch (operation.reply) {
    case 'json': {
      const content = { 'application/json': { schema, example } };
      const more = { ...(operation.revisioned === true ? { ETag: eTag } : {}) };
      const replayed = isRepeatable(operation) ? { 'Idempotent-Replayed': replayedHeader } : {};
      return { description: 'Done.', headers: { ...headers, ...more, ...replayed }, content };
    }
    case 'events': {
      const content = { 'text/event-stream': { schema, example } };
      return { description: 'Events; each `data` is one such object.', headers, content };
    }
    case 'file':
      return {
        description: 'The file.',
        headers: { ...headers, 'Content-Disposition': { schema: { type: 'string' } } },
        content: { 'application/octet-stream': { schema: {} } },
      };
  }
}

/** Of those that need no permission: how what they prove themselves by is refused. */
const proofRefusals: Readonly<Partial<Record<OperationName, readonly number[]>>> = {
  'node.join': [401],
  'system.unseal': [403, 409],
};

function refusalsOf(name: OperationName, operation: AnyOperation): Json {
  // What is recorded needs a disk.
  const secured =
    typeof operation.access === 'string' ? [401, 403, 507] : (proofRefusals[name] ?? []);
  const bodied = operation.body === 'none' ? [] : [408, 413];
  const stated = operation.preconditioned === true ? [428] : [];
  const changing = operation.effect === 'change' ? [409, 507] : [];
  const repeated = isRepeatable(operation) ? [422] : [];
  const outdated = operation.effect === 'change' && operation.revisioned === true ? [412] : [];
  const always = [400, 404, 406, 414, 415, 429, 431, 500, 503];
  const own = [...secured, ...bodied, ...stated, ...changing, ...repeated, ...outdated];
  const statuses = new Set([...always, ...own].toSorted((a, b) => a - b));
  const refusals = [...statuses].map((status) => [
    status,
    { $ref: `#/components/responses/Problem${status}` },
  ]);
  const conditional = operation.revisioned === true && operation.effect === 'read';
  return {
    ...(conditional
      ? { 304: { description: 'Still the revision that `If-None-Match` names.' } }
      : {}),
    ...Object.fromEntries(refusals),
    default: problemResponse('Any other refusal.'),
  };
}

function problemResponse(description: string): Json {
  const schema = { $ref: '#/components/schemas/Problem' };
  return { description, content: { [problemMediaType]: { schema } } };
}

const eTag: Json = { schema: { type: 'string' }, description: 'The revision of the object.' };
const replayedHeader: Json = {
  schema: { type: 'string', enum: ['true'] },
  description:
    'There if this is the kept answer to an earlier request with the same idempotency key.',
};

const header = (name: string, description: string, schema: Json): Json => ({
  name,
  in: 'header',
  description,
  schema,
});
const headerParameters: Json = {
  RequestId: header('X-Request-Id', 'Answered, logged and audited. Made if left out.', {
    type: 'string',
    pattern: '^[A-Za-z0-9._-]{8,128}$',
  }),
  IdempotencyKey: header(
    'Idempotency-Key',
    'The same key with the same input replays the answer.',
    {
      type: 'string',
      pattern: '^[A-Za-z0-9._:-]{8,128}$',
    },
  ),
  IfMatch: header('If-Match', 'The ETag that was seen.', { type: 'string', pattern: '^"[0-9]+"$' }),
  IfNoneMatch: header('If-None-Match', '`*`: must not exist yet.', { type: 'string', enum: ['*'] }),
  KnownRevision: header('If-None-Match', 'The ETag that is known already; answers 304.', {
    type: 'string',
    pattern: '^"[0-9]+"$',
  }),
  LastEventId: header('Last-Event-ID', 'Go on after this event.', {
    type: 'string',
    pattern: '^[0-9]+$',
  }),
  DryRun: {
    name: 'dryRun',
    in: 'query',
    description: 'Decide, plan and report, but change nothing.',
    schema: { type: 'string', enum: ['server'] },
  },
};

function probePathObjects(): Json {
  const ok = { type: 'object', required: ['ok'], properties: { ok: { type: 'boolean' } } };
  const probe = (operationId: string, summary: string, more: Json = {}): Json => {
    const answer = { description: summary, content: { 'application/json': { schema: ok } } };
    const responses = { 200: answer, 503: answer, default: problemResponse('Any refusal.') };
    return { get: { operationId, summary, tags: ['probe'], security: [], responses, ...more } };
  };
  const verbose = { name: 'verbose', in: 'query', schema: { type: 'string' } };
  const metricsText = {
    description: 'Metrics.',
    content: { 'text/plain': { schema: { type: 'string' } } },
  };
  const unauthenticated = { $ref: '#/components/responses/Problem401' };
  const metricsResponses = {
    200: metricsText,
    401: unauthenticated,
    default: problemResponse('Any refusal.'),
  };
  return {
    '/livez': probe('probe.live', 'Whether the process answers'),
    '/readyz': probe(
      'probe.ready',
      'Whether all checks are well; `verbose` names those that are not',
      {
        parameters: [verbose],
      },
    ),
    '/healthz': probe('probe.health', 'The same, without names'),
    '/metrics': {
      get: {
        operationId: 'probe.metrics',
        summary: 'Counters and gauges, as Prometheus reads them',
        tags: ['probe'],
        responses: metricsResponses,
      },
    },
  };
}

/** A schema with every named one replaced by a reference. */
function referring(json: unknown): unknown {
  const name = namedSchemas.get(json as JsonSchema);
  return name === undefined ? inner(json) : { $ref: `#/components/schemas/${name}` };
}

function inner(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(referring);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, referring(value)]));
}
