/** What the witness remembers, on disk: durable before it is answered, or a restart would forget a fork. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import * as schema from '../base/schema.ts';
import { readIfThere, replaceFile } from './uplink/uplink.ts';
import type { WitnessMemory } from './witness.ts';

const memorySchema = schema.object({
  verifier: schema.string({ max: 4096 }),
  note: schema.string({ max: 65_536 }),
  alarm: schema.optional(schema.string({ max: 64 })),
});

export function loadWitnessMemory(stateDirectory: string): WitnessMemory | undefined {
  const content = readIfThere(join(stateDirectory, 'witness.json'));
  if (content === undefined) return undefined;
  const { alarm = '', ...rest } = schema.parse(
    memorySchema,
    JSON.parse(content) as unknown,
    'witness.json',
  );
  return { ...rest, alarm };
}

/** `undefined` forgets: the node has joined anew, and trusts what it meets first. */
export function saveWitnessMemory(stateDirectory: string, memory: WitnessMemory | undefined): void {
  const path = join(stateDirectory, 'witness.json');
  if (memory) replaceFile(path, JSON.stringify(memory));
  else rmSync(path, { force: true });
}
