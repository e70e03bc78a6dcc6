/**
 * What Node is started with for each program, and why. Plain JavaScript without dependencies, because
 * `coffer.mjs` runs it under any Node. Benches start what they measure with the same.
 */

/** No signal opens the inspector, to whoever may send one: values would be there to read. */
const noInspector = '--disable-sigusr1';

/**
 * What runs on every node for ever keeps small. A young generation of 1 MiB instead of 16 costs it nothing
 * measurable and saves about 20 MiB. The last and largest compiler (`--no-opt`) would only make it busier:
 * without it are 5 MiB less and the same processor time. Without the first and quickest one, whose code is
 * large (`--no-sparkplug`), are 2 MiB less of an enforcer with 100 containers, and a rotation takes some 3 %
 * more of its processor. It gives back memory itself when work has paused (`base/lull.ts`, `--expose-gc`),
 * instead of being collected some time later, twice, at rest (`--no-memory-reducer`).
 */
const small = {
  flags: [
    noInspector,
    '--max-semi-space-size=1',
    '--max-old-space-size=96',
    '--v8-pool-size=1',
    '--optimize-for-size',
    '--no-opt',
    '--no-sparkplug',
    '--expose-gc',
    '--no-memory-reducer',
  ],
  /** One allocator arena and few threads: 10 MiB less for a program that does one thing at a time. */
  environment: { MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '2' },
};

/** How often a function must have run before the optimizing compiler takes it up (V8: 100). */
const optimizedAfter = (calls) => `--invocation-count-for-maglev=${calls}`;

/**
 * What a hundred sets run through should be fast, what a start runs through not kept twice. With 2,000
 * instead of 20,000 a rotation in 100 containers takes some 15 % less of its processor over 60 rotations
 * and more; over the 40 of `npm run bench -- propagate` compiling eats most of that. Half a MiB more stays
 * at rest (`footprint`). With 200 it is hardly faster, and 3 MiB more stay. All this was measured while the
 * baseline compiler still ran.
 */
const enforcer = { ...small, flags: [...small.flags, optimizedAfter(2000)] };

/** In no hurry. */
const watchdog = { ...small, flags: [...small.flags, optimizedAfter(20_000)] };

/**
 * Five thousand streams in 500 MB: a young generation of 8 MiB instead of 16, and an old one that is
 * collected when it has grown by half. With 4 MiB the fleet of `npm run bench -- fanout` takes 12 MB less,
 * and `deliver` gets through less per second of processor. TLS keeps a read buffer of 64 KiB per stream, of
 * which a few pages are used: mapped each for itself, instead of cut from pieces that were used before, they
 * cost those pages only.
 */
const gateway = {
  flags: [noInspector, '--max-semi-space-size=8', '--heap-growing-percent=50'],
  environment: {
    MALLOC_ARENA_MAX: '1',
    MALLOC_TOP_PAD_: '0',
    MALLOC_TRIM_THRESHOLD_: '32768',
    MALLOC_MMAP_THRESHOLD_: '65536',
  },
};

const programs = new Map(Object.entries({ enforcer, watchdog, gateway }));
const nothing = { flags: [], environment: {} };

/** For the program that is named first on the command line. */
export function nodeFor(program) {
  return programs.get(program ?? '') ?? nothing;
}
