/**
 * A gateway's lower half for tests: barrier and audit log over memory or any other storage, with
 * restarts, snapshots and short requests. Everything it opened is closed with `closeAll`.
 */
import { systemClock, type Clock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { Audit, type AuditEntry, type AuditRequest } from '../gateway/audit/audit.ts';
import type { Barrier, Projection } from '../gateway/barrier/barrier.ts';
import type { Physical } from '../gateway/physical/physical.ts';
import { anonymousFrom } from '../model/principal.ts';
import { KeyFilePlace } from './unsealed-barrier.ts';

export interface AuditedStore {
  readonly barrier: Barrier;
  readonly audit: Audit;
}

export class AuditedStores {
  readonly #audits: Audit[] = [];
  readonly #places: KeyFilePlace[] = [];

  /** For one installation. */
  place(): KeyFilePlace {
    const place = new KeyFilePlace();
    this.#places.push(place);
    return place;
  }

  /** Starts over what is stored there, as after a restart. */
  async start(
    place: KeyFilePlace,
    physical: Physical,
    options: { readonly projections?: readonly Projection[]; readonly clock?: Clock } = {},
  ): Promise<AuditedStore> {
    const { clock = systemClock, projections = [] } = options;
    const barrier = await place.unsealed({ physical, projections, clock });
    const audit = new Audit({ barrier, clock, random: systemRandom, log: silentLog });
    this.#audits.push(audit);
    return { barrier, audit };
  }

  closeAll(): void {
    for (const audit of this.#audits.splice(0)) audit.close();
    for (const place of this.#places.splice(0)) place[Symbol.dispose]();
  }
}

export function testEntry(action: string, detail: Record<string, string> = {}): AuditEntry {
  const principal = anonymousFrom('local');
  return { principal, action, resource: 'x', outcome: 'ok', rule: '', requestId: 'r', detail };
}

/** Writes these secrets' records (`undefined` removes) with one entry. */
export function testRequest(
  action: string,
  records: Record<string, string | undefined> = {},
): AuditRequest {
  const writes = Object.entries(records).map(([id, text]) => ({
    kind: 'secret' as const,
    id,
    bytes: text === undefined ? undefined : Buffer.from(text),
  }));
  return { writes, expectations: [], entries: [testEntry(action)] };
}

/** The actions of all entries, in order. */
export async function recordedActions(audit: Audit): Promise<string[]> {
  const { entries } = await audit.entries({ from: 0, limit: 10_000 });
  return entries.map(({ action }) => action);
}
