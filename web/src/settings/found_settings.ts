/** What a picture says of how it was drawn, whichever program wrote it. */

import { FITS, MASKED_CONTENTS, PROMPT_SYNTAXES, UPSCALES } from "../util/option_values";
import type { AppliedLora } from "./lora_tags";
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
  /** How the prompts are read; undefined if the program does not say it. */
  promptSyntax?: PromptSyntax | undefined;
  /** What the second text encoder of SDXL read, if that was another text. */
  prompt2?: string | undefined;
  negativePrompt2?: string | undefined;
  /** What the third text encoder of Stable Diffusion 3.5 read, if that was another text. */
  prompt3?: string | undefined;
  negativePrompt3?: string | undefined;
  /** How much the guided prediction was brought back to the deviation of the prompt's, 0 to 1. */
  guidanceRescale?: number | undefined;
  /** Shares of the steps after which guidance began, and after which it ended. */
  guidanceStart?: number | undefined;
  guidanceStop?: number | undefined;
  /** Every how many predictions the whole UNet ran. */
  cacheInterval?: number | undefined;
  /** Blocks that were left out for skip-layer guidance, and how that guided. */
  skipGuidanceLayers?: readonly number[] | undefined;
  skipLayerGuidanceScale?: number | undefined;
  skipLayerGuidanceStart?: number | undefined;
  skipLayerGuidanceStop?: number | undefined;
  /** How many of the text encoders' last layers were left out. */
  clipSkip?: number | undefined;
  /**
   * The layer at which ComfyUI stopped, -1 being the last one. It is in place of `clipSkip`, for it means
   * one layer less for models that are read at the last layer but one anyway, as SDXL is.
   */
  clipStop?: number | undefined;
  /** True if WSD wrote the settings: words that programs share do not mean the same everywhere. */
  isOurs?: boolean | undefined;
  /** What SDXL was told of sizes and crops. */
  conditions?: SizeConditions | undefined;
  /** How much of a given picture was drawn anew, 0 to 1. */
  strength?: number | undefined;
  /** How that picture was brought to the size. */
  fit?: Fit | undefined;
  /** Radius of the blur of the mask's edge, in pixels. */
  maskBlur?: number | undefined;
  maskedContent?: MaskedContent | undefined;
  /** Whether only the masked part was drawn, and how many pixels around it. */
  onlyMasked?: boolean | undefined;
  onlyMaskedPadding?: number | undefined;
  /** Whether the picture was put back where the mask is black. */
  keepUnmasked?: boolean | undefined;
  /** Pixels that were added at the sides of the picture. */
  outpaint?: Outpaint | undefined;
  /** Seed of noise that was mixed into that of the seed, and how much of it, 0 to 1. */
  variationSeed?: Seed | undefined;
  variationStrength?: number | undefined;
  /** A second pass: how many times larger it was, or its size. */
  secondScale?: number | undefined;
  secondWidth?: number | undefined;
  secondHeight?: number | undefined;
  /** Steps that it ran, how much it drew anew, and what was enlarged for it. */
  secondSteps?: number | undefined;
  secondStrength?: number | undefined;
  upscale?: Upscale | undefined;
  /** LoRAs that the prompt named in tags, which are not in `prompt` any more. */
  loras?: readonly AppliedLora[] | undefined;
  /** Textual inversions that the prompts were read with: their words. */
  inversions?: readonly string[] | undefined;
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

type Meaning =
  | Exclude<
      keyof FoundSettings,
      | "program"
      | "others"
      | "loras"
      | "inversions"
      | "conditions"
      | "onlyMasked"
      | "secondWidth"
      | "secondHeight"
      | "isOurs"
    >
  | keyof SizeConditions
  // Names of several settings, or of one that is written in other words.
  | "size"
  | "secondSize"
  | "clipLayer"
  | "inpaintArea";

/**
 * How a picture is brought to the size that is drawn: `cover`, scaled until it covers that size, and
 * what hangs over is cut; `contain`, scaled until it fits in, and its edges fill what is left;
 * `crop`, its middle, scaled only if it is too small; `stretch`, each side scaled by itself, as
 * diffusers does.
 */
export type Fit = (typeof FITS)[number];

/**
 * What drawing begins with where the mask is white: `original`, the picture; `noise`, nothing but
 * noise; `fill`, the colours around the masked part, blurred into it.
 */
export type MaskedContent = (typeof MASKED_CONTENTS)[number];

/**
 * How prompts are read: `plain`, every character is text; or `a1111`, as AUTOMATIC1111's web UI reads
 * them: `(word:1.3)` weighs a word, `(word)` by 1.1, `[word]` by 1 / 1.1, and a backslash makes a
 * bracket a character.
 */
export type PromptSyntax = (typeof PROMPT_SYNTAXES)[number];

/** [width, height] in pixels; diffusers has the height first. */
export type ConditionSize = readonly [width: number, height: number];
/** [top, left] in pixels. */
export type CropCorner = readonly [top: number, left: number];

/**
 * What SDXL's UNet is told of the pictures that it learned from, with the prompt and, by the options
 * that begin with `negative`, without it. Other models take none of these.
 */
export interface SizeConditions {
  /** How large the picture was before it was cut and resized; the drawn size unless given. */
  originalSize?: ConditionSize | undefined;
  /** Where it was cut; [0, 0] unless given. */
  cropTopLeft?: CropCorner | undefined;
  /** To which size; the drawn size unless given. */
  targetSize?: ConditionSize | undefined;
  /**
   * As in diffusers, this one goes with `negativeTargetSize`; with a picture to draw from, each of the
   * two is that of the prompt unless given.
   */
  negativeOriginalSize?: ConditionSize | undefined;
  /** [0, 0] unless given. With a picture to draw from, diffusers takes the prompt's `cropTopLeft`. */
  negativeCropTopLeft?: CropCorner | undefined;
  /** Goes with `negativeOriginalSize`. */
  negativeTargetSize?: ConditionSize | undefined;
}

/** Pixels that are added to a picture at its sides. */
export interface Outpaint {
  left?: number | undefined;
  top?: number | undefined;
  right?: number | undefined;
  bottom?: number | undefined;
}

/** What a second pass enlarges: the `latent` of the first pass, or the `picture` that it drew. */
export type Upscale = (typeof UPSCALES)[number];

/** What AUTOMATIC1111's web UI calls what drawing begins with where the mask is white. */
export const A1111_CONTENTS: Record<MaskedContent, string> = {
  original: "original",
  noise: "latent noise",
  fill: "fill",
};

/** Characters of the longest text that is read as a number; anybody may have written it. */
const LONGEST_NUMBER = 40;

/** Characters of the longest text that is read as a list of numbers. */
const LONGEST_LIST = 400;

/**
 * Note a setting by what it means; a value that cannot be read goes to the others.
 *
 * @param name how the program calls the setting.
 */
export function take(found: FoundSettings, meaning: Meaning, name: string, text: string): void {
  switch (meaning) {
    case "prompt":
    case "negativePrompt":
    case "prompt2":
    case "negativePrompt2":
    case "prompt3":
    case "negativePrompt3":
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
    case "originalSize":
    case "cropTopLeft":
    case "targetSize":
    case "negativeOriginalSize":
    case "negativeCropTopLeft":
    case "negativeTargetSize": {
      const pair = readTwoNumbers(text);
      if (pair === undefined) break;
      found.conditions = { ...found.conditions, [meaning]: pair };
      return;
    }
    case "skipGuidanceLayers": {
      const layers = text.length > LONGEST_LIST ? [] : text.trim().split(/\s+/).map(readInteger);
      if (layers.length === 0 || !layers.every((layer) => layer >= 0)) break;
      found.skipGuidanceLayers = layers;
      return;
    }
    case "promptSyntax":
      found.promptSyntax = PROMPT_SYNTAXES.find((syntax) => syntax === text);
      if (found.promptSyntax === undefined) break;
      return;
    // The web UI counts the layer at which it stops from the end: 1 is the last one.
    case "clipLayer":
    case "clipSkip": {
      const skip = readInteger(text) - (meaning === "clipLayer" ? 1 : 0);
      if (!(skip >= 0)) break;
      found.clipSkip = skip;
      return;
    }
    case "cacheInterval": {
      const interval = readInteger(text);
      if (!(interval >= 1)) break;
      found.cacheInterval = interval;
      return;
    }
    case "clipStop": {
      const stop = readInteger(text);
      if (!(stop < 0)) break;
      found.clipStop = stop;
      return;
    }
    case "secondSize": {
      const size = readTwoNumbers(text);
      if (size === undefined) break;
      [found.secondWidth, found.secondHeight] = size;
      return;
    }
    case "fit":
      found.fit = FITS.find((fit) => fit === text);
      if (found.fit === undefined) break;
      return;
    case "maskedContent":
      found.maskedContent = MASKED_CONTENTS.find((each) =>
        [each, A1111_CONTENTS[each]].includes(text),
      );
      if (found.maskedContent === undefined) break;
      return;
    case "inpaintArea":
      if (text !== "Only masked" && text !== "Whole picture") break;
      found.onlyMasked = text === "Only masked";
      return;
    case "keepUnmasked":
      if (text !== "true" && text !== "false") break;
      found.keepUnmasked = text === "true";
      return;
    case "outpaint":
      found.outpaint = readSides(text);
      if (found.outpaint === undefined) break;
      return;
    case "upscale":
      found.upscale = /^latent/i.test(text) ? "latent" : "picture";
      // The others enlarge in another way.
      if (!["Latent", "Lanczos", ...UPSCALES].includes(text)) break;
      return;
    case "picture": {
      const [number, of] = readTwoNumbers(text) ?? [0, 0];
      if (!(number >= 1 && number <= of)) break;
      found.picture = { number, of };
      return;
    }
    case "seed":
    case "variationSeed":
      found[meaning] = parseSeed(text.slice(0, LONGEST_NUMBER));
      if (found[meaning] === undefined) break;
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

/** Read a whole number; NaN if the text is none. */
function readInteger(text: string): number {
  const value = text.length > LONGEST_NUMBER || text.trim() === "" ? NaN : Number(text);
  return Number.isInteger(value) ? value : NaN;
}

/** Read a text such as 512x768 or 2 of 4. */
function readTwoNumbers(text: string): [number, number] | undefined {
  const found = text.length > LONGEST_NUMBER ? null : /(\d+)\D+(\d+)/.exec(text);
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

/** Read a text such as left 64 bottom 32. */
function readSides(text: string): Outpaint | undefined {
  if (text.length > 2 * LONGEST_NUMBER) return undefined;
  const found = [...text.matchAll(/(left|top|right|bottom) (\d{1,5})/g)];
  if (found.length === 0) return undefined;
  return Object.fromEntries(found.map(([, side, pixels]) => [side!, Number(pixels)]));
}

/**
 * Give a strength to the second pass that it belongs to: programs have one name for that of a given
 * picture and that of a second pass, of which a picture has one.
 */
export function splitStrength(found: FoundSettings): void {
  const { secondScale, secondWidth, secondSteps, upscale } = found;
  if ([secondScale, secondWidth, secondSteps, upscale].every((each) => each === undefined)) return;
  if (found.strength === undefined) return;
  found.secondStrength = found.strength;
  delete found.strength;
}

/** Return the size of a second pass; undefined if there was none, or its size is not known. */
export function secondSize(found: FoundSettings): { width: number; height: number } | undefined {
  const { width, height, secondScale, secondWidth, secondHeight } = found;
  if (secondWidth !== undefined && secondHeight !== undefined) {
    return { width: secondWidth, height: secondHeight };
  }
  if (secondScale === undefined || width === undefined || height === undefined) return undefined;
  return { width: Math.round(width * secondScale), height: Math.round(height * secondScale) };
}

/**
 * Note settings by a table of names.
 *
 * @param meanings what each name means; null for what changes no picture.
 */
export function takeAll(
  found: FoundSettings,
  pairs: Iterable<[string, string]>,
  meanings: Record<string, Meaning | null>,
): FoundSettings {
  for (const [name, text] of pairs) {
    const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
    if (meaning === undefined) found.others.push([name, text]);
    else if (meaning !== null) take(found, meaning, name, text);
  }
  return found;
}
