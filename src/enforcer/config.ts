/** What an enforcer can be told, by flag or environment; everything has a safe default. */
import type { LogLevel } from '../base/log.ts';
import type { RuntimeOptions } from './runtime/runtime.ts';

export interface EnforcerConfig {
  /** Keeps the node's key and certificate; mode 0700. */
  readonly stateDirectory: string;
  /** On a tmpfs: what a successor and the watchdog must know. Mode 0700. */
  readonly runDirectory: string;
  readonly runtime: RuntimeOptions;
  /** Directories inside containers at or below which files may appear. */
  readonly targetPrefixes?: readonly string[];
  /** Reads the token to join with. A node that has joined also starts without. @throws Fault */
  readonly joinToken?: () => string;
  readonly logLevel: LogLevel;
  /** Off only where something else watches the enforcer and wipes in its place. */
  readonly watchdog: boolean;
}

export const enforcerDefaults = {
  stateDirectory: '/var/lib/coffer/enforcer',
  runDirectory: '/run/coffer/enforcer',
  dockerSocket: '/var/run/docker.sock',
  processDirectory: '/run/coffer/processes',
} as const;
