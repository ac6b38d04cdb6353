/**
 * Writes and reads settings as the parameters of an address, for example `prompt=a+cat&seed=5`.
 * Anybody may have written an address, so what is read has bounds.
 */

import { LINK_CHECKS, requireOptions, requireString } from "../util/option_checks";
import type { FoundSettings } from "./found_settings";
import { noSettings, take } from "./found_settings";
import { readLoraTags } from "./lora_tags";

/** Values of an address, as text, by the names that they have there. */
export type LinkValues = Partial<Record<LinkName, string>>;

export type LinkName =
  | "prompt"
  | "negative"
  /** `a1111`; without it prompts are plain text. */
  | "promptSyntax"
  /** What the second text encoder reads. */
  | "prompt2"
  | "negative2"
  /** What the third text encoder reads. */
  | "prompt3"
  | "negative3"
  /** How many of the text encoders' last layers are left out. */
  | "clipSkip"
  /** Every how many predictions the whole UNet runs. */
  | "cacheInterval"
  | "seed"
  | "steps"
  | "guidance"
  | "scheduler"
  | "size"
  | "images"
  /** Number of the one picture of a batch that is meant, counted from 1. */
  | "image"
  | "strength"
  | "fit"
  | "maskBlur"
  | "maskedContent"
  /** Pixels around the masked part, if that alone is drawn. */
  | "onlyMasked"
  | "keepUnmasked"
  /** How many times larger a second pass is. */
  | "secondPass"
  | "secondStrength"
  | "secondSteps"
  | "upscale"
  | "variationSeed"
  | "variationStrength";

/** What the names mean; `images` and `image` are one setting. */
const MEANINGS = {
  prompt: "prompt",
  negative: "negativePrompt",
  promptSyntax: "promptSyntax",
  prompt2: "prompt2",
  negative2: "negativePrompt2",
  prompt3: "prompt3",
  negative3: "negativePrompt3",
  clipSkip: "clipSkip",
  cacheInterval: "cacheInterval",
  seed: "seed",
  steps: "steps",
  guidance: "guidanceScale",
  scheduler: "sampler",
  size: "size",
  strength: "strength",
  fit: "fit",
  maskBlur: "maskBlur",
  maskedContent: "maskedContent",
  onlyMasked: "onlyMaskedPadding",
  keepUnmasked: "keepUnmasked",
  secondPass: "secondScale",
  secondStrength: "secondStrength",
  secondSteps: "secondSteps",
  upscale: "upscale",
  variationSeed: "variationSeed",
  variationStrength: "variationStrength",
} as const;

/** Characters of a whole address; servers and chat programs take fewer. */
const LONGEST = 100_000;
/** So many values are read; we write fewer. */
const MOST_VALUES = 50;

/**
 * Write values as the parameters of an address; empty ones are left out.
 *
 * @throws OptionError if a name is not known, or a value is not a string.
 */
export function formatLink(values: LinkValues): string {
  const given = requireOptions("formatLink", values, LINK_CHECKS);
  const present = Object.entries(given).filter(([, value]) => value !== "");
  return new URLSearchParams(present).toString();
}

/**
 * Read settings from the parameters of an address, with or without what stands before them.
 *
 * @returns undefined if it names no setting, or is too long to be one.
 * @throws OptionError if it is not a string.
 */
export function parseLink(address: string): FoundSettings | undefined {
  requireString("address", address);
  if (address.length > LONGEST) return undefined;
  const text = address.slice(address.indexOf("#") + 1);
  const pairs = [...new URLSearchParams(text)].slice(0, MOST_VALUES);
  const values = new Map(pairs.filter(([, value]) => value !== ""));
  const known = [...Object.keys(MEANINGS), "images", "image"];
  if (!known.some((name) => values.has(name))) return undefined;
  const found = noSettings("link");
  for (const [name, text] of values) {
    if (Object.hasOwn(MEANINGS, name))
      take(found, MEANINGS[name as keyof typeof MEANINGS], name, text);
    else if (!known.includes(name)) found.others.push([name, text]);
  }
  if (found.onlyMaskedPadding !== undefined) found.onlyMasked = true;
  if (found.prompt !== undefined) {
    const { prompt, loras, others } = readLoraTags(found.prompt);
    found.prompt = prompt;
    found.others.push(...others);
    if (loras.length > 0) found.loras = loras;
  }
  const [number, of] = [values.get("image"), values.get("images") ?? "1"];
  if (number === undefined && of === "1") return found;
  take(found, "picture", "images", `${number ?? "1"} of ${of}`);
  if (found.picture !== undefined && number === undefined) found.picture.all = true;
  return found;
}
