/**
 * Where the CLI keeps things (XDG Base Directory): contexts in the configuration directory, tokens
 * and remembered checkpoints in the state directory. No dot inside them, nothing anywhere else.
 */
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export function configFile(env: Environment): string {
  return join(baseOf(env, 'XDG_CONFIG_HOME', '.config'), 'config.yaml');
}

export function tokenFile(env: Environment, context: string): string {
  return join(baseOf(env, 'XDG_STATE_HOME', '.local/state'), 'tokens', context);
}

/** What was seen of a gateway's audit log. */
export function auditMemoryFile(env: Environment, context: string): string {
  return join(baseOf(env, 'XDG_STATE_HOME', '.local/state'), 'audit', `${context}.json`);
}

/** A certificate to verify a gateway with, for other programs. */
export function authorityFile(env: Environment, id: string): string {
  return join(baseOf(env, 'XDG_STATE_HOME', '.local/state'), 'authorities', `${id}.pem`);
}

/** @throws Fault `cli.no-home` */
function baseOf(env: Environment, variable: string, below: string): string {
  const given = env[variable];
  // The specification: a path that is not absolute is to be ignored.
  if (given?.startsWith('/')) return join(given, 'coffer');
  const home = env['HOME'];
  if (!home?.startsWith('/')) throw new Fault('cli.no-home', { variable });
  return join(home, below, 'coffer');
}
