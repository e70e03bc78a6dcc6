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
  let credentials = loadCredentials(config.stateDirectory);
  if (!credentials || config.joinToken !== undefined) credentials = await join(config, context);
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

async function join(config: EnforcerConfig, context: EnforcerContext): Promise<Credentials> {
  const known = loadCredentials(config.stateDirectory);
  if (config.joinToken === undefined) throw new Fault('enforcer.not-joined');
  try {
    const { stateDirectory, joinToken: token } = config;
    const joined = await joinGateway({ ...context, stateDirectory, token });
    saveWitnessMemory(stateDirectory, undefined);
    context.log.info('enforcer.joined', { node: joined.node });
    return joined;
  } catch (error) {
    // A restart with the token it joined with long ago, still in its arguments, is no failure.
    if (known && isFault(error)) {
      context.log.warn('enforcer.token-not-used', errorFields(error));
      return known;
    }
    throw error;
  }
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
      loadWitness: () => loadWitnessMemory(stateDirectory),
      saveWitness: (memory) => saveWitnessMemory(stateDirectory, memory),
    },
  };
}
