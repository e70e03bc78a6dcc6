/** The gateway's core over a real store on disk, without ports: for benches of what is inside. */
import { join } from 'node:path';
import { systemClock as clock } from '../src/base/clock.ts';
import { silentLog as log } from '../src/base/log.ts';
import { systemRandom as random } from '../src/base/random.ts';
import { type Core, openCore } from '../src/gateway/core.ts';
import type { RequestHandler } from '../src/gateway/handle-request.ts';
import { openPhysical, type Physical } from '../src/gateway/physical/physical.ts';
import type { Principal } from '../src/model/principal.ts';
import { temporaryDirectory } from '../src/testing/left-behind.ts';
import { newOwner } from '../src/testing/new-owner.ts';

export interface BenchCore extends AsyncDisposable {
  readonly core: Core;
  readonly requests: RequestHandler;
  readonly physical: Physical;
  readonly directory: string;
  /** A new principal with the owner's role; each has a rate limit of its own. */
  owner(name: string): Promise<Principal>;
}

/** @param given - A directory that stays; else one that goes with the core. */
export async function openBenchCore(given?: string): Promise<BenchCore> {
  const own = given === undefined ? temporaryDirectory('coffer-bench-') : undefined;
  const directory = given ?? own?.path ?? '';
  const path = join(directory, 'store.db');
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'create' });
  const fresh = (await physical.revision()) === 0;
  const core = await openCore({
    clock,
    random,
    log,
    physical,
    seal: { keyFile: join(directory, 'key'), dataPath: path },
    settings: () => ({
      address: 'localhost:1',
      pin: '',
      streamAddress: 'localhost:2',
      trustDomain: 'bench',
    }),
    leaseMs: 600_000,
  });
  const requests = core.connect({
    presence: { of: () => undefined, connected: 0 },
    // Nothing of this is measured; reaching it is a mistake in the bench.
    system: new Proxy({} as never, {
      get: () => () => {
        throw new Error('not in a bench');
      },
    }),
  });
  if (fresh) await core.barrier.initialise({ kind: 'keyfile' });
  else await core.barrier.unseal(Buffer.alloc(0));
  return {
    core,
    requests,
    physical,
    directory,
    async owner(name) {
      const { request, owner } = newOwner(core, name);
      await core.audit.commit(request);
      return owner;
    },
    async [Symbol.asyncDispose]() {
      core.delivery.close();
      core.audit.close();
      await physical.close();
      own?.[Symbol.dispose]();
    },
  };
}
