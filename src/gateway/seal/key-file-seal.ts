/**
 * The key file seal: the wrapping key lies in a file, and the gateway unseals itself.
 *
 * The file is created by us, exclusively, with mode 0600, and flushed with its directory before the
 * record exists: a root key under a key that is not on disk is lost. It is opened only if it is a
 * plain file, not a symbolic link, of this user or root, and nobody else can read or write it.
 *
 * The file: `coffer-key-1`, a newline, 32 bytes. Not text, so that the key is never a string.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { geteuid } from 'node:process';
import { allocate, wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { createDurably } from '../../base/files.ts';
import type { Seal, SealContext, Unsealer } from './seal.ts';
import { type SealRecord, unwrapRootKey, withWrappingKey, wrapRootKey } from './seal-record.ts';

const header = Buffer.from('coffer-key-1\n', 'latin1');
const keyBytes = 32;

export interface KeyFileRequest {
  readonly kind: 'keyfile';
  /**
   * Uses the key file that is there, such as one that systemd hands in from a TPM, or the one that
   * sealed before. Otherwise a new one is made, and there must be none.
   */
  readonly existing?: boolean;
}

export const keyFileSeal: Seal<KeyFileRequest> = {
  kind: 'keyfile',
  asks: 'nothing',

  async create(rootKey, request, context) {
    const path = pathOf(context);
    const existing = request.existing === true;
    const fileKey = existing ? await readKeyFile(path) : context.random.bytes(keyBytes);
    return withWrappingKey(fileKey, (key) => {
      if (!existing) writeKeyFile(path, key);
      const options = { kind: 'keyfile', parameters: {}, random: context.random } as const;
      return { record: wrapRootKey(rootKey, key, options), shares: [] };
    });
  },

  unsealer(record, context) {
    return new KeyFileUnsealer(record, pathOf(context));
  },

  async weakenings(context) {
    const path = pathOf(context);
    if (context.dataPath === undefined) return [];
    const keyDirectory = await stat(dirname(path));
    const dataDirectory = await stat(dirname(context.dataPath));
    if (keyDirectory.dev !== dataDirectory.dev) return [];
    const beside = keyDirectory.ino === dataDirectory.ino;
    return [beside ? 'key-file-beside-data' : 'key-file-same-device'];
  },
};

class KeyFileUnsealer implements Unsealer {
  readonly kind = 'keyfile';
  readonly asks = 'nothing';
  readonly #record: SealRecord;
  readonly #path: string;

  constructor(record: SealRecord, path: string) {
    this.#record = record;
    this.#path = path;
  }

  progress(): { readonly given: number; readonly needed: number } {
    return { given: 0, needed: 0 };
  }

  async supply(): Promise<{ readonly kind: 'unsealed'; readonly rootKey: Buffer }> {
    const fileKey = await readKeyFile(this.#path);
    const rootKey = withWrappingKey(fileKey, (key) => unwrapRootKey(this.#record, key));
    return { kind: 'unsealed', rootKey };
  }

  reset(): void {}
}

function pathOf(context: SealContext): string {
  if (context.keyFile === undefined) throw keyFileFault('not-configured', '');
  return context.keyFile;
}

function writeKeyFile(path: string, key: Buffer): void {
  const content = allocate(header.length + keyBytes);
  content.set(header);
  content.set(key, header.length);
  try {
    createDurably(path, content, 0o600);
  } catch (error) {
    throw keyFileFault(codeOf(error) === 'EEXIST' ? 'exists' : 'not-writable', path, error);
  } finally {
    wipe(content);
  }
}

/** The key, which the caller wipes. @throws Fault `seal.key-file` */
async function readKeyFile(path: string): Promise<Buffer> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file: FileHandle;
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const problems: Readonly<Record<string, KeyFileProblem>> = {
      ENOENT: 'missing',
      ELOOP: 'symbolic-link',
    };
    throw keyFileFault(problems[codeOf(error)] ?? 'not-readable', path, error);
  }
  const content = allocate(header.length + keyBytes + 1);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw keyFileFault('not-a-file', path);
    if ((stats.mode & 0o177) !== 0) throw keyFileFault('too-open', path);
    if (stats.uid !== 0 && stats.uid !== geteuid?.()) throw keyFileFault('other-owner', path);
    const { bytesRead } = await file.read(content, 0, content.length, 0);
    const whole = bytesRead === header.length + keyBytes;
    if (!whole || !content.subarray(0, header.length).equals(header)) {
      throw keyFileFault('not-a-key', path);
    }
    const key = allocate(keyBytes);
    key.set(content.subarray(header.length, header.length + keyBytes));
    return key;
  } finally {
    wipe(content);
    await file.close();
  }
}

type KeyFileProblem =
  | 'exists'
  | 'missing'
  | 'not-a-file'
  | 'not-a-key'
  | 'not-configured'
  | 'not-readable'
  | 'not-writable'
  | 'other-owner'
  | 'symbolic-link'
  | 'too-open';

function keyFileFault(problem: KeyFileProblem, path: string, cause?: unknown): Fault {
  return new Fault('seal.key-file', { problem, path }, { cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
