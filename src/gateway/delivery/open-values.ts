/** The values that one commit sends: opened once each, and wiped when all of its sets are encoded. */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { SecretId } from '../../model/id.ts';
import type { SecretValue } from '../../model/secret-value.ts';
import type { SecretValues } from '../secrets/secrets.ts';

/** A version of a secret. */
interface Version {
  readonly secretId: SecretId;
  readonly version: number;
}

export class OpenValues implements Disposable {
  readonly #values: Pick<SecretValues, 'openValue'>;
  readonly #opened = new Map<string, SecretValue>();

  constructor(values: Pick<SecretValues, 'openValue'>) {
    this.#values = values;
  }

  /** Undefined if it was not opened. */
  valueOf({ secretId, version }: Version): SecretValue | undefined {
    return this.#opened.get(keyOf(secretId, version));
  }

  /** Whether all of these are open and go into one message: a larger one would end the node's stream. */
  fit(versions: readonly Version[]): boolean {
    let bytes = 0;
    for (const version of versions) {
      const value = this.valueOf(version);
      if (value === undefined) return false;
      bytes += value.length;
    }
    return bytes <= limits.setBytesMax;
  }

  /**
   * Opens those of them that are not open yet.
   *
   * @throws Fault what `SecretValues.openValue` throws; `limit.exceeded` if they do not fit one message.
   */
  async open(versions: readonly Version[]): Promise<void> {
    for (const { secretId, version } of versions) {
      const key = keyOf(secretId, version);
      if (this.#opened.has(key)) continue;
      this.#opened.set(key, await this.#values.openValue(secretId, version));
    }
    if (!this.fit(versions)) throw new Fault('limit.exceeded', { setBytes: limits.setBytesMax });
  }

  [Symbol.dispose](): void {
    for (const value of this.#opened.values()) value[Symbol.dispose]();
    this.#opened.clear();
  }
}

function keyOf(secretId: SecretId, version: number): string {
  return `${secretId}.${version}`;
}
