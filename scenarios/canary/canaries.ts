/** Secrets that are known by one random mark, and the ways in which that mark might be written down. */
import { randomBytes } from 'node:crypto';
import { formsOf } from '../../src/testing/canary-scan.ts';

export class Canaries {
  readonly mark = `canary${randomBytes(18).toString('base64url')}`;
  readonly forms: readonly (readonly [name: string, bytes: Buffer])[];

  constructor() {
    this.forms = formsOf(Buffer.from(this.mark)).map(([name, text]) => {
      return [name, Buffer.from(text, 'latin1')] as const;
    });
  }

  /** The mark at both ends, so that a value that is cut anywhere still shows one. */
  value(index: number): string {
    return `${this.mark}/${index}/"ü\\\n/${randomBytes(12).toString('hex')}/${this.mark}`;
  }

  /** Names of the forms that occur. */
  in(bytes: Buffer): readonly string[] {
    return this.forms.filter(([, form]) => bytes.includes(form)).map(([name]) => name);
  }
}
