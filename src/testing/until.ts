/**
 * Waiting for what another thread, process or container will do: by looking again and again, and not for
 * ever.
 */
import { systemClock as clock } from '../base/clock.ts';

export interface Patience {
  /** When to give up. Not a promise of the product: what is slow is to fail by its name, and not to hang. */
  readonly withinMs?: number;
  /** Between two looks. 0: as often as the machine allows, for whoever measures. */
  readonly everyMs?: number;
}

/** Waits until it is so. @returns Milliseconds that it took. @throws What was waited for, if it never was. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  patience: Patience = {},
): Promise<number> {
  const { withinMs = 20_000 } = patience;
  const startedMs = clock.monotonicMs();
  if (!(await becomesSo(isSo, { ...patience, withinMs }))) {
    throw new Error(`${what}: not within ${withinMs} ms`);
  }
  return clock.monotonicMs() - startedMs;
}

/** Waits until it is so, or time is up. @returns Whether it is. */
export async function becomesSo(
  isSo: () => boolean | Promise<boolean>,
  { withinMs = 20_000, everyMs = 3 }: Patience = {},
): Promise<boolean> {
  const startedMs = clock.monotonicMs();
  while (!(await isSo())) {
    if (clock.monotonicMs() - startedMs > withinMs) return false;
    await (everyMs === 0 ? clock.nextTurn() : clock.sleep(everyMs));
  }
  return true;
}
