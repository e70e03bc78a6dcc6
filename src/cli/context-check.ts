/** Whether the gateway of a new context answers, is the one that is meant, and takes the token. */
import type { Context } from './contexts.ts';
import type { Session } from './session.ts';

const timeoutMsDefault = 10_000;

/**
 * Asks what any gateway answers anybody, and then who the token is for. Nothing is kept by it.
 *
 * @returns what could not be found out; undefined if all is well
 * @throws Fault `gateway.unreachable`, `gateway.untrusted`, `auth.failed`
 */
export async function checkContext(
  session: Session,
  context: Context,
  token: string | undefined,
): Promise<string | undefined> {
  const { Client } = await import('../client/client.ts');
  const { clock, random } = session.io;
  const { timeout } = session.flags;
  const client = new Client({
    address: context.server,
    trust: {
      ...(context.ca === undefined ? {} : { ca: context.ca }),
      ...(context.pins === undefined ? {} : { pins: context.pins }),
    },
    clock,
    random,
    timeoutMs: timeout === undefined ? timeoutMsDefault : timeout * 1000,
    ...(token === undefined ? {} : { token }),
  });
  const { signal } = session;
  try {
    const { output: seal } = await client.call('system.seal-status', {}, { signal });
    if (token === undefined) return undefined;
    if (seal.sealed) return 'the gateway is sealed: whether it takes the token is not known yet';
    // Whoever they are, and whatever they may do.
    await client.call('token.whoami', {}, { signal });
  } finally {
    await client.close();
  }
  return undefined;
}
