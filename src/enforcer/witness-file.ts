/** What the witness remembers, on disk: durable before it is answered, or a restart would forget a fork. */
import { join } from 'node:path';
import * as schema from '../base/schema.ts';
import { parseState, writeState } from './uplink/uplink.ts';
import type { WitnessMemory } from './witness.ts';

const memorySchema = schema.object({
  verifier: schema.string({ max: 4096 }),
  note: schema.string({ max: 65_536 }),
  alarm: schema.optional(schema.string({ max: 64 })),
});

/**
 * @throws Fault `enforcer.state-damaged`: a node that forgot by itself would believe a rewritten log. Only
 *   joining anew forgets.
 */
export function loadWitnessMemory(stateDirectory: string): WitnessMemory | undefined {
  return parseState(placeIn(stateDirectory), (text) => {
    const { alarm = '', ...rest } = schema.parse(memorySchema, JSON.parse(text), 'witness.json');
    return { ...rest, alarm };
  });
}

/** `undefined` forgets: the node has joined anew, and trusts what it meets first. */
export function saveWitnessMemory(stateDirectory: string, memory: WitnessMemory | undefined): void {
  writeState(placeIn(stateDirectory), memory && JSON.stringify(memory));
}

function placeIn(stateDirectory: string): string {
  return join(stateDirectory, 'witness.json');
}
