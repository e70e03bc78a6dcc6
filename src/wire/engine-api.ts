/** Which versions of Docker's Engine API we speak, and the one that an engine and we agree on. */
import { Fault } from '../base/fault.ts';

/** Docker 20.10. Older ones lack nothing that we use, but nobody tests them. */
export const engineApiMin = '1.41';
/** Newest version whose changes were read. */
const engineApiMax = '1.48';

export interface EngineApi {
  /** The newest that the engine speaks. */
  readonly api: string;
  readonly oldest: string;
}

/** @throws Fault `runtime.unsupported` if there is none that both speak */
export function agreeOnEngineApi({ api, oldest }: EngineApi): string {
  if (isOlder(api, engineApiMin)) {
    throw new Fault('runtime.unsupported', { api, least: engineApiMin });
  }
  if (isOlder(engineApiMax, oldest)) {
    throw new Fault('runtime.unsupported', { oldest, newest: engineApiMax });
  }
  return isOlder(api, engineApiMax) ? api : engineApiMax;
}

function isOlder(left: string, right: string): boolean {
  const [leftMajor = 0, leftMinor = 0] = left.split('.').map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split('.').map(Number);
  return leftMajor !== rightMajor ? leftMajor < rightMajor : leftMinor < rightMinor;
}
