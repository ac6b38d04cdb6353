/**
 * Text to image, image to image and inpainting: a picture that is given is encoded, and the prompt;
 * latents are denoised step by step, and the VAE decodes them. It needs no DOM, so that it runs in a
 * worker.
 */

import type { WeightPatches } from "../adapters/patch";
import { toBlobs } from "../api/generated";
import type { Posterior, PromptEmbeddings } from "../api/options";
import type { OnStage } from "../api/progress";
import type {
  GenerationResult,
  LoadTimes,
  SafetyReport,
  Timings,
  TokenCount,
  Usage,
} from "../api/types";
import type { BundleFiles } from "../bundle/bundle_files";
import type { EntryPoint, Manifest, Role, SchedulerConstants, Size } from "../bundle/manifest";
import type { MemorySettings } from "../bundle/inference_settings";
import { hasEncoder, requireEncoder, valueCount } from "../bundle/manifest";
import {
  chunksProblem,
  drawableSizes,
  encoderProblem,
  guidesAtOnce,
  sizeProblem,
} from "../gpu/buffer_limits";
import { Model } from "../gpu/model";
import type { ModelSource, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import type { Seed } from "../settings/seed";
import { runTogether } from "../util/concurrency";
import type { WsdError } from "../util/errors";
import { OptionError, throwIfAborted } from "../util/errors";
import { createTokenizer } from "./clip_tokenizer";
import { DenoiseLoop, disposeAll } from "./denoise_loop";
import type { OnStep } from "./denoise_loop";
import { countSteps, needsMask, withPicture } from "./generation_request";
import type { GenerationRequest, GivenPicture, RequestTexts } from "./generation_request";
import type { Guidance, GuidedText } from "./guidance";
import { NoisePredictor } from "./guidance";
import { guidesItself } from "./guidance_embedding";
import { NoiseSource } from "./noise_source";
import {
  encodePictures,
  leadingDraws,
  passLatents,
  readEncoded,
  takeLatents,
} from "./picture_latents";
import type { PictureLatents } from "./picture_latents";
import type { Pipeline, Stages } from "./registry";
import { describeRequest } from "./request_settings";
import { SafetyChecker } from "./safety_checker";
import { SchedulerTable } from "./scheduler_table";
import { layOutRun } from "./schedulers";
import type { Run } from "./schedulers";
import { makeTimeIds } from "./size_conditions";
import type { Tokenizers, Words } from "./text_encoder";
import { embeddingSpecs, joinFloats, PromptEncoder, tensorsOf } from "./text_encoder";
import { MersenneTwister, randn } from "./torch_rng";
import { VaeDecoder } from "./vae_decoder";
import { VaeEncoder } from "./vae_encoder";
import { varyNoise } from "./variation";

const ignore = (): void => undefined;

/** Which functions a request's predictions take. */
type PredictionPlan = Pick<Guidance, "interval" | "cacheInterval">;

/**
 * Load a text-to-image model: its weights arrive while its pipelines compile.
 *
 * @throws UnsupportedError, OutOfMemoryError, FetchError, IntegrityError or AbortError; see
 *   `loadPipeline`.
 */
export async function loadTextToImage(source: ModelSource): Promise<TextToImagePipeline> {
  const { manifest, files, options } = source;
  const began = performance.now();
  const { signal, onProgress: report = ignore } = options;
  const model = await Model.load(source, report, signal);
  try {
    const tokenizers = await loadTokenizers(manifest, files, signal);
    const schedulers = new SchedulerTable(manifest, files);
    await schedulers.get(manifest.schedulers.default, signal);
    const encoder = new PromptEncoder(model, tokenizers);
    const { tiling } = model.memory;
    const decoder = new VaeDecoder(model, tiling);
    const vaeEncoder = hasEncoder(manifest)
      ? new VaeEncoder(model, tiling, options.onNotice)
      : undefined;
    const pipeline = new TextToImagePipeline(
      model,
      files,
      schedulers,
      encoder,
      decoder,
      vaeEncoder,
    );
    const size = drawableSizes(manifest, model.limits)[0] ?? manifest.defaults.size;
    if (decoder.usesTiles(size) && !tiling.enabled) {
      options.onNotice?.(
        "The GPU's buffers are too small to decode a picture whole: it is decoded in tiles.",
      );
    }
    const checks = options.safetyChecker ?? false;
    files.times.start += performance.now() - began;
    await model.runtime.guard(() => pipeline.makeReady(size, checks, report, signal));
    return pipeline;
  } catch (error) {
    model.runtime.dispose();
    throw error;
  }
}

/** A loaded text-to-image model; {@link loadTextToImage} makes it. */
export class TextToImagePipeline implements Pipeline {
  constructor(
    private readonly model: Model,
    private readonly files: BundleFiles,
    private readonly schedulers: SchedulerTable,
    readonly encoder: PromptEncoder,
    readonly decoder: VaeDecoder,
    /** Undefined if the model draws from text alone. */
    readonly vaeEncoder: VaeEncoder | undefined,
  ) {}

  get manifest(): Manifest {
    return this.model.manifest;
  }

  get adapter(): Record<string, string> {
    return this.model.adapter;
  }

  get loadTimes(): LoadTimes {
    return this.files.times;
  }

  get failure(): WsdError | undefined {
    return this.model.runtime.failure;
  }

  /**
   * Load the weights, and compile meanwhile what draws a picture of this size.
   *
   * @param checks whether the pictures are checked, so that the safety checker is loaded too.
   */
  async makeReady(
    size: Size,
    checks: boolean,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<void> {
    this.checkSize(size);
    const { manifest, components } = this.model;
    const more: Role[] = checks ? ["safety_checker"] : [];
    const began = performance.now();
    // The weights' progress is reported first, because with a large model they take longest.
    let weightsLoaded = false;
    const reportLater: OnStage = (event) => {
      if (weightsLoaded) report(event);
    };
    const loadWeights = async (either: AbortSignal): Promise<void> => {
      if (components.offload) await components.need("text_encoder", report, either);
      else await components.needAll(report, either, more);
      weightsLoaded = true;
      this.files.times.weights = performance.now() - began;
    };
    const guided = this.isGuided(size, manifest.defaults.guidance_scale);
    const functions = this.textFunctions(size, guided, [1]);
    const prepare = async (either: AbortSignal): Promise<void> => {
      await this.prepare(size, functions, undefined, reportLater, either);
      this.files.times.pipelines = performance.now() - began;
    };
    await runTogether([loadWeights, prepare], signal);
    throwIfAborted(signal); // the caller may have aborted in the last progress callback
  }

  async generate(
    request: GenerationRequest,
    onProgress: OnStage = ignore,
    signal?: AbortSignal,
  ): Promise<GenerationResult> {
    return this.model.runtime.guard(async () => {
      const result = await this.draw(request, onProgress, signal);
      return request.output === "blob" ? toBlobs(result) : result;
    });
  }

  async encodePrompt(
    texts: RequestTexts,
    onProgress: OnStage = ignore,
    signal?: AbortSignal,
  ): Promise<PromptEmbeddings> {
    return this.model.runtime.guard(() => this.encode(texts, onProgress, signal));
  }

  countTokens(words: Words): TokenCount[] {
    return this.encoder.count(words);
  }

  async checkPictures(
    images: readonly ImageData[],
    onProgress: OnStage = ignore,
    signal?: AbortSignal,
  ): Promise<SafetyReport[]> {
    const checker = new SafetyChecker(this.model);
    return this.model.runtime.guard(() => checker.check(images, onProgress, signal));
  }

  async encodeImage(
    pixels: Uint8ClampedArray,
    size: Size,
    posterior: Posterior,
    seed: Seed,
    onProgress: OnStage = ignore,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    return this.model.runtime.guard(() =>
      this.encodeGiven(pixels, size, posterior, seed, onProgress, signal),
    );
  }

  async patchWeights(
    patches: WeightPatches,
    onProgress: OnStage = ignore,
    signal?: AbortSignal,
  ): Promise<void> {
    const { runtime, components } = this.model;
    return runtime.guard(() => components.patch(patches, onProgress, signal));
  }

  async withStages<Result>(work: (stages: Stages) => Promise<Result>): Promise<Result> {
    const { model, files } = this;
    const bring = async (entry: EntryPoint, signal?: AbortSignal): Promise<void> => {
      await model.runtime.prepare([entry]);
      await this.need(entry.role, ignore, signal);
    };
    return model.runtime.guard(() => work({ model, files, bring }));
  }

  usage(): Usage {
    return this.model.runtime.usage();
  }

  dispose(): void {
    this.model.dispose();
  }

  /**
   * Compile the pipelines of all that draws a picture of this size.
   *
   * @param textFunctions those that encode the text, and that predict.
   * @param picture that is given; undefined if there is none.
   * @throws UnsupportedError if the GPU has no buffers for it.
   */
  private async prepare(
    size: Size,
    textFunctions: readonly EntryPoint[],
    picture: GivenPicture | undefined,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<void> {
    this.checkSize(size);
    const encoder = picture?.pixels && this.requireEncoder(size);
    const blends = picture?.mask !== undefined && !needsMask(this.manifest);
    const functions = [
      ...textFunctions,
      this.model.entry("linear_combination", size),
      ...(encoder?.functions(size) ?? []),
      ...(blends ? [this.model.entry("masked_blend", size)] : []),
      ...this.decoder.functions(size),
    ];
    const reportPipelines = (loaded: number, total: number): void =>
      report({ stage: "pipelines", loaded, total });
    await this.model.runtime.prepare(functions, reportPipelines, signal);
  }

  /**
   * List the functions that encode texts, and that predict with them.
   *
   * @param guided whether there is guidance, in one call if the GPU has buffers for it.
   * @param chunks numbers of chunks of the prompts.
   * @param clipSkip how many layers are left out.
   * @param plan the interval of guidance, outside of which another function predicts, and the cache
   *   interval, within which another one does.
   * @throws UnsupportedError if the GPU has no buffers for so many chunks.
   */
  private textFunctions(
    size: Size,
    guided: boolean,
    chunks: readonly number[],
    clipSkip = 0,
    { interval, cacheInterval }: PredictionPlan = { interval: undefined, cacheInterval: 1 },
  ): EntryPoint[] {
    this.checkSize(size);
    const denoisers = [...new Set(chunks)].flatMap((count) => {
      const problem = chunksProblem(this.manifest, size, this.model.limits, count);
      if (problem !== undefined) throw problem;
      const atOnce = guided && this.guidesAtOnce(size, count);
      const calls = atOnce && interval !== undefined ? [true, false] : [atOnce];
      return calls.flatMap((call) => [
        this.model.denoiser(size, count, call),
        ...(cacheInterval > 1 ? [this.model.shallowDenoiser(size, count, call)] : []),
      ]);
    });
    // Without the prompt the encoders may leave out none.
    const skipping = clipSkip > 0 ? this.encoder.functions(clipSkip) : [];
    return [...this.encoder.functions(), ...skipping, ...denoisers];
  }

  /** Decode in tiles and evict stages as a call says, or as the model was loaded. */
  private apply({ tiling, swapper }: MemorySettings = this.model.memory): void {
    this.decoder.tiling = tiling;
    if (this.vaeEncoder !== undefined) this.vaeEncoder.tiling = tiling;
    this.model.components.swapper = swapper;
  }

  /** @throws UnsupportedError if the GPU has no buffers for pictures of this size. */
  private checkSize(size: Size): void {
    const problem = sizeProblem(this.manifest, size, this.model.limits);
    if (problem !== undefined) throw problem;
  }

  /** @throws UnsupportedError if there is no encoder, or the GPU has no buffers for the size. */
  private requireEncoder(size: Size): VaeEncoder {
    requireEncoder(this.manifest);
    const problem = encoderProblem(this.manifest, size, this.model.limits);
    if (problem !== undefined) throw problem;
    return this.vaeEncoder!;
  }

  /** Bring the parameters of the components that play a role to the GPU. */
  private async need(role: Role, report: OnStage, signal?: AbortSignal): Promise<void> {
    await this.model.components.need(role, report, signal);
  }

  /**
   * Whether a picture needs a prediction without the prompt. As in diffusers, none is needed for a
   * scale of 1 or less, or by a denoiser that takes the scale as an input.
   */
  private isGuided(size: Size, guidanceScale: number): boolean {
    return guidanceScale > 1 && !guidesItself(this.manifest, size);
  }

  /** Decide how a request is guided. */
  private planGuidance(request: GenerationRequest): Guidance {
    const { size, guidanceScale: scale, conditions = {}, guidanceRescale: rescale = 0 } = request;
    const timeIds = makeTimeIds(conditions, size, request.picture !== undefined);
    // A second pass draws from a picture, for which diffusers has no skip-layer guidance.
    const skip = request.picture === undefined ? request.skipLayers : undefined;
    const skipLayers = skip && {
      layers: skip.layers,
      scale: skip.scale,
      after: skip.start * request.steps,
      before: skip.stop * request.steps,
    };
    const apart = rescale > 0 || timeIds.negative !== undefined || skipLayers !== undefined;
    const { guidanceInterval: interval, cacheInterval = 1 } = request;
    return { scale, rescale, interval, cacheInterval, timeIds, skipLayers, atOnce: !apart };
  }

  private guidesAtOnce(size: Size, chunks = 1): boolean {
    return guidesAtOnce(this.manifest, size, this.model.limits, chunks);
  }

  /**
   * Count the chunks of each prompt of a request: of its text or of the negative one, whichever has
   * more, or those of the embeddings that are given.
   *
   * @param guided whether the negative prompts are read.
   * @throws OptionError if a text has more chunks than the embeddings that stand for the other one.
   */
  private countChunks(request: GenerationRequest, guided: boolean): number[] {
    const { prompts, embeddings, promptChunks = 1, batch, imagesPerPrompt } = request;
    const given = Object.keys(embeddings).length > 0;
    return Array.from({ length: batch / imagesPerPrompt }, (_, index) => {
      const negative =
        guided && embeddings.negativePromptEmbeds === undefined
          ? negativeWords(request, index)
          : undefined;
      const words = [
        ...(prompts === undefined ? [] : [promptWords(request, index)]),
        ...(negative === undefined ? [] : [negative]),
      ];
      const count = Math.max(1, ...words.map((each) => this.encoder.countChunks(each)));
      if (!given || count <= promptChunks) return given ? promptChunks : count;
      throw new OptionError(
        `a prompt has ${count} chunks, and the embeddings beside it have ${promptChunks}`,
        "encode both texts with one call of encodePrompt, or write a shorter prompt",
      );
    });
  }

  private async draw(
    request: GenerationRequest,
    onProgress: OnStage,
    signal?: AbortSignal,
  ): Promise<GenerationResult<ImageData>> {
    const started = performance.now();
    throwIfAborted(signal);
    const { size, picture, secondPass } = request;
    this.apply(request.memory);
    // Before the first pass is drawn, so that it is not lost.
    if (secondPass !== undefined) {
      this.checkSize(secondPass.size);
      if (secondPass.upscale === "picture") this.requireEncoder(secondPass.size);
    }
    // A model that draws nothing without a picture says so.
    if (picture === undefined) withPicture(this.manifest, request, picture);
    const guided = this.isGuided(size, request.guidanceScale);
    const guidance = this.planGuidance(request);
    const chunks = this.countChunks(request, guided);
    const { clipSkip } = request;
    const atOnce = guided && guidance.atOnce;
    const functions = this.textFunctions(size, atOnce, chunks, clipSkip, guidance);
    await this.prepare(size, functions, picture, onProgress);
    throwIfAborted(signal);
    const run = this.layOut(request, await this.schedulers.get(request.scheduler, signal));
    const noise = this.makeNoise(request, run);
    const pictures =
      picture && (await this.encodePictures({ ...request, picture }, noise, onProgress, signal));
    const looked = performance.now();
    const texts = await this.condition(request, guided, chunks, onProgress, signal);
    const encoded = performance.now();
    const timings: Timings = {
      ...(picture === undefined ? {} : { encode: looked - started }),
      text: encoded - (picture === undefined ? started : looked),
      denoise: 0,
      firstPreview: null,
      decode: 0,
      total: 0,
    };
    const images: ImageData[] = [];
    const latents: Float32Array[] = [];
    const finals: Tensor[] = [];
    try {
      const { indices, imagesPerPrompt } = request;
      const predictor = new NoisePredictor(this.model, size, guidance);
      const loop = new DenoiseLoop(this.model, predictor, run, request, noise, pictures);
      await this.need("denoiser", onProgress, signal);
      const ofImage = (image: number): { image: number; images: number } => {
        return { image, images: indices.length };
      };
      for (const [image, inBatch] of indices.entries()) {
        const report: OnStep = (event) => {
          if (event.preview !== undefined) timings.firstPreview ??= performance.now() - started;
          onProgress({ stage: "denoise", ...event, ...ofImage(image) });
        };
        const text = texts[Math.floor(inBatch / imagesPerPrompt)]!;
        finals.push(await loop.denoise(inBatch, text, report, signal));
      }
      const denoised = performance.now();
      timings.denoise = denoised - encoded;
      throwIfAborted(signal);
      await this.need("vae_decoder", onProgress, signal);
      for (const [image, final] of finals.entries()) {
        throwIfAborted(signal);
        onProgress({ stage: "decode", loaded: 0, total: 1, ...ofImage(image) });
        const read = new Float32Array(await this.model.runtime.read(final));
        latents.push(read);
        images.push(await this.decoder.decode(read, size, signal));
        onProgress({ stage: "decode", loaded: 1, total: 1, ...ofImage(image) });
      }
      timings.decode = performance.now() - denoised;
    } finally {
      disposeTexts(texts);
      disposeAll(finals);
    }
    timings.total = performance.now() - started;
    const imageSettings = request.indices.map((image) =>
      describeRequest(this.manifest, request, image),
    );
    return {
      image: images[0]!,
      images,
      latents: joinFloats(latents),
      timings,
      settings: imageSettings[0]!,
      imageSettings,
    };
  }

  /** Lay out the steps of a request; with a picture, those that its strength leaves out are not. */
  private layOut(
    { steps, eta, picture, size }: GenerationRequest,
    constants: SchedulerConstants,
  ): Run {
    const [, , height, width] = this.model.latentShape(size);
    const patch = this.manifest.latent_space.patch_size ?? 1;
    return layOutRun(
      constants.noise_schedule,
      constants.config,
      steps,
      eta,
      picture === undefined
        ? 0
        : steps - countSteps(steps, picture.strength, this.manifest.noise_schedule.kind),
      Math.floor(height / patch) * Math.floor(width / patch),
    );
  }

  /** Make the source of a request's random numbers. */
  private makeNoise(request: GenerationRequest, run: Run): NoiseSource {
    const { seed, size, batch, indices, latents, picture, variation } = request;
    const shape = this.model.latentShape(size);
    const count = valueCount(shape);
    return new NoiseSource(run, seed, count, batch, {
      last: indices.at(-1),
      initial: latents,
      leading: leadingDraws(this.manifest, picture),
      given: picture?.pixels?.length,
      vary: variation && ((noise) => varyNoise(noise, batch, shape, variation)),
    });
  }

  /** Encode the pictures that are given, if their latents are not given. */
  private async encodePictures(
    request: GenerationRequest & { picture: GivenPicture },
    noise: NoiseSource,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<PictureLatents> {
    if (request.picture.pixels === undefined) return passLatents(request.picture, request.batch);
    await this.need("vae_encoder", report, signal);
    const encoder = this.requireEncoder(request.size);
    return encodePictures(this.manifest, encoder, request, noise, report, signal);
  }

  /** Encode a picture without drawing; see `Pipeline.encodeImage`. */
  private async encodeGiven(
    pixels: Uint8ClampedArray,
    size: Size,
    posterior: Posterior,
    seed: Seed,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    throwIfAborted(signal);
    this.apply();
    const encoder = this.requireEncoder(size);
    await this.model.runtime.prepare(encoder.functions(size), ignore, signal);
    await this.need("vae_encoder", report, signal);
    report({ stage: "encode", loaded: 0, total: 1, images: 1 });
    const encoded = readEncoded(this.manifest, await encoder.encode(pixels, size, signal));
    const numbers =
      posterior === "mode" ? undefined : randn(new MersenneTwister(seed), encoded.mean.length);
    report({ stage: "encode", loaded: 1, total: 1, images: 1 });
    return takeLatents(encoded, numbers, this.manifest.latent_space);
  }

  /**
   * Encode a request's prompts, or bring their embeddings to the GPU.
   *
   * @param chunks of each prompt, and of the negative one beside it.
   * @returns one text for each prompt; the caller disposes of them.
   */
  private async condition(
    request: GenerationRequest,
    guided: boolean,
    chunks: readonly number[],
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<GuidedText[]> {
    const { prompts, embeddings, promptChunks, batch, imagesPerPrompt, indices } = request;
    const total = batch / imagesPerPrompt;
    const specs = embeddingSpecs(this.manifest);
    const nothing = this.manifest.conditioning.empty_negative;
    const givenNegative = specs.some(({ negative }) => embeddings[negative] !== undefined);
    const encodesNegative =
      guided && !givenNegative && (negativeWords(request, 0) !== undefined || nothing === "encode");
    report({ stage: "text", loaded: 0, total, images: indices.length });
    if (prompts !== undefined || encodesNegative) await this.need("text_encoder", report, signal);
    // Every text is encoded once, also where several pictures have it.
    const encoded = new Map<string, NamedTensors>();
    const encode = async (words: Words | undefined, count: number): Promise<NamedTensors> => {
      const key = JSON.stringify([words?.text, words?.text2, words?.text3, words?.clipSkip, count]);
      const known = encoded.get(key);
      if (known !== undefined) return known;
      const made = await this.encodeText(words, count, request);
      encoded.set(key, made);
      return made;
    };
    const uploaded: NamedTensors[] = [];
    const upload = (side: "positive" | "negative", index: number): NamedTensors => {
      const made = this.encoder.uploadEmbeddings(embeddings, side, index, promptChunks);
      uploaded.push(made);
      return made;
    };
    const negative = async (index: number, count: number): Promise<NamedTensors> =>
      givenNegative ? upload("negative", index) : encode(negativeWords(request, index), count);
    try {
      const texts: GuidedText[] = [];
      for (let index = 0; index < total; index++) {
        const count = chunks[index]!;
        texts.push({
          chunks: count,
          conditional:
            prompts === undefined
              ? upload("positive", index)
              : await encode(promptWords(request, index), count),
          unconditional: guided ? await negative(index, count) : undefined,
        });
      }
      await this.model.runtime.sync();
      report({ stage: "text", loaded: total, total, images: indices.length });
      return texts;
    } catch (error) {
      disposeAll(tensorsOf([...encoded.values(), ...uploaded]));
      throw error;
    }
  }

  /** Encode prompts, and read back what the denoiser would be given. */
  private async encode(
    texts: RequestTexts,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<PromptEmbeddings> {
    throwIfAborted(signal);
    this.apply();
    const { clipSkip = 0 } = texts;
    const skipping = clipSkip > 0 ? this.encoder.functions(clipSkip) : [];
    await this.model.runtime.prepare([...this.encoder.functions(), ...skipping]);
    await this.need("text_encoder", report, signal);
    const indices = [...(texts.prompts ?? []).keys()];
    // All embeddings of a call have one shape.
    const chunks = Math.max(
      ...indices
        .flatMap((index) => [promptWords(texts, index), negativeWords(texts, index)])
        .map((words) => (words === undefined ? 1 : this.encoder.countChunks(words))),
    );
    const parts: Record<string, Float32Array[]> = {};
    for (const index of indices) {
      throwIfAborted(signal);
      const negative = negativeWords(texts, index);
      const positive = promptWords(texts, index);
      const read = {
        positive: await this.model.readAll(await this.encodeText(positive, chunks, texts)),
        negative: await this.model.readAll(await this.encodeText(negative, chunks, texts)),
      };
      for (const spec of embeddingSpecs(this.manifest)) {
        (parts[spec.positive] ??= []).push(read.positive[spec.name]!);
        (parts[spec.negative] ??= []).push(read.negative[spec.name]!);
      }
    }
    const joined = Object.entries(parts).map(([name, arrays]) => [name, joinFloats(arrays)]);
    const embeddings = Object.fromEntries(joined) as PromptEmbeddings;
    return chunks === 1 ? embeddings : { ...embeddings, promptChunks: chunks };
  }

  /** Encode a prompt in at least so many chunks; undefined stands for no negative prompt. */
  private async encodeText(
    words: Words | undefined,
    chunks: number,
    texts: RequestTexts,
  ): Promise<NamedTensors> {
    return words === undefined
      ? this.encoder.encodeNothing(chunks, negativeSkip(texts))
      : this.encoder.encode(words, chunks);
  }
}

function promptWords(texts: RequestTexts, index: number): Words {
  const { prompts, prompts2, prompts3, promptSyntax: syntax, inversions, clipSkip } = texts;
  return {
    text: prompts![index]!,
    text2: prompts2?.[index],
    text3: prompts3?.[index],
    syntax,
    inversions,
    clipSkip,
  };
}

/** Return a negative prompt; undefined if there is none. */
function negativeWords(texts: RequestTexts, index: number): Words | undefined {
  const { negativePrompts, negativePrompts2, negativePrompts3, inversions } = texts;
  const { promptSyntax: syntax } = texts;
  const clipSkip = negativeSkip(texts);
  const text2 = negativePrompts2?.[index];
  const text3 = negativePrompts3?.[index];
  // A second or third negative prompt alone goes with the empty one, as in diffusers.
  const text =
    negativePrompts?.[index] ?? (text2 === undefined && text3 === undefined ? undefined : "");
  return text === undefined ? undefined : { text, text2, text3, syntax, inversions, clipSkip };
}

/**
 * How many layers are left out for negative prompts: none by diffusers' pipelines, and as many as for
 * the prompt by the web UI. Each syntax is read as its program does.
 */
function negativeSkip({ promptSyntax, clipSkip }: RequestTexts): number | undefined {
  return promptSyntax === "a1111" ? clipSkip : undefined;
}

/** Dispose of encoded texts, some of which several prompts share. */
function disposeTexts(texts: GuidedText[]): void {
  disposeAll(
    tensorsOf(texts.flatMap(({ conditional, unconditional }) => [conditional, unconditional])),
  );
}

async function loadTokenizers(
  manifest: Manifest,
  files: BundleFiles,
  signal?: AbortSignal,
): Promise<Tokenizers> {
  const fetched = new Map<string, string>(); // several encoders may share one file
  const tokenizers: Tokenizers = {};
  for (const [component, entry] of Object.entries(manifest.tokenizers)) {
    if (!fetched.has(entry.file)) {
      const bytes = await files.get(entry, ignore, signal);
      fetched.set(entry.file, new TextDecoder().decode(bytes));
    }
    tokenizers[component] = createTokenizer(fetched.get(entry.file)!, entry);
  }
  return tokenizers;
}
