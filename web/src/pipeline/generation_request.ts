/** One request with its defaults filled in, checked before anything is computed. */

import type { RequestOptions, OutputName, Prompt, PromptEmbeddings } from "../api/options";
import type { OnProgress } from "../api/progress";
import type { DrawOptions, EncodeOptions } from "../api/types";
import type { Manifest, Size } from "../bundle/manifest";
import { compiledSizes, findEntryPoint, valueCount } from "../bundle/manifest";
import type { Settings } from "../settings/infotext";
import { schedulerOfClass } from "../settings/sampler_names";
import type { Seed } from "../settings/seed";
import { isSeed } from "../settings/seed";
import {
  MAX_GUIDANCE,
  MAX_IMAGES,
  MAX_SEED,
  MIN_SEED,
  SCHEDULER_DEFAULTS,
} from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { nearestName } from "../util/nearest";
import {
  ENCODE_CHECKS,
  GENERATE_CHECKS,
  requireOptions,
  requireString,
  show,
} from "../util/option_checks";
import { embeddingSpecs } from "./text_encoder";
import type { EmbeddingSpec } from "./text_encoder";

/** The options of one request, all of them set. */
export interface GenerationRequest {
  /** One text for each prompt; undefined where embeddings stand for them. */
  prompts: readonly string[] | undefined;
  /**
   * One for each prompt. Undefined if none was given, which for SDXL differs from the empty text,
   * or if embeddings stand for them.
   */
  negativePrompts: readonly string[] | undefined;
  embeddings: PromptEmbeddings;
  steps: number;
  guidanceScale: number;
  seed: Seed;
  size: Size;
  scheduler: string;
  eta: number;
  /** How many pictures each prompt has. */
  imagesPerPrompt: number;
  /** How many pictures there are of all prompts; their noise is drawn at once. */
  batch: number;
  /** Indices of the pictures of the batch that are drawn, in order. */
  drawn: readonly number[];
  /** Initial noise of the whole batch, before the scheduler scales it. */
  latents: Float32Array | undefined;
  previewEvery: number;
  output: OutputName;
}

/**
 * Fill in a model's defaults. Without a seed, it is a random one.
 *
 * @param prompt null where embeddings stand for it.
 * @throws OptionError if an option is not known, of another type, out of range, or names nothing.
 */
export function resolveRequest(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: RequestOptions = {},
): GenerationRequest {
  const given = requireOptions("generate", options, GENERATE_CHECKS);
  const { defaults } = manifest;
  const texts = resolveTexts(manifest, prompt, given);
  const numbers = resolveNumbers(manifest, given);
  const imagesPerPrompt = given.numImages ?? 1;
  requireInteger("numImages", imagesPerPrompt, 1, MAX_IMAGES);
  const batch = texts.count * imagesPerPrompt;
  if (batch > MAX_IMAGES) {
    throw new OptionError(
      `${texts.count} prompts with ${imagesPerPrompt} pictures each are ${batch} pictures`,
      `one call draws at most ${MAX_IMAGES}; draw the others in another call`,
    );
  }
  const { imageIndex } = given;
  if (imageIndex !== undefined) requireInteger("imageIndex", imageIndex, 0, batch - 1);
  const drawn =
    imageIndex === undefined ? Array.from({ length: batch }, (_, i) => i) : [imageIndex];
  const { latents, output = "imageData", width, height } = given;
  const size = resolveSize(manifest, width ?? defaults.size[0], height ?? defaults.size[1]);
  if (latents !== undefined) {
    const { shape } = findEntryPoint(manifest, "denoiser", size).inputs[0]!;
    requireFloats("latents", latents, [batch, ...shape.slice(1)]);
  }
  const { prompts, negativePrompts, embeddings } = texts;
  return {
    ...{ prompts, negativePrompts, embeddings, ...numbers, size },
    ...{ imagesPerPrompt, batch, drawn, latents, output },
  };
}

/** A call of `generate` that was checked: what goes to the worker, and what stays. */
export interface GenerateCall<Output extends OutputName = OutputName> {
  prompt: Prompt | null;
  /** The given options and a seed; plain values that can be sent to a worker. */
  options: RequestOptions;
  output: Output;
  onProgress: OnProgress | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Check a call of `generate` before it waits for others, and choose its seed.
 *
 * @throws OptionError see {@link resolveRequest}.
 */
export function checkGenerate<Output extends OutputName = "imageData">(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: DrawOptions<Output> = {},
): GenerateCall<Output> {
  const given = requireOptions("generate", options, GENERATE_CHECKS);
  const { seed } = resolveRequest(manifest, prompt, given);
  const { onProgress, signal, ...rest } = given;
  const output = (given.output ?? "imageData") as Output;
  const copies = Object.entries(rest).map(([name, value]) => [name, copyOf(value)]);
  const copied = Object.fromEntries(copies) as RequestOptions;
  return {
    prompt: copyOf(prompt ?? null),
    options: { ...copied, seed },
    ...{ output, onProgress, signal },
  };
}

/**
 * Copy lists and arrays: the caller may change them while the call waits, and what a framework
 * watches for changes (a Proxy) cannot be sent to a worker.
 */
function copyOf<Value>(value: Value): Value {
  if (Array.isArray(value)) return [...(value as unknown[])] as Value;
  return isFloats(value) ? (new Float32Array(value) as Value) : value;
}

/** A call of `encodePrompt` that was checked. */
export interface EncodeCall {
  prompt: readonly string[];
  /** One for each prompt; undefined if none was given. */
  negativePrompt: readonly string[] | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Check a call of `encodePrompt`.
 *
 * @throws OptionError if a prompt is not a text, or there are too many or none.
 */
export function checkEncode(
  manifest: Manifest,
  prompt: Prompt,
  options: EncodeOptions = {},
): EncodeCall {
  const { negativePrompt, signal } = requireOptions("encodePrompt", options, ENCODE_CHECKS);
  const { prompts, negativePrompts } = resolveTexts(manifest, prompt, { negativePrompt });
  return { prompt: prompts!, negativePrompt: negativePrompts, signal };
}

/**
 * Return the settings that one picture carries: all that is needed to draw it again.
 *
 * @param image its index in the batch.
 */
export function describeRequest(
  manifest: Manifest,
  request: GenerationRequest,
  image: number,
): Settings {
  const { steps, scheduler, guidanceScale, seed, eta, size, batch, imagesPerPrompt } = request;
  const { prompts, negativePrompts, embeddings, latents } = request;
  const index = Math.floor(image / imagesPerPrompt);
  const [width, height] = size;
  const given = Object.keys({ ...(latents && { latents }), ...embeddings });
  return {
    prompt: prompts?.[index] ?? "",
    negativePrompt: negativePrompts?.[index],
    ...{ steps, scheduler, guidanceScale, seed, width, height },
    ...{ model: manifest.model.name, eta, numImages: batch, imageIndex: image },
    ...(given.length === 0 ? {} : { given }),
  };
}

/** The prompts of a request, as texts or embeddings. */
type Texts = Pick<GenerationRequest, "prompts" | "negativePrompts" | "embeddings"> & {
  /** How many prompts there are. */
  count: number;
};

/** Check prompts and embeddings: diffusers' `check_inputs`. */
function resolveTexts(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: RequestOptions,
): Texts {
  const specs = embeddingSpecs(manifest);
  const embeddings = pickEmbeddings(options, specs);
  const prompts = prompt === undefined || prompt === null ? undefined : listOf("prompt", prompt);
  const { negativePrompt } = options;
  const [hasPrompt, hasNegative] = [prompts !== undefined, negativePrompt !== undefined];
  const positive = checkEmbeddings(embeddings, specs, "positive", "prompt", hasPrompt);
  if (prompts === undefined && positive === undefined) {
    throw new OptionError("there is no prompt", "give a text, a list of texts, or promptEmbeds");
  }
  const count = prompts?.length ?? positive!;
  const negative = checkEmbeddings(embeddings, specs, "negative", "negativePrompt", hasNegative);
  if (negative !== undefined && negative !== count) {
    throw new OptionError(
      `negativePromptEmbeds are of ${negative} prompts, and there are ${count}`,
      "give the embeddings of as many negative prompts as there are prompts",
    );
  }
  return {
    ...{ prompts, embeddings, count },
    negativePrompts: hasNegative ? negativesOf(negativePrompt, count) : undefined,
  };
}

/** Return a list of texts of one or several. */
function listOf(name: string, value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) {
    throw new OptionError(
      `${name} is ${show(value)}`,
      `it must be a text or a list of texts; other options go into the second argument`,
    );
  }
  const list: unknown[] = value;
  list.forEach((text, index) => requireString(`${name}[${index}]`, text));
  if (list.length === 0 || list.length > MAX_IMAGES) {
    throw new OptionError(
      `${name} is ${show(value)}`,
      `a list must have 1 to ${MAX_IMAGES} texts, because a call draws so many pictures`,
    );
  }
  // A copy, which the caller does not change while the call waits.
  return [...list] as string[];
}

/** Return one negative prompt for each prompt; a single text is taken for all. */
function negativesOf(negativePrompt: unknown, count: number): readonly string[] {
  const list = listOf("negativePrompt", negativePrompt);
  if (typeof negativePrompt === "string") return Array<string>(count).fill(negativePrompt);
  if (list.length === count) return list;
  throw new OptionError(
    `negativePrompt has ${list.length} texts, and there are ${count} prompts`,
    "give one text for all prompts, or one for each",
  );
}

function pickEmbeddings(options: RequestOptions, specs: EmbeddingSpec[]): PromptEmbeddings {
  const { promptEmbeds, negativePromptEmbeds } = options;
  const { pooledPromptEmbeds, negativePooledPromptEmbeds } = options;
  const all = {
    ...{ promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds, negativePooledPromptEmbeds },
  };
  const taken = specs.flatMap(({ positive, negative }): string[] => [positive, negative]);
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  for (const [name] of given) {
    if (taken.includes(name)) continue;
    throw new OptionError(
      `this model takes no ${name}`,
      taken.length === 0 ? "give prompts as texts" : `it takes ${taken.join(", ")}`,
    );
  }
  return Object.fromEntries(given);
}

/**
 * Check the embeddings of the prompts, or of the negative ones.
 *
 * @param textName the option that they replace.
 * @returns how many prompts they are of; undefined if there are none.
 */
function checkEmbeddings(
  embeddings: PromptEmbeddings,
  specs: EmbeddingSpec[],
  side: "positive" | "negative",
  textName: string,
  hasText: boolean,
): number | undefined {
  const names = specs.map((spec) => spec[side]);
  const given = names.filter((name) => embeddings[name] !== undefined);
  if (given.length === 0) return undefined;
  if (hasText) {
    throw new OptionError(
      `both ${textName} and ${given[0]} are given`,
      textName === "prompt"
        ? "give null as the prompt where embeddings stand for it"
        : `leave ${textName} out where embeddings stand for it`,
    );
  }
  const missing = names.find((name) => embeddings[name] === undefined);
  if (missing !== undefined) {
    throw new OptionError(
      `${given[0]} is given without ${missing}`,
      `this model takes ${names.join(" and ")} together; encodePrompt gives them`,
    );
  }
  let count: number | undefined;
  for (const { [side]: name, shape } of specs) {
    const length: number = embeddings[name]!.length;
    const each = valueCount(shape);
    count ??= Math.max(1, Math.min(MAX_IMAGES, Math.round(length / each)));
    requireFloats(name, embeddings[name], [count, ...shape.slice(1)]);
  }
  return count;
}

type Numbers = Pick<
  GenerationRequest,
  "steps" | "guidanceScale" | "seed" | "scheduler" | "eta" | "previewEvery"
>;

function resolveNumbers(manifest: Manifest, options: RequestOptions): Numbers {
  const { defaults } = manifest;
  const scheduler = resolveScheduler(manifest, options.scheduler ?? manifest.schedulers.default);
  const config = manifest.schedulers.available[scheduler]!;
  const steps = options.numInferenceSteps ?? defaults.steps;
  // Older manifests do not say how few steps a scheduler takes.
  const { min_steps, max_steps } = { ...SCHEDULER_DEFAULTS, ...config };
  requireInteger("numInferenceSteps", steps, min_steps, max_steps);
  const seed = options.seed ?? randomSeed();
  requireSeed(seed);
  const guidanceScale = options.guidanceScale ?? defaults.guidance_scale;
  requireNumber("guidanceScale", guidanceScale, MAX_GUIDANCE);
  // Older manifests have no default for eta.
  const eta = options.eta ?? (defaults as Partial<typeof defaults>).eta ?? 0;
  requireNumber("eta", eta, 1);
  const previewEvery = options.previewEvery ?? 0;
  requireInteger("previewEvery", previewEvery, 0, config.max_steps);
  return { steps, guidanceScale, seed, scheduler, eta, previewEvery };
}

/** Return the name of the scheduler that a name or a class of diffusers means. */
function resolveScheduler(manifest: Manifest, name: string): string {
  const { available, default: own } = manifest.schedulers;
  if (Object.hasOwn(available, name)) return name;
  const found = schedulerOfClass(name, own, available);
  if (found !== undefined) return found;
  const names = Object.keys(available);
  const meant = nearestName(name, names);
  throw new OptionError(
    `scheduler ${show(name)} is not known`,
    (meant === undefined ? "" : `did you mean ${meant}? `) +
      `schedulers of this model: ${names.join(", ")}`,
  );
}

function resolveSize(manifest: Manifest, width: number, height: number): Size {
  for (const [name, value] of Object.entries({ width, height })) {
    if (typeof value === "number") continue;
    throw new OptionError(`${name} is ${show(value)}`, "it must be a number of pixels");
  }
  const sizes = compiledSizes(manifest);
  const found = sizes.find((size) => size[0] === width && size[1] === height);
  if (found !== undefined) return [width, height];
  throw new OptionError(
    `size ${width}x${height} was not compiled`,
    `sizes of this model: ${sizes.map((size) => size.join("x")).join(", ")}`,
  );
}

/** A seed of 32 bits: the noise depends on no more. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function requireNumber(name: string, value: number, most: number): void {
  // A caller in JavaScript may give anything; a text would compare as a number.
  if (!(typeof value === "number" && value >= 0 && value <= most)) {
    throw new OptionError(`${name} is ${show(value)}`, `it must be a number from 0 to ${most}`);
  }
}

function requireSeed(seed: Seed): void {
  if (typeof seed !== "bigint" && Number.isInteger(seed) && !Number.isSafeInteger(seed)) {
    throw new OptionError(
      `seed is ${seed}, which a number may have rounded`,
      "give a seed beyond 2 ** 53 - 1 as a bigint, for example 18446744073709551615n",
    );
  }
  if (typeof seed === "bigint" ? !isSeed(seed) : !Number.isInteger(seed)) {
    throw new OptionError(
      `seed is ${show(seed)}`,
      `it must be a whole number from ${MIN_SEED.toString()} to ${MAX_SEED.toString()}`,
    );
  }
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new OptionError(
      `${name} is ${show(value)}`,
      least === most ? `it must be ${least}` : `it must be a whole number from ${least} to ${most}`,
    );
  }
}

/** @throws OptionError unless a value is a Float32Array of finite numbers in this shape. */
function requireFloats(name: string, value: unknown, shape: readonly number[]): void {
  const wanted = `it must be a Float32Array of ${valueCount(shape)} values: (${shape.join(", ")})`;
  if (!isFloats(value)) throw new OptionError(`${name} is ${show(value)}`, wanted);
  if (value.length !== valueCount(shape)) {
    throw new OptionError(`${name} has ${value.length} values`, wanted);
  }
  const odd = value.findIndex((each) => !Number.isFinite(each));
  if (odd >= 0) {
    throw new OptionError(`${name}[${odd}] is ${value[odd]}`, "all values must be finite");
  }
}

/** Whether a value is a Float32Array of any realm: an iframe's is of another class. */
function isFloats(value: unknown): value is Float32Array {
  return Object.prototype.toString.call(value) === "[object Float32Array]";
}
