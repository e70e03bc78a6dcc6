/**
 * Compiled code of programs that tests start: shared by all of a machine's tests, as by all starts of one
 * program in production. Most of what a start takes is compiling.
 */
import { flushCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const compileCache = join(tmpdir(), `coffer-compile-cache-${process.getuid?.() ?? 0}`);

/** For a program that is killed: one that ends by itself does this then. */
export function keepCompiled(): void {
  flushCompileCache();
}
