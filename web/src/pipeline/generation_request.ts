/**
 * One request with its defaults filled in. The page resolves it before the call waits for others,
 * and sends it to the worker as it is: plain values and copies, which nobody changes meanwhile.
 */

import type { GenerateOptions, OutputName, Prompt, PromptEmbeddings } from "../api/options";
import type { Manifest, Size } from "../bundle/manifest";
import { compiledSizes, findEntryPoint, valueCount } from "../bundle/manifest";
import { schedulerOfClass } from "../settings/sampler_names";
import type { Seed } from "../settings/seed";
import { MAX_IMAGES, SCHEDULER_DEFAULTS } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { nearestName } from "../util/nearest";
import { requireInteger, requireString, show } from "../util/option_checks";
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
  indices: readonly number[];
  /** Initial noise of the whole batch, before the scheduler scales it. */
  latents: Float32Array | undefined;
  previewEvery: number;
  output: OutputName;
}

/**
 * Fill in a model's defaults. Without a seed, it is a random one.
 *
 * @param prompt null where embeddings stand for it.
 * @param options checked before, with `GENERATE_CHECKS`; what depends on the model is checked here.
 * @throws OptionError if a value is out of the model's range, of another shape, or names nothing.
 */
export function resolveRequest(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: GenerateOptions & { output?: OutputName | undefined } = {},
): GenerationRequest {
  const { defaults } = manifest;
  const { numImages: imagesPerPrompt = 1, imageIndex, latents } = options;
  const { prompts, negativePrompts, embeddings, count } = resolvePrompts(manifest, prompt, options);
  const batch = count * imagesPerPrompt;
  if (batch > MAX_IMAGES) {
    throw new OptionError(
      `${count} prompts with ${imagesPerPrompt} pictures each are ${batch} pictures`,
      `one call draws at most ${MAX_IMAGES}; draw the others in another call`,
    );
  }
  if (imageIndex !== undefined) requireInteger("imageIndex", imageIndex, 0, batch - 1);
  const [width, height] = defaults.size;
  const size = resolveSize(manifest, options.width ?? width, options.height ?? height);
  if (latents !== undefined) {
    const { shape } = findEntryPoint(manifest, "denoiser", size).inputs[0]!;
    requireFloats("latents", latents, [batch, ...shape.slice(1)]);
  }
  return {
    prompts,
    negativePrompts,
    embeddings,
    ...resolveSteps(manifest, options),
    guidanceScale: options.guidanceScale ?? defaults.guidance_scale,
    seed: options.seed ?? randomSeed(),
    size,
    // Older manifests have no default for eta.
    eta: options.eta ?? (defaults as Partial<typeof defaults>).eta ?? 0,
    imagesPerPrompt,
    batch,
    indices: imageIndex === undefined ? Array.from({ length: batch }, (_, i) => i) : [imageIndex],
    latents: latents && new Float32Array(latents),
    output: options.output ?? "imageData",
  };
}

/** The prompts of a request, as texts or embeddings. */
type Prompts = Pick<GenerationRequest, "prompts" | "negativePrompts" | "embeddings"> & {
  /** How many prompts there are. */
  count: number;
};

/**
 * Check prompts and embeddings: diffusers' `check_inputs`.
 *
 * @throws OptionError if there is no prompt, or one of another type or shape.
 */
export function resolvePrompts(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: GenerateOptions,
): Prompts {
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
  const negativePrompts = hasNegative ? negativesOf(negativePrompt, count) : undefined;
  return { prompts, negativePrompts, embeddings: copyFloats(embeddings), count };
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

const EMBEDDINGS = [
  "promptEmbeds",
  "negativePromptEmbeds",
  "pooledPromptEmbeds",
  "negativePooledPromptEmbeds",
] as const;

function pickEmbeddings(options: GenerateOptions, specs: EmbeddingSpec[]): PromptEmbeddings {
  const taken = specs.flatMap(({ positive, negative }): string[] => [positive, negative]);
  const given = EMBEDDINGS.filter((name) => options[name] !== undefined);
  for (const name of given) {
    if (taken.includes(name)) continue;
    throw new OptionError(
      `this model takes no ${name}`,
      taken.length === 0 ? "give prompts as texts" : `it takes ${taken.join(", ")}`,
    );
  }
  return Object.fromEntries(given.map((name) => [name, options[name]]));
}

function copyFloats(embeddings: PromptEmbeddings): PromptEmbeddings {
  const copies = Object.entries(embeddings).map(([name, values]) => [
    name,
    new Float32Array(values),
  ]);
  return Object.fromEntries(copies) as PromptEmbeddings;
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

/** Choose the scheduler, and check what depends on it. */
function resolveSteps(
  manifest: Manifest,
  options: GenerateOptions,
): Pick<GenerationRequest, "scheduler" | "steps" | "previewEvery"> {
  const scheduler = resolveScheduler(manifest, options.scheduler ?? manifest.schedulers.default);
  const { numInferenceSteps: steps = manifest.defaults.steps, previewEvery = 0 } = options;
  // Older manifests do not say how few steps a scheduler takes.
  const { min_steps, max_steps } = {
    ...SCHEDULER_DEFAULTS,
    ...manifest.schedulers.available[scheduler]!,
  };
  requireInteger("numInferenceSteps", steps, min_steps, max_steps);
  requireInteger("previewEvery", previewEvery, 0, max_steps);
  return { scheduler, steps, previewEvery };
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
