/**
 * Writes and reads a picture's settings as text, in the form that AUTOMATIC1111's web UI made
 * common: the prompt, the negative prompt, then "Key: value" pairs in one line.
 *
 * Reading takes time in proportion to the length of the text, which anybody may have written.
 */

import { OptionError } from "../util/errors";
import { requireSettings, requireString, show } from "../util/option_checks";
import type {
  Fit,
  FoundSettings,
  MaskedContent,
  Outpaint,
  PromptSyntax,
  SizeConditions,
  Upscale,
} from "./found_settings";
import { A1111_CONTENTS, noSettings, secondSize, splitStrength, takeAll } from "./found_settings";
import { readLoraTags, writeLoraTags } from "./lora_tags";
import type { AppliedLora } from "./lora_tags";
import { hasSyntax } from "./prompt_syntax";
import { findScheduler, nameSampler } from "./sampler_names";
import type { Seed } from "./seed";

/** The settings of a picture that was drawn from another one; the options of these names. */
export interface PictureSettings {
  /** Share of the steps that were run. */
  strength?: number | undefined;
  fit?: Fit | undefined;
  maskBlur?: number | undefined;
  maskedContent?: MaskedContent | undefined;
  onlyMasked?: boolean | undefined;
  onlyMaskedPadding?: number | undefined;
  keepUnmasked?: boolean | undefined;
  outpaint?: Outpaint | undefined;
}

/** A second pass; the settings' own width and height are those of the first. */
export interface SecondPassSettings {
  width: number;
  height: number;
  strength: number;
  /** Steps that it ran. */
  steps: number;
  upscale: Upscale;
}

/** The settings of one request, as the PNG of each of its pictures carries them. */
export interface Settings extends PictureSettings {
  prompt: string;
  /** Undefined if none was given; for SDXL that differs from the empty text. */
  negativePrompt: string | undefined;
  steps: number;
  scheduler: string;
  guidanceScale: number;
  /** How the prompts were read; `plain` unless given. */
  promptSyntax?: PromptSyntax | undefined;
  /** What the second text encoder read, if that was another text. */
  prompt2?: string | undefined;
  negativePrompt2?: string | undefined;
  /** What the third text encoder read (T5 of Stable Diffusion 3.5), if that was another text. */
  prompt3?: string | undefined;
  negativePrompt3?: string | undefined;
  /** How much the guided prediction was brought to the deviation of the prompt's; 0 unless given. */
  guidanceRescale?: number | undefined;
  /** Shares of the steps after which guidance began and ended, if it was not the whole run. */
  guidanceStart?: number | undefined;
  guidanceStop?: number | undefined;
  /** Every how many predictions the whole UNet ran, if it was not always. */
  cacheInterval?: number | undefined;
  /** Blocks that were left out for skip-layer guidance, and how that guided, if there was any. */
  skipGuidanceLayers?: readonly number[] | undefined;
  skipLayerGuidanceScale?: number | undefined;
  skipLayerGuidanceStart?: number | undefined;
  skipLayerGuidanceStop?: number | undefined;
  /** How many of the text encoders' last layers were left out; 0 unless given. */
  clipSkip?: number | undefined;
  /** What SDXL was told of sizes and crops, as far as the caller said it. */
  conditions?: SizeConditions | undefined;
  seed: Seed;
  width: number;
  height: number;
  model: string;
  eta: number;
  /** How many pictures were drawn from the seed, of all prompts together; 1 unless given. */
  numImages?: number | undefined;
  /** Which of them this is, counted from 0; their noise differs. 0 unless given. */
  imageIndex?: number | undefined;
  /** Seed of other noise that was mixed into that of the seed, and how much of it. */
  variationSeed?: Seed | undefined;
  variationStrength?: number | undefined;
  /** The LoRAs that were applied, in their order. */
  loras?: readonly AppliedLora[] | undefined;
  /** The second pass, if there was one. */
  secondPass?: SecondPassSettings | undefined;
  /**
   * Names of what was given and decided the picture too: tensors, `image` and `mask`. Its text names
   * them without values.
   */
  given?: readonly string[] | undefined;
}

const NEGATIVE = "Negative prompt:";
const HASHES = "Lora hashes";
const INVERSION_HASHES = "TI hashes";
/** The first of the pairs, in every program that writes this form. */
const STEPS = /^Steps: ?\d/;
/** A line with at least so many pairs that name settings is not part of the prompt. */
const FEWEST_PAIRS = 3;
/** So many pairs are read; programs write some dozens. */
const MOST_PAIRS = 1000;

/** What the keys of several programs mean; null for what changes no picture. */
const MEANINGS = {
  Steps: "steps",
  Sampler: "sampler",
  "Schedule type": "schedule",
  // Fooocus and SD.Next.
  Scheduler: "schedule",
  "CFG scale": "guidanceScale",
  Seed: "seed",
  Size: "size",
  Model: "model",
  "Eta DDIM": "eta",
  Picture: "picture",
  "Denoising strength": "strength",
  "Mask blur": "maskBlur",
  "Masked content": "maskedContent",
  "Inpaint area": "inpaintArea",
  "Masked area padding": "onlyMaskedPadding",
  "Hires upscale": "secondScale",
  "Hires resize": "secondSize",
  "Hires steps": "secondSteps",
  "Hires upscaler": "upscale",
  "Variation seed": "variationSeed",
  "Variation seed strength": "variationStrength",
  // The layer at which the program stops, counted from the last one.
  "Clip skip": "clipLayer",
  // WSD's own words.
  "Prompt syntax": "promptSyntax",
  "Prompt 2": "prompt2",
  "Negative prompt 2": "negativePrompt2",
  "Prompt 3": "prompt3",
  "Negative prompt 3": "negativePrompt3",
  "CFG rescale": "guidanceRescale",
  "Guidance start": "guidanceStart",
  "Guidance stop": "guidanceStop",
  "Cache interval": "cacheInterval",
  "Skip guidance layers": "skipGuidanceLayers",
  "Skip layer guidance scale": "skipLayerGuidanceScale",
  "Skip layer guidance start": "skipLayerGuidanceStart",
  "Skip layer guidance stop": "skipLayerGuidanceStop",
  "Original size": "originalSize",
  "Crop top left": "cropTopLeft",
  "Target size": "targetSize",
  "Negative original size": "negativeOriginalSize",
  "Negative crop top left": "negativeCropTopLeft",
  "Negative target size": "negativeTargetSize",
  Fit: "fit",
  "Keep unmasked": "keepUnmasked",
  Outpaint: "outpaint",
  // Programs that write these alone draw each picture of a batch from a seed of its own, which
  // they write too.
  "Batch size": null,
  "Batch pos": null,
  "Model hash": null,
  "VAE hash": null,
  // What they name is read apart.
  [HASHES]: null,
  [INVERSION_HASHES]: null,
  Hashes: null,
  Version: null,
  App: null,
  User: null,
} as const;

/** What WSD calls the conditions, and what stands between their two numbers. */
const CONDITIONS = [
  ["Original size", "originalSize", "x"],
  ["Crop top left", "cropTopLeft", " "],
  ["Target size", "targetSize", "x"],
  ["Negative original size", "negativeOriginalSize", "x"],
  ["Negative crop top left", "negativeCropTopLeft", " "],
  ["Negative target size", "negativeTargetSize", "x"],
] as const;

/**
 * Write settings as text: all that decides the picture, also where it is a model's default, because
 * a program that reads the text may assume another one.
 *
 * @param image index of the picture among those of its seed; that of the settings unless given.
 * @throws OptionError if one of the settings is missing, or there is no such picture.
 */
export function formatSettings(settings: Settings, image?: number): string {
  const { prompt, negativePrompt, steps, scheduler, guidanceScale, seed, ...others } =
    requireSettings(settings);
  const { numImages = 1, given = [], loras = [] } = others;
  const index = image ?? others.imageIndex ?? 0;
  if (!Number.isInteger(index) || index < 0 || index >= numImages) {
    throw new OptionError(
      `there is no picture ${show(index)}`,
      `the settings are of ${numImages}; their indices start at 0`,
    );
  }
  const { sampler, schedule } = nameSampler(scheduler);
  const pairs = [
    `Steps: ${steps}`,
    `Sampler: ${sampler}`,
    ...(schedule === "" ? [] : [`Schedule type: ${schedule}`]),
    `CFG scale: ${guidanceScale}`,
    `Seed: ${seed.toString()}`,
    `Size: ${settings.width}x${settings.height}`,
    `Model: ${quote(settings.model)}`,
    // Other programs then draw the noise on the CPU, as diffusers does.
    "RNG: CPU",
    `Eta DDIM: ${settings.eta}`,
    // AUTOMATIC1111's web UI writes the first two. The third says that one seed drew them all.
    ...(numImages > 1
      ? [`Batch size: ${numImages}, Batch pos: ${index}, Picture: ${index + 1} of ${numImages}`]
      : []),
    ...pairsOfPrompt(settings),
    ...pairsOfPicture(settings),
    ...pairsOfNoise(settings),
    ...pairsOfLoras(loras),
    ...(given.length > 0 ? [`Given: ${quote(given.join(", "))}`] : []),
  ];
  const negative = negativePrompt === undefined ? [] : [`${NEGATIVE} ${negativePrompt}`];
  return [writeLoraTags(prompt, loras), ...negative, pairs.join(", ")].join("\n");
}

/** Write the hashes of LoRAs, as the web UI does. */
function pairsOfLoras(loras: readonly AppliedLora[]): string[] {
  const known = loras.filter(({ hash }) => hash !== undefined);
  if (known.length === 0) return [];
  return [`${HASHES}: ${quote(known.map(({ name, hash }) => `${name}: ${hash!}`).join(", "))}`];
}

/** Read names and their hashes, as the web UI writes them. */
function readHashes(text: string): Map<string, string> {
  const pairs = text.split(",").map((each): [string, string] => {
    const at = each.lastIndexOf(":");
    return [each.slice(0, Math.max(0, at)).trim(), each.slice(at + 1).trim()];
  });
  return new Map(pairs.filter(([name]) => name !== ""));
}

/** The web UI leaves out of names what divides its pairs. */
function hashedName({ name }: AppliedLora): string {
  return name.replaceAll(/[:,]/g, "").trim();
}

/** Note the hashes of LoRAs, those of them that no tag names, and textual inversions. */
function takeHashes(found: FoundSettings, pairs: readonly [string, string][]): void {
  const { loras = [] } = found;
  const read = (key: string): Map<string, string> =>
    readHashes(pairs.find(([each]) => each === key)?.[1] ?? "");
  const hashes = read(HASHES);
  if (loras.length > 0) {
    found.loras = loras.map((lora) => {
      const hash = hashes.get(hashedName(lora));
      return hash === undefined ? lora : { ...lora, hash };
    });
  }
  const named = new Set(loras.map(hashedName));
  // How strongly they were applied is not known.
  for (const name of hashes.keys()) if (!named.has(name)) found.others.push(["LoRA", name]);
  const inversions = [...read(INVERSION_HASHES).keys()];
  if (inversions.length > 0) found.inversions = inversions;
}

/** Write how the prompts are read, the second ones, and what guides besides. */
function pairsOfPrompt(settings: Settings): string[] {
  const { prompt, prompt2, negativePrompt, negativePrompt2, guidanceRescale = 0 } = settings;
  const { promptSyntax = "plain", conditions = {}, clipSkip = 0 } = settings;
  const { prompt3, negativePrompt3, guidanceStart, guidanceStop, cacheInterval } = settings;
  const texts = [prompt, prompt2, prompt3, negativePrompt, negativePrompt2, negativePrompt3];
  // Other programs read weights in every prompt, so a plain one says what it is where that matters.
  const matters = promptSyntax !== "plain" || texts.some((text) => hasSyntax(text ?? ""));
  return [
    ...(matters ? [`Prompt syntax: ${promptSyntax}`] : []),
    ...(prompt2 === undefined ? [] : [`Prompt 2: ${quote(prompt2)}`]),
    ...(negativePrompt2 === undefined ? [] : [`Negative prompt 2: ${quote(negativePrompt2)}`]),
    ...(prompt3 === undefined ? [] : [`Prompt 3: ${quote(prompt3)}`]),
    ...(negativePrompt3 === undefined ? [] : [`Negative prompt 3: ${quote(negativePrompt3)}`]),
    ...(guidanceRescale > 0 ? [`CFG rescale: ${guidanceRescale}`] : []),
    ...(guidanceStart === undefined ? [] : [`Guidance start: ${guidanceStart}`]),
    ...(guidanceStop === undefined ? [] : [`Guidance stop: ${guidanceStop}`]),
    ...(cacheInterval === undefined ? [] : [`Cache interval: ${cacheInterval}`]),
    ...pairsOfSkipLayers(settings),
    ...(clipSkip > 0 ? [`Clip skip: ${clipSkip + 1}`] : []),
    ...CONDITIONS.flatMap(([name, option, between]) => {
      const pair = conditions[option];
      return pair === undefined ? [] : [`${name}: ${pair.join(between)}`];
    }),
  ];
}

/** Write skip-layer guidance, if there was any. */
function pairsOfSkipLayers(settings: Settings): string[] {
  const { skipGuidanceLayers: layers } = settings;
  if (layers === undefined) return [];
  const numbers = [
    ["scale", settings.skipLayerGuidanceScale],
    ["start", settings.skipLayerGuidanceStart],
    ["stop", settings.skipLayerGuidanceStop],
  ] as const;
  return [
    `Skip guidance layers: ${layers.join(" ")}`,
    ...numbers.flatMap(([name, value]) =>
      value === undefined ? [] : [`Skip layer guidance ${name}: ${value}`],
    ),
  ];
}

/** Write what is known of the picture that was drawn from, in the web UI's words where it has some. */
function pairsOfPicture(settings: Settings): string[] {
  const { strength, fit, maskBlur, maskedContent, onlyMasked, keepUnmasked, outpaint } = settings;
  const sides = Object.entries(outpaint ?? {}).filter(([, pixels]) => (pixels ?? 0) > 0);
  return [
    ...(strength === undefined ? [] : [`Denoising strength: ${strength}`]),
    ...(maskBlur === undefined ? [] : [`Mask blur: ${maskBlur}`]),
    ...(maskedContent === undefined ? [] : [`Masked content: ${A1111_CONTENTS[maskedContent]}`]),
    ...(onlyMasked === undefined
      ? []
      : [`Inpaint area: ${onlyMasked ? "Only masked" : "Whole picture"}`]),
    ...(settings.onlyMaskedPadding === undefined
      ? []
      : [`Masked area padding: ${settings.onlyMaskedPadding}`]),
    ...(fit === undefined ? [] : [`Fit: ${fit}`]),
    ...(keepUnmasked === true ? ["Keep unmasked: true"] : []),
    ...(sides.length > 0 ? [`Outpaint: ${sides.flat().join(" ")}`] : []),
  ];
}

/** Write a second pass and a variation, in the web UI's words. */
function pairsOfNoise(settings: Settings): string[] {
  const { secondPass, variationSeed, variationStrength, width, height } = settings;
  const pairs: string[] = [];
  if (variationSeed !== undefined) {
    pairs.push(
      `Variation seed: ${variationSeed.toString()}`,
      `Variation seed strength: ${variationStrength ?? 0}`,
    );
  }
  if (secondPass === undefined) return pairs;
  const scale = secondPass.width / width;
  const even = secondPass.height === height * scale;
  return [
    ...pairs,
    `Denoising strength: ${secondPass.strength}`,
    even ? `Hires upscale: ${scale}` : `Hires resize: ${secondPass.width}x${secondPass.height}`,
    `Hires steps: ${secondPass.steps}`,
    `Hires upscaler: ${secondPass.upscale === "latent" ? "Latent" : "Lanczos"}`,
  ];
}

/**
 * Read settings from a text; those that are missing or malformed are left out.
 *
 * @throws OptionError if it is not a string.
 */
export function parseSettings(text: string): Partial<Settings> {
  requireString("text", text);
  const found = parseInfotext(text);
  const { prompt, negativePrompt, sampler, schedule } = found;
  const known =
    sampler === undefined ? undefined : findScheduler(found.program, sampler, schedule ?? "");
  const { steps, guidanceScale, seed, eta, width, height, model } = found;
  const { number = 1, of: numImages } = found.picture ?? {};
  const imageIndex = numImages === undefined ? undefined : number - 1;
  const { promptSyntax, prompt2, negativePrompt2, guidanceRescale, conditions, loras } = found;
  const prompts = { promptSyntax, prompt2, negativePrompt2, guidanceRescale, conditions, loras };
  const { clipSkip, prompt3, negativePrompt3, guidanceStart, guidanceStop, cacheInterval } = found;
  const skipLayers = {
    skipGuidanceLayers: found.skipGuidanceLayers,
    skipLayerGuidanceScale: found.skipLayerGuidanceScale,
    skipLayerGuidanceStart: found.skipLayerGuidanceStart,
    skipLayerGuidanceStop: found.skipLayerGuidanceStop,
  };
  const interval = { guidanceStart, guidanceStop, cacheInterval };
  const guided = { ...prompts, prompt3, negativePrompt3, clipSkip, ...interval, ...skipLayers };
  const picture = { numImages, imageIndex, ...guided, ...pictureOf(found) };
  const values = { steps, guidanceScale, seed, eta, width, height, model, ...picture };
  const scheduler = known?.exact === true ? known.schedulers[0] : undefined;
  const present = Object.entries({ ...values, scheduler }).filter(
    ([, value]) => value !== undefined,
  );
  return { prompt: prompt ?? "", negativePrompt, ...Object.fromEntries(present) };
}

/** Return what settings say of a given picture, a variation and a second pass. */
function pictureOf(found: FoundSettings): Partial<Settings> {
  const { strength, fit, maskBlur, maskedContent, onlyMasked, onlyMaskedPadding } = found;
  const { keepUnmasked, outpaint, variationSeed, variationStrength, steps } = found;
  const size = secondSize(found);
  const { secondStrength, secondSteps = steps, upscale } = found;
  const secondPass =
    size && secondStrength !== undefined && secondSteps !== undefined && upscale !== undefined
      ? { ...size, strength: secondStrength, steps: secondSteps, upscale }
      : undefined;
  return {
    ...{ strength, fit, maskBlur, maskedContent, onlyMasked, onlyMaskedPadding, keepUnmasked },
    ...{ outpaint, variationSeed, variationStrength, secondPass },
  };
}

/** Read all that a text of this form says. */
export function parseInfotext(text: string): FoundSettings {
  const found = noSettings("A1111");
  const lines = text.replaceAll("\r\n", "\n").trimEnd().split("\n");
  const at = findPairs(lines);
  const words = at < 0 ? lines : lines.slice(0, at);
  const negativeAt = words.findIndex((line) => line.startsWith(NEGATIVE));
  const { prompt, loras, others } = readLoraTags(
    (negativeAt < 0 ? words : words.slice(0, negativeAt)).join("\n"),
  );
  found.prompt = prompt;
  if (loras.length > 0) found.loras = loras;
  found.others.push(...others);
  if (negativeAt >= 0) {
    const negative = words.slice(negativeAt).join("\n").slice(NEGATIVE.length);
    found.negativePrompt = negative.startsWith(" ") ? negative.slice(1) : negative;
  }
  if (at < 0) return found;
  const pairs = readPairs(lines[at]!);
  if (pairs.some(([key, value]) => key === "App" && value === "SD.Next")) found.program = "SD.Next";
  // WSD draws the noise of a CPU, so "RNG: CPU" changes nothing. Noise of a GPU differs.
  const telling = pairs.filter(([key, value]) => key !== "RNG" || value !== "CPU");
  takeAll(found, telling, MEANINGS);
  takeHashes(found, pairs);
  // Earlier versions of WSD read every prompt as plain text, and did not write that.
  const texts = [found.prompt, found.negativePrompt ?? ""];
  if (isOurs(pairs) && texts.some(hasSyntax)) found.promptSyntax ??= "plain";
  if (isOurs(pairs)) found.isOurs = true;
  splitStrength(found);
  // Extensions write lines of their own below the pairs.
  const below = lines.slice(at + 1).filter((line) => line.trim() !== "");
  for (const line of below) found.others.push([line.split(":", 1)[0]!, line]);
  return found;
}

/** Whether WSD wrote a line of pairs: these two are beside each other, whatever their values. */
function isOurs(pairs: [string, string][]): boolean {
  const rng = pairs.findIndex(([key, value]) => key === "RNG" && value === "CPU");
  return rng >= 0 && pairs[rng + 1]?.[0] === "Eta DDIM" && pairs[rng - 1]?.[0] === "Model";
}

/** Return the index of the line of pairs; -1 if there is none. */
function findPairs(lines: string[]): number {
  const steps = lines.map((line) => STEPS.test(line)).lastIndexOf(true);
  if (steps >= 0) return steps;
  const known = readPairs(lines.at(-1)!).filter(([key]) => Object.hasOwn(MEANINGS, key));
  return known.length >= FEWEST_PAIRS ? lines.length - 1 : -1;
}

/** Read "Key: value" pairs; a value with commas stands in quotation marks, as JSON has them. */
function readPairs(line: string): [string, string][] {
  const pairs: [string, string][] = [];
  const key = /\s*(\w[\w \-/]*):[ \t]*/y;
  let at = 0;
  while (at < line.length && pairs.length < MOST_PAIRS) {
    key.lastIndex = at;
    const name = key.exec(line)?.[1];
    let end = line.indexOf(",", at);
    if (end < 0) end = line.length;
    if (name !== undefined) {
      const start = key.lastIndex;
      const quoted = line[start] === '"' ? findQuote(line, start) : -1;
      end = line.indexOf(",", quoted < 0 ? start : quoted);
      if (end < 0) end = line.length;
      pairs.push([name, unquote(line.slice(start, end).trimEnd())]);
    }
    at = end + 1;
  }
  return pairs;
}

/** Return the index of the quotation mark that ends a value; -1 if there is none. */
function findQuote(line: string, start: number): number {
  for (let at = start + 1; at < line.length; at++) {
    if (line[at] === "\\") at += 1;
    else if (line[at] === '"') return at;
  }
  return -1;
}

function quote(value: string): string {
  return /[,:\n]|^\s|\s$|^"|^$/.test(value) ? JSON.stringify(value) : value;
}

function unquote(value: string): string {
  if (!value.startsWith('"') || !value.endsWith('"')) return value;
  try {
    const text: unknown = JSON.parse(value);
    return typeof text === "string" ? text : value;
  } catch {
    return value;
  }
}
