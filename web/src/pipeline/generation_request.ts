/**
 * One request with its defaults filled in. The page resolves it before the call waits for others,
 * and sends it to the worker as it is: plain values and copies, which nobody changes meanwhile.
 */

import type {
  GenerateOptions,
  GivenEmbeddings,
  OutputName,
  Posterior,
  Prompt,
  PromptSyntax,
  SizeConditions,
  Upscale,
} from "../api/options";
import type { MemorySettings } from "../bundle/inference_settings";
import type { Manifest, Size } from "../bundle/manifest";
import {
  compiledSizes,
  findEntryPoint,
  guidanceLayers,
  maxClipSkip,
  promptChunks,
  requireEncoder,
  valueCount,
} from "../bundle/manifest";
import type { Overlay } from "../picture/overlay";
import type { PictureSettings } from "../settings/infotext";
import type { AppliedLora } from "../settings/lora_tags";
import { needsChunks, parseWeights } from "../settings/prompt_syntax";
import { schedulerOfClass } from "../settings/sampler_names";
import type { Seed } from "../settings/seed";
import {
  MASKED_FROM,
  MAX_IMAGES,
  SCHEDULER_DEFAULTS,
  SKIP_LAYER_GUIDANCE,
} from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { nearestName } from "../util/nearest";
import {
  requireInteger,
  requireObject,
  requireString,
  show,
  withoutNulls,
} from "../util/option_checks";
import { resolveCacheInterval } from "./cache_interval";
import { resolveInterval } from "./guidance_interval";
import type { GuidanceInterval } from "./guidance_interval";
import type { Inversion } from "./inversion";
import { requireSafetyChecker } from "./safety_checker";
import { resolveConditions } from "./size_conditions";
import { embeddingSpecs } from "./text_encoder";
import type { EmbeddingSpec } from "./text_encoder";

/** What denoising begins with where a mask has a picture drawn anew: the picture, or noise. */
export type LatentContent = "original" | "noise";

/** Where a request's pictures begin: pictures, or the latents of some. */
export type PictureSource =
  | {
      /**
       * RGBA bytes of the drawn size, row by row; the alpha is not read. One picture for the whole
       * batch, or one for each picture of the batch.
       */
      pixels: readonly Uint8ClampedArray[];
      latents?: undefined;
    }
  | {
      pixels?: undefined;
      /**
       * Clean latents as a result has them, (batch, channels, height / factor, width / factor),
       * flat: nothing is encoded. They take no mask.
       */
      latents: Float32Array;
    };

/** A picture that a request begins with. It has the drawn size: nothing is resized any more. */
export type GivenPicture = PictureSource & {
  /** Share of the steps that are run, above 0 and up to 1. */
  strength: number;
  /**
   * One byte for each pixel, row by row. Pixels from `MASKED_FROM` on are drawn anew, the others
   * are kept; undefined draws all of them anew.
   */
  mask?: Uint8Array | Uint8ClampedArray | undefined;
  /** A sample, as diffusers' pipelines take it, unless given. */
  posterior?: Posterior | undefined;
  /** The picture, as in diffusers, unless given; has no effect without a mask. */
  maskedContent?: LatentContent | undefined;
};

/** Noise of another seed that is mixed into that of the request's seed. */
export interface Variation {
  seed: Seed;
  /** 0 leaves the seed's noise as it is, and 1 takes the other one. */
  strength: number;
}

/** A second pass, all of its options set. */
export interface SecondPassRequest {
  size: Size;
  strength: number;
  /** Steps that are run. */
  runSteps: number;
  /** Steps of the schedule, of which the last `runSteps` are run. */
  steps: number;
  upscale: Upscale;
}

/** Skip-layer guidance, all of its options set. */
export interface SkipLayerGuidance {
  /** Blocks that are left out, counted from 0. */
  layers: readonly number[];
  scale: number;
  /** Share of the steps after which it begins, and that before which it ends. */
  start: number;
  stop: number;
}

/** The texts of a request, and how they are read. */
export interface RequestTexts {
  /** One text for each prompt; undefined where embeddings stand for them. */
  prompts: readonly string[] | undefined;
  /**
   * One for each prompt. Undefined if none was given, which for SDXL differs from the empty text,
   * or if embeddings stand for them.
   */
  negativePrompts: readonly string[] | undefined;
  /** What the second text encoder reads, one text for each prompt; an empty one stands for the prompt. */
  prompts2?: readonly string[] | undefined;
  /** The same of the negative prompts. */
  negativePrompts2?: readonly string[] | undefined;
  /** What the third text encoder reads, as `prompts2`. */
  prompts3?: readonly string[] | undefined;
  negativePrompts3?: readonly string[] | undefined;
  /** `plain` unless given. */
  promptSyntax?: PromptSyntax | undefined;
  /** Textual inversions whose words the texts may have. */
  inversions?: readonly Inversion[] | undefined;
  /** How many of the text encoders' last layers are left out; 0 unless given. */
  clipSkip?: number | undefined;
}

/** The options of one request, all of them set. */
export interface GenerationRequest extends RequestTexts {
  embeddings: GivenEmbeddings;
  /** How many chunks each prompt's embeddings are of, if they are given; 1 unless given. */
  promptChunks?: number | undefined;
  /** What SDXL is told of sizes and crops, as far as the caller says it. */
  conditions?: SizeConditions | undefined;
  /** How much the guided prediction is brought to the deviation of the prompt's; 0 unless given. */
  guidanceRescale?: number | undefined;
  /** In which part of a run there is guidance; the whole run unless given. */
  guidanceInterval?: GuidanceInterval | undefined;
  /** Every how many predictions the whole denoiser runs; 1 unless given. */
  cacheInterval?: number | undefined;
  /** Guidance away from what is predicted without some blocks; none unless given. */
  skipLayers?: SkipLayerGuidance | undefined;
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
  /** The picture that drawing begins with; undefined draws from text alone. */
  picture?: GivenPicture | undefined;
  /** What the settings of the drawn pictures say of the given one. */
  pictureSettings?: PictureSettings | undefined;
  /** What is put back into the drawn pictures; the worker does that, not the pipeline. */
  overlay?: Overlay | undefined;
  /** Noise of another seed, and how much of it is mixed into the initial noise. */
  variation?: Variation | undefined;
  /** A second pass at a larger size; the worker draws that, the pipeline only names it. */
  secondPass?: SecondPassRequest | undefined;
  /** The LoRAs that are applied; the worker knows them, and the pipeline only names them. */
  loras?: readonly AppliedLora[] | undefined;
  /** Whether the finished pictures are checked; the worker does that, not the pipeline. */
  safetyChecker?: boolean | undefined;
  /** In which tiles it is decoded, and what is evicted; as the model was loaded unless given. */
  memory?: MemorySettings | undefined;
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
  const { embeddings, count, ...texts } = resolvePrompts(manifest, prompt, options);
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
    ...texts,
    embeddings,
    conditions: resolveConditions(manifest, options, options.image !== undefined),
    guidanceRescale: options.guidanceRescale,
    guidanceInterval: resolveInterval(manifest, size, options),
    cacheInterval: resolveCacheInterval(manifest, options),
    skipLayers: resolveSkipLayers(manifest, options),
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
    safetyChecker: resolveSafetyChecker(manifest, options.safetyChecker),
    output: options.output ?? "imageData",
  };
}

/**
 * Fill in the defaults of skip-layer guidance.
 *
 * @returns undefined where there is none.
 * @throws OptionError if the model has no such blocks, or it would have no effect.
 */
function resolveSkipLayers(
  manifest: Manifest,
  options: GenerateOptions,
): SkipLayerGuidance | undefined {
  const { skipGuidanceLayers: layers, image } = options;
  const given = {
    skipLayerGuidanceScale: options.skipLayerGuidanceScale,
    skipLayerGuidanceStart: options.skipLayerGuidanceStart,
    skipLayerGuidanceStop: options.skipLayerGuidanceStop,
  };
  if (layers === undefined) {
    const name = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
    if (name === undefined) return undefined;
    throw new OptionError(
      `${name} is given without skipGuidanceLayers`,
      "give the layers too, such as [7, 8, 9], or leave it out",
    );
  }
  const blocks = guidanceLayers(manifest);
  if (blocks === 0) {
    throw new OptionError(
      `${manifest.model.name} takes no skipGuidanceLayers`,
      "leave it out, or take Stable Diffusion 3.5 in a bundle of this version of WSD",
    );
  }
  const beyond = layers.find((layer) => layer >= blocks);
  if (beyond !== undefined) {
    throw new OptionError(
      `skipGuidanceLayers has ${beyond}`,
      `${manifest.model.name} has ${blocks} blocks, counted from 0 to ${blocks - 1}`,
    );
  }
  if (image !== undefined) {
    throw new OptionError(
      "both skipGuidanceLayers and image are given",
      "leave one out: diffusers' pipelines for pictures have no skip-layer guidance",
    );
  }
  const { scale, start, stop } = {
    scale: given.skipLayerGuidanceScale ?? SKIP_LAYER_GUIDANCE.scale,
    start: given.skipLayerGuidanceStart ?? SKIP_LAYER_GUIDANCE.start,
    stop: given.skipLayerGuidanceStop ?? SKIP_LAYER_GUIDANCE.stop,
  };
  if (start >= stop) {
    throw new OptionError(
      `skipLayerGuidanceStart is ${start}, and skipLayerGuidanceStop is ${stop}`,
      "both are shares of the steps, and the start is less than the stop",
    );
  }
  const { guidanceStart = 0, guidanceStop = 1 } = options;
  if (guidanceStart >= stop || start >= guidanceStop) {
    throw new OptionError(
      `skip-layer guidance is from ${start} to ${stop} of the steps, and guidance from ` +
        `${guidanceStart} to ${guidanceStop}`,
      "let the two overlap: skip-layer guidance is a part of guidance, and has no effect without it",
    );
  }
  return { layers: [...layers], scale, start, stop };
}

/** @throws UnsupportedError if pictures are to be checked, and the model has no safety checker. */
function resolveSafetyChecker(manifest: Manifest, wanted = false): boolean {
  if (wanted) requireSafetyChecker(manifest);
  return wanted;
}

/**
 * Whether a model draws nothing but masked parts of pictures: its denoiser takes the mask.
 *
 * @throws OptionError if it is not a manifest.
 */
export function needsMask(manifest: Pick<Manifest, "pipeline">): boolean {
  requireObject("manifest", manifest);
  return manifest.pipeline === "inpainting";
}

/** The kind of noise schedule, by which the steps of a strength are counted. */
export type NoiseKind = Manifest["noise_schedule"]["kind"];

/**
 * Count the steps that are run of a picture's, as diffusers' `get_timesteps` does: it rounds the steps
 * that are run down, and in the pipelines of flow matching those that are left out.
 *
 * @throws OptionError if the strength is out of range, or none is run.
 */
export function countSteps(steps: number, strength: number, kind: NoiseKind): number {
  if (!(strength > 0 && strength <= 1)) {
    throw new OptionError(`strength is ${show(strength)}`, "it must be above 0, and at most 1");
  }
  const run = roundSteps(steps, strength, kind);
  if (run >= 1) return run;
  throw new OptionError(
    `a strength of ${strength} runs none of ${steps} steps`,
    `take a strength of at least ${Math.ceil(1000 / steps) / 1000}, or more steps`,
  );
}

/** Count as {@link countSteps}, without its errors. */
export function roundSteps(steps: number, strength: number, kind: NoiseKind): number {
  const exact = Math.min(steps * strength, steps);
  return kind === "flow" ? steps - Math.trunc(steps - exact) : Math.trunc(exact);
}

/**
 * Add a picture to a resolved request, or say that it has none. Every request passes through here.
 *
 * @param picture what is to be drawn from, in the request's size.
 * @returns a copy of the request with a copy of the picture.
 * @throws OptionError if the picture does not go with the model or the request, or the model needs
 *   one.
 * @throws UnsupportedError if the model has no encoder for pictures.
 */
export function withPicture(
  manifest: Manifest,
  request: GenerationRequest,
  picture: GivenPicture | undefined,
): GenerationRequest {
  if (picture === undefined) {
    if (!needsMask(manifest)) return { ...request, picture };
    throw new OptionError(
      `${manifest.model.name} draws parts of pictures anew, and there is no picture`,
      "give image and mask, or choose a model that draws from text",
    );
  }
  countSteps(request.steps, picture.strength, manifest.noise_schedule.kind);
  checkMask(manifest, request, picture);
  checkLatents(manifest, request, picture);
  const { pixels, mask } = picture;
  if (pixels === undefined) {
    return { ...request, picture: { ...picture, latents: new Float32Array(picture.latents) } };
  }
  requireEncoder(manifest);
  const [width, height] = request.size;
  const bytes = 4 * width * height;
  if (pixels.length !== 1 && pixels.length !== request.batch) {
    throw new OptionError(
      `there are ${pixels.length} pictures to draw from, and ${request.batch} to draw`,
      "give one picture for all, or one for each",
    );
  }
  for (const each of pixels) {
    if (each.length !== bytes) {
      throw new OptionError(
        `a picture has ${each.length} bytes`,
        `one of ${width}x${height} has ${bytes}`,
      );
    }
  }
  const copies = pixels.map((each) => new Uint8ClampedArray(each));
  return {
    ...request,
    picture: { ...picture, pixels: copies, mask: mask && new Uint8Array(mask) },
  };
}

/** @throws OptionError if a mask has another size, masks nothing, or does not go with the model. */
function checkMask(manifest: Manifest, request: GenerationRequest, picture: GivenPicture): void {
  const { mask } = picture;
  const name = manifest.model.name;
  if (mask === undefined) {
    if (!needsMask(manifest)) return;
    throw new OptionError(
      `${name} draws parts of pictures anew, and there is no mask`,
      "give a mask whose white pixels are drawn anew, or choose a model that draws from text",
    );
  }
  if (picture.pixels === undefined) {
    throw new OptionError(
      "there is a mask, and latents in place of a picture",
      "give the picture itself, or no mask",
    );
  }
  const { mean, std } = manifest.latent_space;
  // diffusers' SDXL inpainting pipeline decodes by them, and encodes as if there were none.
  if (mean !== undefined || std !== undefined) {
    throw new OptionError(
      `${name} takes no mask: its VAE normalises every channel by itself`,
      "leave the mask out, or choose another model",
    );
  }
  const [width, height] = request.size;
  if (mask.length !== width * height) {
    throw new OptionError(
      `the mask has ${mask.length} pixels`,
      `it must be as large as the picture that is drawn: ${width}x${height}`,
    );
  }
  if (!mask.some((value) => value >= MASKED_FROM)) {
    throw new OptionError(
      "the mask is black all over, so that nothing would be drawn",
      "what is to be drawn anew is white in a mask",
    );
  }
}

/** @throws OptionError if noise or latents are given that no picture can begin with. */
function checkLatents(manifest: Manifest, request: GenerationRequest, picture: GivenPicture): void {
  if (request.latents !== undefined && !(picture.mask !== undefined && picture.strength === 1)) {
    // diffusers' inpainting pipeline begins with them whatever the strength, at a noise level that
    // they do not have.
    throw new OptionError(
      "both a picture to draw from and latents are given",
      "leave latents out; with a mask and a strength of 1 they may be given as the noise",
    );
  }
  if (picture.latents === undefined) return;
  const { shape } = findEntryPoint(manifest, "denoiser", request.size).inputs[0]!;
  requireFloats("picture.latents", picture.latents, [request.batch, ...shape.slice(1)]);
}

/** The prompts of a request, as texts or embeddings. */
type Prompts = RequestTexts & {
  embeddings: GivenEmbeddings;
  promptChunks?: number | undefined;
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
  const { clipSkip = 0, promptChunks: chunks = 1 } = options;
  requireClipSkip(manifest, clipSkip);
  requireInteger("promptChunks", chunks, 1, promptChunks(manifest));
  const specs = embeddingSpecs(manifest, chunks);
  const embeddings = pickEmbeddings(options, specs);
  if (chunks > 1 && Object.keys(embeddings).length === 0) {
    throw new OptionError(
      `promptChunks is ${chunks}, and no embeddings are given`,
      "leave it out: the chunks of texts are counted",
    );
  }
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
  const negativePrompts = hasNegative
    ? oneOfEach("negativePrompt", negativePrompt, count)
    : undefined;
  const { promptSyntax = "plain" } = options;
  const texts = {
    prompts,
    negativePrompts,
    ...resolveFurther(manifest, options, count, [positive, negative]),
    promptSyntax,
    ...(clipSkip > 0 ? { clipSkip } : {}),
  };
  if (promptSyntax !== "plain") checkSyntax(texts, manifest);
  const given = chunks > 1 ? { promptChunks: chunks } : {};
  return { ...texts, embeddings: copyFloats(embeddings), ...given, count };
}

/** @throws OptionError if the text encoders cannot leave out so many layers. */
function requireClipSkip(manifest: Manifest, clipSkip: number): void {
  const most = maxClipSkip(manifest);
  if (most > 0 || clipSkip === 0) {
    requireInteger("clipSkip", clipSkip, 0, most);
    return;
  }
  throw new OptionError(
    `${manifest.model.name} has no functions for clipSkip`,
    "leave it out, or build the bundle again with this version of WSD",
  );
}

/**
 * Take the texts of the second and the third text encoder.
 *
 * @param embedded how many prompts and negative prompts embeddings stand for, if they do.
 * @throws OptionError if the model has no such text encoder, or diffusers would ignore them.
 */
function resolveFurther(
  manifest: Manifest,
  options: GenerateOptions,
  count: number,
  [positive, negative]: readonly [number | undefined, number | undefined],
): Pick<RequestTexts, "prompts2" | "negativePrompts2" | "prompts3" | "negativePrompts3"> {
  const { empty_negative } = manifest.conditioning;
  const take = (
    name: "prompt2" | "negativePrompt2" | "prompt3" | "negativePrompt3",
    first: "prompt" | "negativePrompt",
    embedded: number | undefined,
  ): readonly string[] | undefined => {
    const texts = options[name];
    if (texts === undefined) return undefined;
    requireEncoders(manifest, name);
    if (embedded !== undefined) {
      throw new OptionError(
        `both ${name} and ${first}Embeds are given`,
        `leave ${name} out where embeddings stand for the ` +
          (first === "prompt" ? "prompt" : "negative prompt"),
      );
    }
    if (
      first === "negativePrompt" &&
      options.negativePrompt === undefined &&
      empty_negative === "zeros"
    ) {
      throw new OptionError(
        `${name} is given without negativePrompt`,
        "give both: without a negative prompt this model takes zeros for the whole of it",
      );
    }
    return oneOfEach(name, texts, count);
  };
  const found = {
    prompts2: take("prompt2", "prompt", positive),
    negativePrompts2: take("negativePrompt2", "negativePrompt", negative),
    prompts3: take("prompt3", "prompt", positive),
    negativePrompts3: take("negativePrompt3", "negativePrompt", negative),
  };
  return withoutNulls(found);
}

/** @throws OptionError if a model has fewer text encoders than an option's name counts. */
function requireEncoders(
  { conditioning, model }: Manifest,
  name: "prompt2" | "negativePrompt2" | "prompt3" | "negativePrompt3",
): void {
  const { length } = conditioning.encoders;
  if (length < 2 && name.endsWith("2")) {
    throw new OptionError(
      `${model.name} has ${length} text encoder, and takes no ${name}`,
      "leave it out; models of SDXL have two",
    );
  }
  if (length < 3 && name.endsWith("3")) {
    throw new OptionError(
      `${model.name} has no third text encoder, and takes no ${name}`,
      "leave it out, or load Stable Diffusion 3.5 with T5, its third text encoder",
    );
  }
}

/** @throws OptionError for a text that cannot be read with weights. */
function checkSyntax(texts: RequestTexts, manifest: Manifest): void {
  const { prompts, prompts2, negativePrompts, negativePrompts2 } = texts;
  const { prompts3, negativePrompts3 } = texts;
  const most = promptChunks(manifest);
  for (const [name, side, given] of [
    ["prompt", "positive", prompts],
    ["prompt2", "positive", prompts2],
    ["negativePrompt", "negative", negativePrompts],
    ["negativePrompt2", "negative", negativePrompts2],
    ["prompt3", "positive", prompts3],
    ["negativePrompt3", "negative", negativePrompts3],
  ] as const) {
    for (const text of given ?? []) {
      const parts = parseWeights(text, name, side);
      if (most > 1 || !needsChunks(parts)) continue;
      throw new OptionError(
        `${name} has BREAK, which begins another chunk of tokens`,
        `leave it out, or build the bundle again: ${manifest.model.name} takes prompts of one chunk`,
      );
    }
  }
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

/** Return one text for each prompt; a single text is taken for all. */
function oneOfEach(name: string, texts: unknown, count: number): readonly string[] {
  const list = listOf(name, texts);
  if (typeof texts === "string") return Array<string>(count).fill(texts);
  if (list.length === count) return list;
  throw new OptionError(
    `${name} has ${list.length} texts, and there are ${count} prompts`,
    "give one text for all prompts, or one for each",
  );
}

const EMBEDDINGS = [
  "promptEmbeds",
  "negativePromptEmbeds",
  "pooledPromptEmbeds",
  "negativePooledPromptEmbeds",
] as const;

function pickEmbeddings(options: GenerateOptions, specs: EmbeddingSpec[]): GivenEmbeddings {
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

function copyFloats(embeddings: GivenEmbeddings): GivenEmbeddings {
  const copies = Object.entries(embeddings).map(([name, values]) => [
    name,
    new Float32Array(values!),
  ]);
  return Object.fromEntries(copies) as GivenEmbeddings;
}

/**
 * Check the embeddings of the prompts, or of the negative ones.
 *
 * @param textName the option that they replace.
 * @returns how many prompts they are of; undefined if there are none.
 */
function checkEmbeddings(
  embeddings: GivenEmbeddings,
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

/**
 * Return the name of the scheduler that a name or a class of diffusers means.
 *
 * @throws OptionError if the model has none.
 */
export function resolveScheduler(manifest: Manifest, name: string): string {
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

/**
 * Choose a size that the model was compiled for.
 *
 * @throws OptionError if it was not compiled for this one.
 */
export function resolveSize(manifest: Manifest, width: number, height: number): Size {
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
