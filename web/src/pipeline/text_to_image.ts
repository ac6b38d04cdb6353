/** Text → denoise → decode. No DOM: it runs in a worker or in a page. */

import type {
  BenchReport,
  Generated,
  LoadOptions,
  StageReport,
  Timings,
  Usage,
} from "../api/types";
import type { BenchOptions } from "../diagnostics/benchmark";
import { runBench } from "../diagnostics/benchmark";
import { ResidentComponents } from "../gpu/residency";
import { VaeDecoder } from "./vae_decoder";
import { DenoiseLoop, disposeAll } from "./denoise_loop";
import { throwIfAborted, WsdError } from "../api/errors";
import type { BufferLimits, StageAccess } from "../gpu/buffer_limits";
import { drawableSizes, guidesAtOnce, sizeProblem } from "../gpu/buffer_limits";
import { requestGpu } from "../gpu/device";
import { fetchText, BundleFiles, fileSizes } from "../bundle/bundle_files";
import type { KernelTable } from "../gpu/kernel_variants";
import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import type { NamedTensors } from "../gpu/model";
import { Model } from "../gpu/model";
import type { GenerateOptions, GenerationRequest } from "../api/options";
import { resolveOptions } from "../api/options";
import { runTogether } from "../util/concurrency";
import { NoisePredictor } from "./guidance";
import type { OnProgress } from "../api/progress";
import { countProgress } from "../api/progress";
import type { Tensor } from "../gpu/tvm/runtime";
import { Runtime } from "../gpu/tvm/runtime";
import { NO_CACHE, openCache } from "../bundle/cache";
import { layOutRun } from "./schedulers";
import { runSelfTest } from "../diagnostics/self_test";
import type { Settings } from "../api/settings";
import type { Tokenizers } from "./text_encoder";
import { tensorsOf, PromptEncoder } from "./text_encoder";
import { createTokenizer } from "./clip_tokenizer";

const ignore = (): void => undefined;

async function loadKernels(
  manifest: Manifest,
  files: BundleFiles,
  signal?: AbortSignal,
): Promise<KernelTable | undefined> {
  if (manifest.kernels === undefined) return undefined;
  const bytes = await files.get(manifest.kernels, ignore, signal);
  return JSON.parse(new TextDecoder().decode(bytes)) as KernelTable;
}

export class Pipeline {
  private busy = false;

  private constructor(
    private readonly model: Model,
    readonly adapter: Record<string, string>,
    private readonly text: PromptEncoder,
    private readonly decoder: VaeDecoder,
    private readonly files: BundleFiles,
    private readonly limits: BufferLimits,
  ) {}

  get manifest(): Manifest {
    return this.model.manifest;
  }

  /** Fetch, check and start a model. */
  static async load(manifestUrl: string, options: LoadOptions = {}): Promise<Pipeline> {
    const { signal, onProgress } = options;
    const report: OnProgress = onProgress ?? ignore;
    const store = options.cache === false ? NO_CACHE : await openCache();
    const text = await fetchText(manifestUrl, store, signal);
    const manifest = parseManifest(text, manifestUrl);
    const gpu = await requestGpu(manifest.requires);
    const files = new BundleFiles(manifestUrl, store, fileSizes(manifest), options.onNotice ?? ignore);
    const wasm = await files.get(
      manifest.library,
      countProgress(report, "library", manifest.library.bytes, manifest.library.file),
      signal,
    );
    const tokenizers = await loadTokenizers(manifest, files, signal);
    throwIfAborted(signal);
    const runtime = await Runtime.create(wasm, gpu.device, manifest.entry_points, {
      table: await loadKernels(manifest, files, signal),
      choice: options.kernels,
      abilities: gpu.abilities,
    });
    try {
      const components = new ResidentComponents(runtime, manifest, files, options.offload ?? false);
      const model = new Model(manifest, runtime, components);
      const encoder = new PromptEncoder(model, tokenizers);
      const decoder = new VaeDecoder(model, options.tiling ?? false, gpu.device.limits);
      const { limits } = gpu.device;
      const pipeline = new Pipeline(model, gpu.adapter, encoder, decoder, files, limits);
      const size = drawableSizes(manifest, limits)[0] ?? manifest.defaults.size;
      if (decoder.takesTiles(size) && !options.tiling) {
        options.onNotice?.(
          "The GPU's buffers are too small to decode a picture whole: it is decoded in tiles.",
        );
      }
      await runtime.guard(() => pipeline.makeReady(size, report, signal));
      return pipeline;
    } catch (error) {
      runtime.dispose();
      throw error;
    }
  }

  /** Load the weights, and compile meanwhile what draws a picture of this size. */
  private async makeReady(size: Size, report: OnProgress, signal?: AbortSignal): Promise<void> {
    this.check(size);
    const { manifest, components } = this.model;
    // The weights' progress is told first: with a large model they take longest.
    let weightsLoaded = false;
    const reportLater: OnProgress = (event) => {
      if (weightsLoaded) report(event);
    };
    const loadWeights = async (either: AbortSignal): Promise<void> => {
      if (components.offload) await components.need("text_encoder", report, either);
      else await components.needAll(report, either);
      weightsLoaded = true;
    };
    const guided = manifest.defaults.guidance_scale > 1;
    const prepare = async (either: AbortSignal): Promise<void> =>
      this.prepare(size, guided, reportLater, either);
    await runTogether([loadWeights, prepare], signal);
    throwIfAborted(signal); // the last that was told may have been too much
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
    this.check(size);
    const functions = [
      ...this.model.entries("text_encoder"),
      this.model.entry(guided && this.guidesAtOnce(size) ? "guided_denoiser" : "denoiser", size),
      this.model.entry("linear_combination", size),
      ...this.decoder.functions(size),
    ];
    const told = (loaded: number, total: number): void =>
      report({ stage: "pipelines", loaded, total });
    await this.model.runtime.prepare(functions, told, signal);
  }

  /** @throws UnsupportedError if the GPU has no buffers for pictures of this size. */
  private check(size: Size): void {
    const problem = sizeProblem(this.manifest, size, this.limits);
    if (problem !== undefined) throw problem;
  }

  /** Bring what a stage needs to the GPU. */
  private async need(role: Role, report: OnProgress, signal?: AbortSignal): Promise<void> {
    await this.model.components.need(role, report, signal);
  }

  /** Why nothing can be drawn any more, if that is so: the GPU is lost. */
  get failure(): WsdError | undefined {
    return this.model.runtime.failure;
  }

  /** Draw one picture. */
  async generate(
    prompt: string,
    options: GenerateOptions = {},
    onProgress: OnProgress = ignore,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const resolved = resolveOptions(this.manifest, options);
    return this.alone(() => this.draw(prompt, resolved, onProgress, signal));
  }

  /** Do work that nothing else may run beside. */
  private async alone<Result>(work: () => Promise<Result>): Promise<Result> {
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

  /** What conditions the UNet, by name, for tests and tools. */
  async encodeText(prompt: string): Promise<Record<string, Float32Array>> {
    await this.need("text_encoder", ignore);
    return this.model.readAll(this.text.encode(prompt));
  }

  /** One call of the UNet on given inputs, by name, for tests and tools. */
  async predictNoise(
    inputs: Record<string, Float32Array>,
    size: Size = this.manifest.defaults.size,
  ): Promise<Float32Array> {
    await this.prepare(size, false, ignore);
    await this.need("denoiser", ignore);
    const denoiser = this.model.entry("denoiser", size);
    return (await this.model.run(denoiser, inputs)).noise_prediction!;
  }

  /** Decode latents to an image (1, 3, height, width), about -1 to 1, for tests and tools. */
  async decodeLatents(
    latents: Float32Array,
    size: Size = this.manifest.defaults.size,
  ): Promise<Float32Array> {
    await this.prepare(size, this.manifest.defaults.guidance_scale > 1, ignore);
    await this.need("vae_decoder", ignore);
    return this.decoder.decodeToFloats(latents, size);
  }

  /** Add scaled latents with the schedulers' kernel, for tests and tools. */
  async combineLatents(
    terms: Float32Array[],
    weights: number[],
    size: Size = this.manifest.defaults.size,
  ): Promise<Float32Array> {
    const shape = [...this.model.latentShape(size)];
    const sum = this.model.runtime.scope(() =>
      this.model.combine(
        size,
        terms.map((term, index) => [this.model.runtime.tensor(term, shape), weights[index]!]),
      ),
    );
    return this.model.readAndDispose(sum);
  }

  /**
   * Run each stage that the GPU has buffers for on fixed inputs and compare what it gives with PyTorch.
   *
   * @throws OptionError if the model came without expected values.
   */
  async selfTest(onProgress: OnProgress = ignore, signal?: AbortSignal): Promise<StageReport[]> {
    return this.alone(() => runSelfTest(this.model, this.files, this.access, onProgress, signal));
  }

  /** Time the functions that draw a picture of a size, for tools. */
  async bench(options: BenchOptions): Promise<BenchReport> {
    return this.alone(() => runBench(this.model, this.access, options));
  }

  /** What the runtime holds now. */
  usage(): Usage {
    return this.model.runtime.usage();
  }

  /** Release the GPU and all memory. */
  dispose(): void {
    this.model.dispose();
  }

  private guidesAtOnce(size: Size): boolean {
    return guidesAtOnce(this.manifest, size, this.limits);
  }

  private get access(): StageAccess {
    const bring = async (entry: EntryPoint): Promise<void> => {
      await this.model.runtime.prepare([entry], ignore);
      await this.model.components.need(entry.role, ignore);
    };
    return { limits: this.limits, bring };
  }

  private async draw(
    prompt: string,
    options: GenerationRequest,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const started = performance.now();
    throwIfAborted(signal);
    // As in diffusers, guidance of 1 or less needs no unconditional pass.
    const guided = options.guidanceScale > 1;
    await this.prepare(options.size, guided, onProgress);
    throwIfAborted(signal);
    await this.need("text_encoder", onProgress, signal);
    const conditional = this.text.encode(prompt);
    const unconditional = guided ? this.encodeNegative(options.negativePrompt) : undefined;
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
      const { scheduler, steps, eta } = options;
      const run = layOutRun(this.manifest.scheduler, scheduler, steps, eta);
      const atOnce = this.guidesAtOnce(options.size);
      const predictor = new NoisePredictor(this.model, options.size, options.guidanceScale, atOnce);
      const denoiser = new DenoiseLoop(this.model, predictor, run, options);
      await this.need("denoiser", onProgress, signal);
      for (let image = 0; image < options.images; image++) {
        const texts = { conditional, unconditional };
        const report: OnProgress = (event) => {
          if (event.preview !== undefined) timings.firstPreview ??= performance.now() - started;
          onProgress({ ...event, image });
        };
        finals.push(await denoiser.denoise(image, texts, report, signal));
      }
      const denoised = performance.now();
      timings.denoise = denoised - encoded;
      throwIfAborted(signal);
      await this.need("vae_decoder", onProgress, signal);
      for (const [image, final] of finals.entries()) {
        throwIfAborted(signal);
        const read = new Float32Array(await this.model.runtime.read(final));
        latents.push(read);
        images.push(await this.decoder.decode(read, options.size, signal));
        onProgress({ stage: "decode", loaded: 1, total: 1, image });
      }
      timings.decode = performance.now() - denoised;
    } finally {
      disposeAll([...tensorsOf(conditional, unconditional), ...finals]);
    }
    timings.total = performance.now() - started;
    const settings = describe(this.manifest, prompt, options);
    return { image: images[0]!, images, latents: joinFloats(latents), timings, settings };
  }

  private encodeNegative(text: string | undefined): NamedTensors {
    return text === undefined ? this.text.encodeNothing() : this.text.encode(text);
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

function describe(manifest: Manifest, prompt: string, options: GenerationRequest): Settings {
  const { negativePrompt, steps, scheduler, guidanceScale, seed, eta, size } = options;
  const [width, height] = size;
  const model = manifest.model.name;
  const numbers = { steps, scheduler, guidanceScale, seed, width, height, eta };
  return { prompt, negativePrompt, model, ...numbers };
}

function joinFloats(arrays: Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}
