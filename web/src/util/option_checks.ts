/**
 * Checks what callers give to public functions: the names of options, and the types of values.
 * TypeScript checks them too, and callers in JavaScript have nothing else. What depends on the
 * model is checked in src/pipeline/generation_request.ts.
 */

import { MAX_GUIDANCE, MAX_IMAGES, MAX_SEED, MIN_SEED } from "./constants.generated";
import { OptionError } from "./errors";
import { LOG_LEVELS } from "./log";
import { nearestName } from "./nearest";
import {
  FITS,
  LARGEST_BLUR,
  LONGEST_SIDE,
  MASKED_CONTENTS,
  PROMPT_SYNTAXES,
  UPSCALES,
} from "./option_values";

/** Throws an OptionError unless a value has the type. It is not called for undefined and null. */
export type Check = (name: string, value: unknown) => void;

/** The options of a call, and what checks each. */
export type Checks = Readonly<Record<string, Check>>;

/**
 * Make a check of a type.
 *
 * @param wanted what the value must be, for the error's hint.
 */
function check(wanted: string, isGood: (value: unknown) => boolean): Check {
  return (name, value) => {
    if (!isGood(value)) throw new OptionError(`${name} is ${show(value)}`, `it must be ${wanted}`);
  };
}

export const requireString = check("a text", (value) => typeof value === "string");
export const requireBytes = check(
  "a Uint8Array",
  // Of any realm: an iframe's Uint8Array is of another class.
  (value) => Object.prototype.toString.call(value) === "[object Uint8Array]",
);
const requireFinite = check("a number", (value) => Number.isFinite(value));
export const requireBoolean = check("true or false", (value) => typeof value === "boolean");
export const requireFunction = check("a function", (value) => typeof value === "function");
export const requireSignal = check("an AbortSignal", (value) => {
  // Of any realm: an iframe's or a test's AbortSignal is of another class.
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
});
export const requireObject = check(
  "an object",
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
);
const requireTexts = check(
  "a list of texts",
  (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
);
/** Takes anything: the value has several forms, or the model decides; it is checked elsewhere. */
const checkedElsewhere: Check = () => undefined;

/** Make a check of a number's range. */
function requireUpTo(most: number): Check {
  // A text would compare as a number.
  const isGood = (value: unknown): boolean =>
    typeof value === "number" && value >= 0 && value <= most;
  return check(`a number from 0 to ${most}`, isGood);
}

/** @throws OptionError unless a value is a whole number of a range. */
export function requireInteger(name: string, value: unknown, least: number, most: number): void {
  const wanted = least === most ? `${least}` : `a whole number from ${least} to ${most}`;
  const isGood = (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
  check(wanted, isGood)(name, value);
}

const requireSeedInRange = check(
  `a whole number from ${MIN_SEED.toString()} to ${MAX_SEED.toString()}`,
  (value) =>
    typeof value === "bigint" ? value >= MIN_SEED && value <= MAX_SEED : Number.isInteger(value),
);

/** @throws OptionError unless a value is a seed, without digits that a number cannot hold. */
function requireSeed(name: string, value: unknown): void {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new OptionError(
      `${name} is ${String(value)}, which a number may have rounded`,
      "give a seed beyond 2 ** 53 - 1 as a bigint, for example 18446744073709551615n",
    );
  }
  requireSeedInRange(name, value);
}

/** Make a check that a value is one of some texts. */
export function requireOneOf(...names: string[]): Check {
  const wanted = `one of: ${names.join(", ")}`;
  return check(wanted, (value) => names.includes(value as string));
}

/** Values of `formatLink`. */
export const LINK_CHECKS: Checks = Object.fromEntries(
  [
    ...["prompt", "negative", "seed", "steps", "guidance", "scheduler", "size", "images", "image"],
    ...["strength", "fit", "maskBlur", "maskedContent", "onlyMasked", "keepUnmasked"],
    ...["secondPass", "secondStrength", "secondSteps", "upscale"],
    ...["variationSeed", "variationStrength"],
    ...["promptSyntax", "prompt2", "negative2", "prompt3", "negative3", "clipSkip"],
    "cacheInterval",
  ].map((name) => [name, requireString]),
);

/** @throws OptionError unless a value is a width and a height in pixels. */
export const requireSize = check(
  "a width and a height, whole numbers above 0",
  (value) =>
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((side) => Number.isInteger(side) && (side as number) > 0),
);

/** @throws OptionError unless a value is the name of a way to fit a picture. */
export const requireFit = requireOneOf(...FITS);

/** @throws OptionError unless a value has what every manifest has. */
export function requireManifest(manifest: object): void {
  requireObject("manifest", manifest);
  const { entry_points } = manifest as Record<string, unknown>;
  requireObjects(
    "manifest.entry_points",
    entry_points,
    "give a pipeline's or preflight's manifest",
  );
}

/** @throws OptionError unless a value is a list of objects. */
function requireObjects(name: string, values: unknown, hint: string): void {
  if (!Array.isArray(values)) throw new OptionError(`${name} is ${show(values)}`, hint);
  const odd = values.findIndex((value) => typeof value !== "object" || value === null);
  if (odd >= 0) throw new OptionError(`${name}[${odd}] is ${show(values[odd])}`, hint);
}

/** @throws OptionError unless a value has what every model of a list of models has. */
export function requireListedModel(model: object): void {
  requireObject("model", model);
  const { variants } = model as Record<string, unknown>;
  const hint = "give one of the models that listModels returns";
  requireObjects("model.variants", variants, hint);
  if ((variants as unknown[]).length === 0) throw new OptionError("model.variants is empty", hint);
}

/** Options of calls that can be followed and cancelled. */
export const CALLER_CHECKS: Checks = { onProgress: requireFunction, signal: requireSignal };

/** Throws without showing the value, because it may be a token that belongs into a header. */
function requireCredentials(name: string, value: unknown): void {
  if (["omit", "same-origin", "include"].includes(value as string)) return;
  throw new OptionError(
    `${name} is not one of its values`,
    "it must be one of: omit, same-origin, include; give tokens as headers",
  );
}

/** How files are fetched; src/bundle/transport.ts checks the headers. */
export const FETCH_CHECKS: Checks = {
  fetch: check(
    "a function that takes an address and RequestInit, and resolves to a Response",
    (value) => typeof value === "function",
  ),
  headers: checkedElsewhere,
  credentials: requireCredentials,
};

/** Options of `listModels`. */
export const LIST_CHECKS: Checks = { ...FETCH_CHECKS, integrity: requireString };

/** Options of `chooseVariant`. */
export const CHOOSE_CHECKS: Checks = {
  ...FETCH_CHECKS,
  dtype: requireString,
  textEncoder3: requireBoolean,
  ignoredRules: requireString,
};

/** Options of `preflight`. */
export const PREFLIGHT_CHECKS: Checks = {
  ...LIST_CHECKS,
  safetyChecker: requireBoolean,
  textEncoder3: requireBoolean,
  ignoredRules: requireString,
};

/** When a model is tuned without being asked to. */
export const requireTuning = requireOneOf("idle", "off");

/** Options of `fromPretrained`. */
export const LOAD_CHECKS: Checks = {
  ...CALLER_CHECKS,
  ...PREFLIGHT_CHECKS,
  offload: requireBoolean,
  tiling: requireBoolean,
  settings: checkedElsewhere,
  kernels: requireString,
  cache: requireBoolean,
  concurrency: requireOneOf("queue", "refuse"),
  worker: checkedElsewhere,
  workerUrl: checkedElsewhere,
  logLevel: requireOneOf(...LOG_LEVELS),
  onNotice: requireFunction,
  tune: requireTuning,
  onTuned: requireFunction,
};

export const requireDigest = check(
  "a SHA-256 of 64 hexadecimal digits in lower case",
  (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value),
);

/** Options of `loadTextualInversion`. */
export const INVERSION_CHECKS: Checks = {
  ...CALLER_CHECKS,
  token: check(
    "a word of 1 to 100 characters without white space, brackets and backslashes",
    (value) => typeof value === "string" && /^[^\s()[\]\\]{1,100}$/.test(value),
  ),
  sha256: requireDigest,
};

/** Options of `loadLora`; src/api/lora_calls.ts checks the name. */
export const LORA_CHECKS: Checks = {
  ...CALLER_CHECKS,
  name: requireString,
  scale: requireFinite,
  sha256: requireDigest,
};

/** Most seconds that a call of `tune` may time kernels. */
const LONGEST_TUNING = 3600;

/** Options of `tune`. */
export const TUNE_CHECKS: Checks = {
  ...CALLER_CHECKS,
  seconds: check(
    `a number above 0 and at most ${LONGEST_TUNING}`,
    (value) => typeof value === "number" && value > 0 && value <= LONGEST_TUNING,
  ),
  again: requireBoolean,
};

/** How prompts are read; the prompts themselves are checked elsewhere. */
const PROMPT_CHECKS: Checks = {
  promptSyntax: requireOneOf(...PROMPT_SYNTAXES),
  clipSkip: checkedElsewhere,
  prompt2: checkedElsewhere,
  negativePrompt2: checkedElsewhere,
  prompt3: checkedElsewhere,
  negativePrompt3: checkedElsewhere,
};

/** Options of `encodePrompt`. */
export const ENCODE_CHECKS: Checks = {
  negativePrompt: checkedElsewhere,
  ...PROMPT_CHECKS,
  signal: requireSignal,
};

/** Options of `countTokens`. */
export const COUNT_CHECKS: Checks = {
  promptSyntax: requireOneOf(...PROMPT_SYNTAXES),
  prompt2: requireString,
  prompt3: requireString,
  negative: requireBoolean,
  signal: requireSignal,
};

/** The greatest number of pixels that SDXL is told of; far beyond what it learned from. */
const LARGEST_CONDITION = 65536;

/** Make a check of two whole numbers. */
function requirePair(what: string, least: number): Check {
  return check(
    `${what}, whole numbers from ${least} to ${LARGEST_CONDITION}`,
    (value) =>
      Array.isArray(value) &&
      value.length === 2 &&
      value.every(
        (each: unknown) =>
          Number.isInteger(each) &&
          (each as number) >= least &&
          (each as number) <= LARGEST_CONDITION,
      ),
  );
}

const requireConditionSize = requirePair("a width and a height", 1);
const requireCorner = requirePair("a distance from the top and one from the left", 0);

/** What SDXL is told of sizes; the order is that of the options' type. */
export const CONDITION_CHECKS = {
  originalSize: requireConditionSize,
  cropTopLeft: requireCorner,
  targetSize: requireConditionSize,
  negativeOriginalSize: requireConditionSize,
  negativeCropTopLeft: requireCorner,
  negativeTargetSize: requireConditionSize,
} as const satisfies Checks;

/** Make a check of options inside of an option. */
function requireAll(checks: Checks): Check {
  return (name, value) => {
    requireObject(name, value);
    const named = Object.entries(checks).map(([part, requireType]): [string, Check] => [
      part,
      (_, each) => requireType(`${name}.${part}`, each),
    ]);
    requireOptions(name, value as object, Object.fromEntries(named));
  };
}

/** @throws OptionError unless a value is above 0 and at most 1. */
const requireStrength = check(
  "a number above 0 and at most 1",
  (value) => typeof value === "number" && value > 0 && value <= 1,
);

/** Make a check of whole numbers from 0 on. */
function requireWholeUpTo(most: number): Check {
  return (name, value) => requireInteger(name, value, 0, most);
}

/** Values of the option `outpaint`. */
const OUTPAINT_CHECKS: Checks = Object.fromEntries(
  ["left", "top", "right", "bottom"].map((side) => [side, requireWholeUpTo(LONGEST_SIDE)]),
);

/** Values of the option `secondPass`; the model decides which sizes and steps there are. */
const SECOND_PASS_CHECKS: Checks = {
  scale: check(
    "a number from 1 to 16",
    (value) => typeof value === "number" && value >= 1 && value <= 16,
  ),
  width: requireFinite,
  height: requireFinite,
  strength: requireStrength,
  steps: checkedElsewhere,
  upscale: requireOneOf(...UPSCALES),
};

/** Options of `generate` about the picture to draw from; src/picture checks the pictures. */
const PICTURE_CHECKS: Checks = {
  image: checkedElsewhere,
  mask: checkedElsewhere,
  strength: requireStrength,
  fit: requireFit,
  maskBlur: requireUpTo(LARGEST_BLUR),
  maskedContent: requireOneOf(...MASKED_CONTENTS),
  onlyMasked: requireBoolean,
  onlyMaskedPadding: requireWholeUpTo(LONGEST_SIDE),
  keepUnmasked: requireBoolean,
  outpaint: requireAll(OUTPAINT_CHECKS),
};

/** Options of `encodeImage`. */
export const ENCODE_IMAGE_CHECKS: Checks = {
  ...CALLER_CHECKS,
  fit: requireFit,
  width: requireFinite,
  height: requireFinite,
  posterior: requireOneOf("mode", "sample"),
  seed: requireSeed,
};

/** @throws OptionError unless a value is a list of layers, each of them once. */
const requireLayers = check(
  "a list of whole numbers from 0 on, each once, such as [7, 8, 9]",
  (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    new Set(value).size === value.length &&
    value.every((layer) => Number.isSafeInteger(layer) && (layer as number) >= 0),
);

const requireInterval = check(
  "a whole number from 1 on",
  (value) => Number.isSafeInteger(value) && (value as number) >= 1,
);

/** Options of `generate`. */
export const GENERATE_CHECKS: Checks = {
  ...CALLER_CHECKS,
  negativePrompt: checkedElsewhere,
  ...PROMPT_CHECKS,
  numInferenceSteps: checkedElsewhere,
  guidanceScale: requireUpTo(MAX_GUIDANCE),
  guidanceRescale: requireUpTo(1),
  guidanceStart: requireUpTo(1),
  guidanceStop: requireUpTo(1),
  cacheInterval: requireInterval,
  skipGuidanceLayers: requireLayers,
  skipLayerGuidanceScale: requireUpTo(MAX_GUIDANCE),
  skipLayerGuidanceStart: requireUpTo(1),
  skipLayerGuidanceStop: requireUpTo(1),
  ...CONDITION_CHECKS,
  seed: requireSeed,
  width: requireFinite,
  height: requireFinite,
  scheduler: requireString,
  eta: requireUpTo(1),
  numImages: (name, value) => requireInteger(name, value, 1, MAX_IMAGES),
  imageIndex: checkedElsewhere,
  latents: checkedElsewhere,
  promptEmbeds: checkedElsewhere,
  negativePromptEmbeds: checkedElsewhere,
  pooledPromptEmbeds: checkedElsewhere,
  negativePooledPromptEmbeds: checkedElsewhere,
  promptChunks: checkedElsewhere,
  previewEvery: checkedElsewhere,
  safetyChecker: requireBoolean,
  settings: checkedElsewhere,
  ...PICTURE_CHECKS,
  variationSeed: requireSeed,
  variationStrength: requireUpTo(1),
  secondPass: requireAll(SECOND_PASS_CHECKS),
  output: requireOneOf("imageData", "blob", "imageBitmap"),
};

/** Fields of a picture's settings. */
const SETTINGS_CHECKS: Checks = {
  prompt: requireString,
  steps: requireFinite,
  scheduler: requireString,
  guidanceScale: requireFinite,
  seed: requireSeed,
  width: requireFinite,
  height: requireFinite,
  model: requireString,
  eta: requireFinite,
};

/** @throws OptionError unless a value is a list of LoRAs with a name and a scale each. */
export function requireLoras(name: string, value: unknown): void {
  requireObjects(name, value, "it must be a list of { name, scale, hash }");
  for (const [index, each] of (value as Record<string, unknown>[]).entries()) {
    requireString(`${name}[${index}].name`, each.name);
    requireFinite(`${name}[${index}].scale`, each.scale);
    if (isGiven(each.hash)) requireString(`${name}[${index}].hash`, each.hash);
  }
}

/** Fields that a picture's settings may have besides. */
const OPTIONAL_SETTINGS_CHECKS: Checks = {
  negativePrompt: requireString,
  promptSyntax: requireOneOf(...PROMPT_SYNTAXES),
  prompt2: requireString,
  negativePrompt2: requireString,
  prompt3: requireString,
  negativePrompt3: requireString,
  guidanceRescale: requireFinite,
  guidanceStart: requireFinite,
  guidanceStop: requireFinite,
  cacheInterval: requireInterval,
  skipGuidanceLayers: requireLayers,
  skipLayerGuidanceScale: requireFinite,
  skipLayerGuidanceStart: requireFinite,
  skipLayerGuidanceStop: requireFinite,
  clipSkip: requireFinite,
  conditions: requireAll(CONDITION_CHECKS),
  numImages: check(
    "a whole number above 0",
    (value) => Number.isInteger(value) && (value as number) > 0,
  ),
  imageIndex: check("a whole number", Number.isInteger),
  given: requireTexts,
  loras: requireLoras,
  strength: requireFinite,
  fit: requireFit,
  maskBlur: requireFinite,
  maskedContent: requireOneOf(...MASKED_CONTENTS),
  onlyMasked: requireBoolean,
  onlyMaskedPadding: requireFinite,
  keepUnmasked: requireBoolean,
  outpaint: requireAll(OUTPAINT_CHECKS),
  variationSeed: requireSeed,
  variationStrength: requireFinite,
  secondPass: (name, value) => {
    requireObject(name, value);
    const { width, height, strength, steps, upscale } = value as Record<string, unknown>;
    for (const [part, number] of Object.entries({ width, height, strength, steps })) {
      requireFinite(`${name}.${part}`, number);
    }
    requireOneOf(...UPSCALES)(`${name}.upscale`, upscale);
  },
};

/**
 * Check that a value has all that a picture's settings need.
 *
 * @returns the settings without those that are null.
 * @throws OptionError if one is missing or of another type.
 */
export function requireSettings<Settings extends object>(settings: Settings): Settings {
  requireObject("settings", settings);
  const values = settings as Record<string, unknown>;
  for (const [name, requireType] of Object.entries(SETTINGS_CHECKS)) {
    requireType(`settings.${name}`, values[name]);
  }
  for (const [name, requireType] of Object.entries(OPTIONAL_SETTINGS_CHECKS)) {
    if (isGiven(values[name])) requireType(`settings.${name}`, values[name]);
  }
  return withoutNulls(settings);
}

/** Whether a value was given: neither undefined nor null, as in diffusers, where it is None. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Return options without those that are null, which were not given. */
export function withoutNulls<Values extends object>(values: Values): Values {
  const given = Object.entries(values).filter(([, value]) => isGiven(value));
  return Object.fromEntries(given) as Values;
}

/** What other programs call an option, or an earlier version did, where the names differ much. */
const SYNONYMS: Readonly<Record<string, string>> = {
  steps: "numInferenceSteps",
  cfg: "guidanceScale",
  cfgscale: "guidanceScale",
  guidance: "guidanceScale",
  scale: "guidanceScale",
  negative: "negativePrompt",
  sampler: "scheduler",
  samplername: "scheduler",
  generator: "seed",
  numimagesperprompt: "numImages",
  batchsize: "numImages",
  count: "numImages",
  n: "numImages",
  index: "imageIndex",
  callback: "onProgress",
  callbackonstepend: "onProgress",
  onstep: "onProgress",
  progress: "onProgress",
  progresscallback: "onProgress",
  abortsignal: "signal",
  outputtype: "output",
  format: "output",
  preview: "previewEvery",
  safety: "safetyChecker",
  nsfw: "safetyChecker",
  denoise: "strength",
  denoisingstrength: "strength",
  denoising: "strength",
  maskimage: "mask",
  initimage: "image",
  init: "image",
  inputimage: "image",
  resizemode: "fit",
  blur: "maskBlur",
  blurfactor: "maskBlur",
  inpaintingfill: "maskedContent",
  inpaintfullres: "onlyMasked",
  paddingmaskcrop: "onlyMaskedPadding",
  maskpadding: "onlyMaskedPadding",
  overlay: "keepUnmasked",
  subseed: "variationSeed",
  subseedstrength: "variationStrength",
  hires: "secondPass",
  hiresfix: "secondPass",
  enablehr: "secondPass",
  cropscoordstopleft: "cropTopLeft",
  negativecropscoordstopleft: "negativeCropTopLeft",
  cfgrescale: "guidanceRescale",
  skiplayers: "skipGuidanceLayers",
  syntax: "promptSyntax",
  onwarning: "onNotice",
};

/**
 * Check a call's options: their names, and then the values that are given. A value that is null
 * was not given.
 *
 * @param call the function's name, for the error.
 * @returns the options that were given.
 * @throws OptionError for a name that is not known, or a value of another type.
 */
export function requireOptions<Options extends object>(
  call: string,
  options: Options | null | undefined,
  checks: Checks,
): Options {
  const given = options ?? {};
  requireObject("options", given);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(checks, name)) throw unknownOption(call, name, Object.keys(checks));
    if (isGiven(value)) checks[name]!(name, value);
  }
  return withoutNulls(given as Options);
}

function unknownOption(call: string, name: string, known: string[]): OptionError {
  const plain = name.toLowerCase().replaceAll(/[_-]/g, "");
  const synonym = Object.hasOwn(SYNONYMS, plain) ? SYNONYMS[plain] : undefined;
  const meant = known.find((each) => each === synonym) ?? nearestName(name, known);
  const list = `options of ${call}: ${known.join(", ")}`;
  return new OptionError(
    `${call} has no option ${JSON.stringify(name.slice(0, SHOWN))}`,
    meant === undefined ? list : `did you mean ${meant}? ${list}`,
  );
}

/** How many characters of a value an error shows. */
const SHOWN = 60;

/** Write a value of any type for an error. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN));
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  // The class of an object, of any realm: Float32Array, for example.
  if (typeof value === "object" && value !== null) {
    return `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
  }
  return String(value);
}
