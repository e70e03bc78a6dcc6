/** Colour, where a person sees it; meaning is always in the words, too. */
import { styleText } from 'node:util';
import type { ProgramIo } from './program.ts';

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'bold' | 'dim';
export type Paint = (colour: Colour, text: string) => string;

/** @param given - `--color`: `always`, `never`, or anything else for `auto`. */
export function makePaint(
  io: Pick<ProgramIo, 'env' | 'stdout' | 'stderr'>,
  of: 'stdout' | 'stderr',
  given: string | undefined,
): Paint {
  return isColoured(io, io[of].isTty, given)
    ? (colour, text) => styleText(colour, text, { validateStream: false })
    : (_colour, text) => text;
}

function isColoured(
  { env }: Pick<ProgramIo, 'env'>,
  isTty: boolean,
  given: string | undefined,
): boolean {
  if (given === 'always') return true;
  if (given === 'never' || env['NO_COLOR']) return false;
  if (env['FORCE_COLOR'] && env['FORCE_COLOR'] !== '0') return true;
  return isTty && env['TERM'] !== 'dumb';
}
