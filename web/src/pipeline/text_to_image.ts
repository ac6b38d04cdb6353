/**
 * Text to image: the prompt is encoded, latents are denoised step by step, and the VAE decodes
 * them. It needs no DOM, so that it runs in a worker.
 */

import { throwIfAborted, WsdError } from "../api/errors";
import type { GenerateOptions } from "../api/options";
import type { OnProgress } from "../api/progress";
import type { Generated, Timings, Usage } from "../api/types";
import type { BundleFiles } from "../bundle/bundle_files";
import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { drawableSizes, guidesAtOnce, sizeProblem } from "../gpu/buffer_limits";
import { Model } from "../gpu/model";
import type { ModelSource, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { runTogether } from "../util/concurrency";
import { createTokenizer } from "./clip_tokenizer";
import { DenoiseLoop, disposeAll } from "./denoise_loop";
import type { GenerationRequest } from "./generation_request";
import { describeRequest, resolveOptions } from "./generation_request";
import { NoisePredictor } from "./guidance";
import { guidesItself } from "./guidance_embedding";
import type { Pipeline, Stages } from "./registry";
import { layOutRun } from "./schedulers";
import type { Tokenizers } from "./text_encoder";
import { PromptEncoder, tensorsOf } from "./text_encoder";
import { VaeDecoder } from "./vae_decoder";

const ignore = (): void => undefined;

/**
 * Load a text-to-image model: its weights arrive while its pipelines compile.
 *
 * @throws UnsupportedError, OutOfMemoryError, FetchError, IntegrityError or AbortError; see
 *   `loadPipeline`.
 */
export async function loadTextToImage(source: ModelSource): Promise<TextToImagePipeline> {
  const { manifest, files, options } = source;
  const { signal, onProgress: report = ignore } = options;
  const model = await Model.load(source, report, signal);
  try {
    const tokenizers = await loadTokenizers(manifest, files, signal);
    const encoder = new PromptEncoder(model, tokenizers);
    const decoder = new VaeDecoder(model, options.tiling ?? false);
    const pipeline = new TextToImagePipeline(model, files, encoder, decoder);
    const size = drawableSizes(manifest, model.limits)[0] ?? manifest.defaults.size;
    if (decoder.usesTiles(size) && !options.tiling) {
      options.onNotice?.(
        "The GPU's buffers are too small to decode a picture whole: it is decoded in tiles.",
      );
    }
    await model.runtime.guard(() => pipeline.makeReady(size, report, signal));
    return pipeline;
  } catch (error) {
    model.runtime.dispose();
    throw error;
  }
}

/** A loaded text-to-image model; {@link loadTextToImage} makes it. */
export class TextToImagePipeline implements Pipeline {
  private busy = false;

  constructor(
    private readonly model: Model,
    private readonly files: BundleFiles,
    readonly encoder: PromptEncoder,
    readonly decoder: VaeDecoder,
  ) {}

  get manifest(): Manifest {
    return this.model.manifest;
  }

  get adapter(): Record<string, string> {
    return this.model.adapter;
  }

  get failure(): WsdError | undefined {
    return this.model.runtime.failure;
  }

  /** Load the weights, and compile meanwhile what draws a picture of this size. */
  async makeReady(size: Size, report: OnProgress, signal?: AbortSignal): Promise<void> {
    this.checkSize(size);
    const { manifest, components } = this.model;
    // The weights' progress is reported first, because with a large model they take longest.
    let weightsLoaded = false;
    const reportLater: OnProgress = (event) => {
      if (weightsLoaded) report(event);
    };
    const loadWeights = async (either: AbortSignal): Promise<void> => {
      if (components.offload) await components.need("text_encoder", report, either);
      else await components.needAll(report, either);
      weightsLoaded = true;
    };
    const guided = this.isGuided(size, manifest.defaults.guidance_scale);
    const prepare = async (either: AbortSignal): Promise<void> =>
      this.prepare(size, guided, reportLater, either);
    await runTogether([loadWeights, prepare], signal);
    throwIfAborted(signal); // the caller may have aborted in the last progress callback
  }

  async generate(
    prompt: string,
    options: GenerateOptions = {},
    onProgress: OnProgress = ignore,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const request = resolveOptions(this.manifest, options);
    return this.runAlone(() => this.draw(prompt, request, onProgress, signal));
  }

  async withStages<Result>(work: (stages: Stages) => Promise<Result>): Promise<Result> {
    const { model, files } = this;
    const bring = async (entry: EntryPoint): Promise<void> => {
      await model.runtime.prepare([entry]);
      await this.need(entry.role, ignore);
    };
    return this.runAlone(() => work({ model, files, bring }));
  }

  usage(): Usage {
    return this.model.runtime.usage();
  }

  dispose(): void {
    this.model.dispose();
  }

  /** Do work that nothing else may run beside. */
  private async runAlone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.busy) {
      throw new WsdError("a picture is being drawn", "wait for it, or cancel it first");
    }
    this.busy = true;
    try {
      return await this.model.runtime.guard(work);
    } finally {
      this.busy = false;
    }
  }

  /**
   * Compile the pipelines of all that draws a picture of this size, with guidance or without.
   *
   * @throws UnsupportedError if the GPU has no buffers for it.
   */
  private async prepare(
    size: Size,
    guided: boolean,
    report: OnProgress,
    signal?: AbortSignal,
  ): Promise<void> {
    this.checkSize(size);
    const denoiser = guided && this.guidesAtOnce(size) ? "guided_denoiser" : "denoiser";
    const functions = [
      ...this.model.entries("text_encoder"),
      this.model.entry(denoiser, size),
      this.model.entry("linear_combination", size),
      ...this.decoder.functions(size),
    ];
    const reportPipelines = (loaded: number, total: number): void =>
      report({ stage: "pipelines", loaded, total });
    await this.model.runtime.prepare(functions, reportPipelines, signal);
  }

  /** @throws UnsupportedError if the GPU has no buffers for pictures of this size. */
  private checkSize(size: Size): void {
    const problem = sizeProblem(this.manifest, size, this.model.limits);
    if (problem !== undefined) throw problem;
  }

  /** Bring the parameters of the components that play a role to the GPU. */
  private async need(role: Role, report: OnProgress, signal?: AbortSignal): Promise<void> {
    await this.model.components.need(role, report, signal);
  }

  /**
   * Whether a picture needs a prediction without the prompt. As in diffusers, none is needed for a
   * scale of 1 or less, or by a denoiser that takes the scale as an input.
   */
  private isGuided(size: Size, guidanceScale: number): boolean {
    return guidanceScale > 1 && !guidesItself(this.manifest, size);
  }

  private guidesAtOnce(size: Size): boolean {
    return guidesAtOnce(this.manifest, size, this.model.limits);
  }

  private async draw(
    prompt: string,
    request: GenerationRequest,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const started = performance.now();
    throwIfAborted(signal);
    const guided = this.isGuided(request.size, request.guidanceScale);
    await this.prepare(request.size, guided, onProgress);
    throwIfAborted(signal);
    await this.need("text_encoder", onProgress, signal);
    const conditional = this.encoder.encode(prompt);
    const unconditional = guided ? this.encodeNegative(request.negativePrompt) : undefined;
    await this.model.runtime.sync();
    onProgress({ stage: "text", loaded: 1, total: 1 });
    const encoded = performance.now();
    const timings: Timings = {
      text: encoded - started,
      denoise: 0,
      firstPreview: null,
      decode: 0,
      total: 0,
    };
    const images: ImageData[] = [];
    const latents: Float32Array[] = [];
    const finals: Tensor[] = [];
    try {
      const { scheduler, steps, eta } = request;
      const run = layOutRun(
        this.manifest.noise_schedule,
        this.manifest.schedulers.available[scheduler]!,
        steps,
        eta,
      );
      const atOnce = this.guidesAtOnce(request.size);
      const predictor = new NoisePredictor(this.model, request.size, request.guidanceScale, atOnce);
      const loop = new DenoiseLoop(this.model, predictor, run, request);
      await this.need("denoiser", onProgress, signal);
      for (let image = 0; image < request.images; image++) {
        const report: OnProgress = (event) => {
          if (event.preview !== undefined) timings.firstPreview ??= performance.now() - started;
          onProgress({ ...event, image });
        };
        finals.push(await loop.denoise(image, { conditional, unconditional }, report, signal));
      }
      const denoised = performance.now();
      timings.denoise = denoised - encoded;
      throwIfAborted(signal);
      await this.need("vae_decoder", onProgress, signal);
      for (const [image, final] of finals.entries()) {
        throwIfAborted(signal);
        const read = new Float32Array(await this.model.runtime.read(final));
        latents.push(read);
        images.push(await this.decoder.decode(read, request.size, signal));
        onProgress({ stage: "decode", loaded: 1, total: 1, image });
      }
      timings.decode = performance.now() - denoised;
    } finally {
      disposeAll([...tensorsOf(conditional, unconditional), ...finals]);
    }
    timings.total = performance.now() - started;
    const settings = describeRequest(this.manifest, prompt, request);
    return { image: images[0]!, images, latents: joinFloats(latents), timings, settings };
  }

  private encodeNegative(text: string | undefined): NamedTensors {
    return text === undefined ? this.encoder.encodeNothing() : this.encoder.encode(text);
  }
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

function joinFloats(arrays: Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let offset = 0;
  for (const array of arrays) {
    joined.set(array, offset);
    offset += array.length;
  }
  return joined;
}
