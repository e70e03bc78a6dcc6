/**
 * The enforcer: one per node, on this machine. Joins if need be, takes its directories, gives `node.ts` what
 * it works on, and starts the watchdog.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import { machineWeakenings } from '../base/machine-weakenings.ts';
import type { Random } from '../base/random.ts';
import { makeUndumpable } from '../linux/libc.ts';
import { bootId, HeldProcess, signalProcess } from '../linux/process.ts';
import { createAttestor } from './attest/attest.ts';
import type { EnforcerConfig } from './config.ts';
import { lockDirectories, openRunDirectory } from './directory-lock.ts';
import { openMounts } from './mount/mount.ts';
import { Node, type NodeOptions } from './node.ts';
import { placeIn, RememberedFile } from './remembered-file.ts';
import { createRuntime } from './runtime/runtime.ts';
import {
  connect,
  type Credentials,
  hasJoined,
  joinGateway,
  loadCredentials,
  openStateDirectory,
  saveCertificate,
} from './uplink/uplink.ts';
import { WatchdogProcess } from './watchdog-process.ts';
import { loadWitnessMemory, saveWitnessMemory } from './witness-file.ts';

export interface EnforcerContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  /** Ends the enforcer; what is in place stays for its successor. */
  readonly signal: AbortSignal;
}

export async function runEnforcer(config: EnforcerConfig, context: EnforcerContext): Promise<void> {
  makeUndumpable();
  openStateDirectory(config.stateDirectory);
  openRunDirectory(config.runDirectory);
  using _locks = lockDirectories([config.stateDirectory, config.runDirectory]);
  const credentials = await identify(config, context);
  using watchdog = config.watchdog ? new WatchdogProcess(config, context) : undefined;
  const node = new Node({
    ...thisMachine(config, context, credentials),
    weakenings: () => [...machineWeakenings(), ...(watchdog?.isAlive ? [] : ['no-watchdog'])],
  });
  try {
    context.log.info('enforcer.started', { node: credentials.node, watchdog: watchdog?.pid });
    await node.run();
  } finally {
    await node.close();
  }
}

/**
 * Joins, and ends there. While an enforcer runs on this directory it does not.
 *
 * @throws Fault as `joinGateway`
 */
export async function joinOnly(
  { stateDirectory, joinToken }: Pick<EnforcerConfig, 'stateDirectory' | 'joinToken'>,
  context: EnforcerContext,
): Promise<Credentials> {
  makeUndumpable();
  openStateDirectory(stateDirectory);
  using _lock = lockDirectories([stateDirectory]);
  if (!joinToken) throw new Fault('enforcer.not-joined');
  return await join(stateDirectory, joinToken, context);
}

/** Who this node is: as whom it joins with the token, if there is one, or else as whom it has joined. */
async function identify(config: EnforcerConfig, context: EnforcerContext): Promise<Credentials> {
  const { stateDirectory, joinToken } = config;
  try {
    if (joinToken) return await join(stateDirectory, joinToken, context);
  } catch (error) {
    // A restart with the token that it joined with long ago, or without its file, is no failure.
    if (!isFault(error) || !hasJoined(stateDirectory)) throw error;
    context.log.warn('enforcer.token-not-used', errorFields(error));
  }
  const known = loadCredentials(stateDirectory);
  if (!known) throw new Fault('enforcer.not-joined');
  return known;
}

async function join(
  stateDirectory: string,
  readToken: () => string,
  context: EnforcerContext,
): Promise<Credentials> {
  const joined = await joinGateway({ ...context, stateDirectory, token: readToken() });
  saveWitnessMemory(stateDirectory, undefined);
  context.log.info('enforcer.joined', { node: joined.node });
  return joined;
}

/** What the node works on. */
function thisMachine(
  config: EnforcerConfig,
  context: EnforcerContext,
  credentials: Credentials,
): Omit<NodeOptions, 'weakenings'> {
  const { clock, log } = context;
  const { stateDirectory, runDirectory, targetPrefixes } = config;
  const runtime = createRuntime(config.runtime, context);
  const witness = loadWitnessMemory(stateDirectory);
  return {
    ...context,
    credentials,
    bootId: bootId(),
    connect: (shown, signal) => connect({ clock, credentials: shown }, signal),
    runtime,
    attestor: createAttestor({ runtime, node: credentials.node }),
    mounts: openMounts({ clock, log, ...(targetPrefixes ? { targetPrefixes } : {}) }),
    processes: {
      isRunning: (process) => {
        using held = HeldProcess.openSame(process);
        return held !== undefined;
      },
      signal: signalProcess,
    },
    disk: {
      remembered: new RememberedFile({ place: placeIn(runDirectory), clock, log }),
      saveCertificate: (pem) => saveCertificate(stateDirectory, pem),
      loadWitness: () => witness,
      saveWitness: (memory) => saveWitnessMemory(stateDirectory, memory),
    },
  };
}
