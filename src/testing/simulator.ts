/**
 * The simulator: real gateway and enforcer code over virtual time, seeded chance, and a disk, a network, an
 * engine and a kernel that fail. One seed is one run.
 *
 *   node src/testing/simulator.ts --seed 42 [--steps 40] [--verbose]
 *   node src/testing/simulator.ts --from 1 --to 1000
 */
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { parseName } from '../model/name.ts';
import { finish } from './sim-finish.ts';
import { apps, beginning, groupNames, type RunState, steps } from './sim-steps.ts';
import { World } from './sim-world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly steps?: number;
  readonly onStep?: (text: string) => void;
  /** Breaks the world on purpose: the auditor must notice. */
  readonly plant?: (world: World) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Of everything that happened, in order: equal for equal seeds. */
  readonly trace: string;
}

const stepsDefault = 24;

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const world = new World({ seed: options.seed });
  const run: RunState = { words: 0, containers: 0, hasJumped: false };
  const trace = createHash('sha256');
  const note = (text: string): void => {
    trace.update(`${Math.round(world.time.nowMs)} ${world.time.happened} ${text}\n`);
    options.onStep?.(`${String(Math.round(world.time.nowMs)).padStart(8)} ms  ${text}`);
  };
  await world.begin();
  for (const [index, name] of groupNames.entries()) {
    const match = { docker: { labels: { app: apps[index] ?? '' } } };
    await world.ask('group.put', { name: parseName(name), match }, { ifRevision: 0 });
  }
  // Something to lose, so that no run is spent on an empty installation.
  for (const step of beginning) {
    note(await step(world, run));
  }
  await world.pass(1000);
  options.plant?.(world);
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);
  for (let count = 0; count < (options.steps ?? stepsDefault); count += 1) {
    let at = world.random.integer(total);
    const chosen = steps.find(([weight]) => (at -= weight) < 0) ?? steps[0];
    if (chosen) note(await chosen[1](world, run));
    await world.pass(world.random.integer(world.random.chance(0.2) ? 8000 : 600));
  }
  await finish(world);
  note(`end: ${world.auditor.violations.length} violations`);
  return { seed: options.seed, violations: world.auditor.violations, trace: trace.digest('hex') };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      steps: { type: 'string' },
      verbose: { type: 'boolean' },
    },
  });
  const from = Number(values.seed ?? values.from ?? 1);
  const to = Number(values.seed ?? values.to ?? from);
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  let bad = 0;
  for (let seed = from; seed <= to; seed += 1) {
    const result = await runSeed({
      seed,
      ...(values.steps === undefined ? {} : { steps: Number(values.steps) }),
      ...(values.verbose || values.seed ? { onStep: say } : {}),
    });
    for (const violation of result.violations) say(`seed ${seed}: ${violation}`);
    if (result.violations.length > 0) bad += 1;
    if (values.seed) say(`seed ${seed}: trace ${result.trace}`);
  }
  say(`${to - from + 1} seeds, ${bad} with violations`);
  return bad === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
