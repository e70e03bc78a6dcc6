/** Where a gateway keeps what it keeps: the data directory, the store in it, and the seal's place. */
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { makeDirectory } from '../base/files.ts';
import type { GatewayConfig } from './config.ts';

export function storePath(config: Pick<GatewayConfig, 'dataDirectory'>): string {
  return join(config.dataDirectory, 'store.db');
}

export function sealContext(config: GatewayConfig): { keyFile?: string; dataPath: string } {
  return { ...(config.keyFile ? { keyFile: config.keyFile } : {}), dataPath: storePath(config) };
}

/** Makes the data directory, for this user alone. @throws Fault `storage.missing` if it cannot be made */
export function makeDataDirectory(config: Pick<GatewayConfig, 'dataDirectory'>): void {
  const path = config.dataDirectory;
  try {
    makeDirectory(path, 0o700);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault('storage.missing', { path, reason: code }, { cause });
  }
}

/** Types of file systems that end with the machine's power: tmpfs and ramfs. */
const inMemory = new Set([0x0102_1994, 0x8584_58f6]);

/** Whether the store would be gone after a power cut, whatever is flushed. */
export async function isInMemory(config: Pick<GatewayConfig, 'dataDirectory'>): Promise<boolean> {
  const { type } = await statfs(config.dataDirectory);
  return inMemory.has(type);
}
