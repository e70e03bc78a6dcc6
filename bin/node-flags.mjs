/**
 * What Node is started with for each program, and why. Plain JavaScript without dependencies, because
 * `coffer.mjs` runs it under any Node. Benches start what they measure with the same.
 */

/**
 * What runs on every node for ever keeps a small heap: a young generation of 1 MiB instead of 16 costs
 * it nothing measurable and saves about 20 MiB.
 */
const enforcer = {
  flags: ['--max-semi-space-size=1', '--max-old-space-size=96', '--v8-pool-size=1'],
  /** One allocator arena and few threads: 10 MiB less for a program that does one thing at a time. */
  environment: { MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '2' },
};

const programs = new Map(Object.entries({ enforcer, watchdog: enforcer }));
const nothing = { flags: [], environment: {} };

/** For the program that is named first on the command line. */
export function nodeFor(program) {
  return programs.get(program ?? '') ?? nothing;
}
