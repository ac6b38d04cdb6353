/** Seeds as `torch.Generator().manual_seed` takes them: whole numbers of 64 bits, signed or not. */

import { MAX_SEED, MIN_SEED } from "../util/constants.generated";
import { requireString } from "../util/option_checks";

/** A whole number from -2 ** 63 to 2 ** 64 - 1; a bigint where a number would lose digits. */
export type Seed = number | bigint;

/** Say whether PyTorch takes a whole number as a seed. */
function isSeed(value: bigint): boolean {
  return value >= MIN_SEED && value <= MAX_SEED;
}

/**
 * Read a seed from text; undefined if the text is not a seed.
 *
 * @throws OptionError if it is not a string.
 */
export function parseSeed(text: string): Seed | undefined {
  requireString("text", text);
  const written = /^\s*\+?(-?\d{1,20})\s*$/.exec(text)?.[1];
  if (written === undefined) return undefined;
  const value = BigInt(written);
  if (!isSeed(value)) return undefined;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
