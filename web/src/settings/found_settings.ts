/** What a picture says of how it was drawn, whichever program wrote it. */

import type { Seed } from "./seed";
import { parseSeed } from "./seed";

/** A picture's place among those of one seed. */
export interface FoundPicture {
  /** Counted from 1. */
  number: number;
  /** How many those were. */
  of: number;
  /** Whether all of them are meant, and not this one alone; false unless given. */
  all?: boolean;
}

/** Settings as a program wrote them; what it did not write is undefined. */
export interface FoundSettings {
  /** The program, as people call it. */
  program: string;
  prompt: string | undefined;
  negativePrompt: string | undefined;
  steps: number | undefined;
  guidanceScale: number | undefined;
  seed: Seed | undefined;
  width: number | undefined;
  height: number | undefined;
  /** How the program calls the way to denoise. */
  sampler: string | undefined;
  /** How it calls the spacing of the noise levels, if that has a name of its own. */
  schedule: string | undefined;
  /** Name or file name of the model. */
  model: string | undefined;
  /** DDIM's share of DDPM's noise. */
  eta: number | undefined;
  /** Number of the picture among those of one seed, counted from 1, and how many those were. */
  picture: FoundPicture | undefined;
  /** Settings that have no counterpart here, and those that could not be read: name and value. */
  others: [string, string][];
}

/** Return settings in which nothing was found yet. */
export function noSettings(program: string): FoundSettings {
  return {
    program,
    prompt: undefined,
    negativePrompt: undefined,
    steps: undefined,
    guidanceScale: undefined,
    seed: undefined,
    width: undefined,
    height: undefined,
    sampler: undefined,
    schedule: undefined,
    model: undefined,
    eta: undefined,
    picture: undefined,
    others: [],
  };
}

type Meaning = Exclude<keyof FoundSettings, "program" | "others">;

/** Characters of the longest text that is read as a number; anybody may have written it. */
const LONGEST_NUMBER = 40;

/**
 * Note a setting by what it means; a value that cannot be read goes to the others.
 *
 * @param name how the program calls the setting.
 */
export function take(
  found: FoundSettings,
  meaning: Meaning | "size",
  name: string,
  text: string,
): void {
  switch (meaning) {
    case "prompt":
    case "negativePrompt":
    case "sampler":
    case "schedule":
    case "model":
      found[meaning] = text;
      return;
    case "size": {
      const size = readTwoNumbers(text);
      if (size === undefined) break;
      [found.width, found.height] = size;
      return;
    }
    case "picture": {
      const [number, of] = readTwoNumbers(text) ?? [0, 0];
      if (!(number >= 1 && number <= of)) break;
      found.picture = { number, of };
      return;
    }
    case "seed":
      found.seed = parseSeed(text.slice(0, LONGEST_NUMBER));
      if (found.seed === undefined) break;
      return;
    default: {
      const value = text.length > LONGEST_NUMBER || text.trim() === "" ? NaN : Number(text);
      if (!Number.isFinite(value)) break;
      found[meaning] = value;
      return;
    }
  }
  found.others.push([name, text]);
}

/** Read a text such as 512x768 or 2 of 4. */
function readTwoNumbers(text: string): [number, number] | undefined {
  const found = text.length > LONGEST_NUMBER ? null : /(\d+)\D+(\d+)/.exec(text);
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

/**
 * Note settings by a table of names.
 *
 * @param meanings what each name means; null for what changes no picture.
 */
export function takeAll(
  found: FoundSettings,
  pairs: Iterable<[string, string]>,
  meanings: Record<string, Meaning | "size" | null>,
): FoundSettings {
  for (const [name, text] of pairs) {
    const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
    if (meaning === undefined) found.others.push([name, text]);
    else if (meaning !== null) take(found, meaning, name, text);
  }
  return found;
}
