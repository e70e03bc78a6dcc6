/** `--curl` and `--policy`: what a command would ask for, as an HTTP call or as a permission. */
import type { CallOptions } from '../client/client.ts';
import { requestOf } from '../client/outgoing.ts';
import * as schema from '../base/schema.ts';
import { type OperationName, operationNamed } from '../protocol/operations.ts';
import { usage } from './command-spec.ts';
import type { Session } from './session.ts';

/** @returns whole lines. */
export async function explainCall(
  session: Session,
  name: OperationName,
  input: unknown,
  options: CallOptions,
): Promise<string> {
  const operation = operationNamed(name);
  if (session.flags.policy === true) {
    const resource = operation.resource(schema.parse(operation.input, input, 'input'));
    return operation.access === 'permission'
      ? `${name} ${resource}\n`
      : `none: ${operation.access.publicBecause}\n`;
  }
  const { server, trust } = await session.settings();
  if (server.value === undefined) throw usage('no gateway is named: give --server or COFFER_ADDR');
  const outgoing = requestOf(name, input, { ...options, token: '$COFFER_TOKEN' });
  const words = ['curl', '--fail-with-body', ...trustWords(await session.settings())];
  if (outgoing.method !== 'GET') words.push('--request', outgoing.method);
  for (const [key, value] of Object.entries(outgoing.headers)) {
    if (key === 'content-length') continue;
    // Double quotes for the one header in which the shell is to fill in the token.
    words.push(
      '--header',
      key === 'authorization' ? `"${key}: ${value}"` : quote(`${key}: ${value}`),
    );
  }
  if (operation.preconditioned === true && options.ifRevision === undefined) {
    words.push('--header', `'if-match: "REVISION"'`);
  }
  if (outgoing.body === 'value') words.push('--data-binary', '@-');
  else if (outgoing.body !== undefined)
    words.push('--data-raw', quote(outgoing.body.toString('utf8')));
  words.push(quote(`${server.value}${outgoing.path}`));
  session.note(`# trust: ${trust.value}`);
  return `${words.join(' ')}\n`;
}

function trustWords(settings: { readonly trust: { readonly value: string } }): readonly string[] {
  const words: string[] = [];
  const file = /^authority (.+?)(?:,|$)/.exec(settings.trust.value)?.[1];
  if (file !== undefined) words.push('--cacert', quote(file));
  else if (settings.trust.value.startsWith('authority in')) words.push('--cacert', 'ca.pem');
  const pins = settings.trust.value.match(/sha256:[0-9a-f]{64}/g) ?? [];
  if (pins.length > 0) {
    const keys = pins.map(
      (pin) => `sha256//${Buffer.from(pin.slice(7), 'hex').toString('base64')}`,
    );
    words.push('--insecure', '--pinnedpubkey', quote(keys.join(';')));
  }
  return words;
}

function quote(text: string): string {
  return /^[A-Za-z0-9_./:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
