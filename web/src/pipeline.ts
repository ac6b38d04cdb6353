/** Text → denoise → decode. No DOM: it runs in a worker or in a page. */

import { loadParameters } from "./components/component";
import { throwIfAborted, WsdError } from "./errors";
import { requestGpu } from "./gpu";
import { fetchText, fetchVerified } from "./integrity";
import type { EntryPoint, Manifest, Role, Size } from "./manifest";
import { findEntryPoint, parseManifest } from "./manifest";
import type { GenerateOptions, ResolvedOptions } from "./options";
import { resolveOptions } from "./options";
import { MersenneTwister, randn } from "./rng";
import type { Parameters, Tensor, Usage } from "./runtime";
import { asOutOfMemory, Runtime } from "./runtime";
import type { Step } from "./schedulers";
import { layOutRun } from "./schedulers";
import type { Tokenize } from "./tokenizer";
import { createTokenizer } from "./tokenizer";

/** One shape for all progress: bytes while loading, steps while drawing. */
export interface ProgressEvent {
  stage: "library" | "pipelines" | "parameters" | "text" | "denoise" | "decode";
  file?: string;
  loaded: number;
  total: number;
}
export type OnProgress = (event: ProgressEvent) => void;

export interface LoadOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Milliseconds. */
export interface Timings {
  text: number;
  denoise: number;
  decode: number;
  total: number;
}

export interface Generated {
  image: ImageData;
  /** The final latents, (1, channels, height / factor, width / factor). */
  latents: Float32Array;
  timings: Timings;
}

/** Predictions that a multistep scheduler looks back on. */
const MAX_HISTORY = 3;

interface DenoiseState {
  sample: Tensor;
  /** A sample that a later step starts from again. */
  kept: Tensor | undefined;
  /** Newest first. */
  history: Tensor[];
}

function disposeAll(tensors: (Tensor | undefined)[]): void {
  for (const tensor of tensors) tensor?.dispose();
}

export class Pipeline {
  private busy = false;

  private constructor(
    readonly manifest: Manifest,
    readonly adapter: Record<string, string>,
    private readonly runtime: Runtime,
    private readonly tokenize: Tokenize,
    private readonly parameters: Map<string, Parameters>,
  ) {}

  /** Fetch, check and start a model. */
  static async load(manifestUrl: string, options: LoadOptions = {}): Promise<Pipeline> {
    const { signal, onProgress } = options;
    const report: OnProgress = onProgress ?? (() => undefined);
    const manifest = parseManifest(await fetchText(manifestUrl, signal), manifestUrl);
    const gpu = await requestGpu(manifest.requires);
    const wasm = await fetchVerified(
      manifestUrl,
      manifest.library,
      counter(report, "library", manifest.library.bytes, manifest.library.file),
      signal,
    );
    const tokenizer = await fetchVerified(
      manifestUrl,
      manifest.tokenizer,
      () => undefined,
      signal,
    );
    throwIfAborted(signal);
    const runtime = await Runtime.create(wasm, gpu.device, manifest.entry_points, (share) =>
      report({ stage: "pipelines", loaded: share, total: 1 }),
    );
    try {
      const parameters = await loadComponents(runtime, manifest, manifestUrl, report, signal);
      const tokenize = createTokenizer(new TextDecoder().decode(tokenizer), manifest.tokenizer);
      return new Pipeline(manifest, gpu.adapter, runtime, tokenize, parameters);
    } catch (error) {
      runtime.dispose();
      throw asOutOfMemory(error);
    }
  }

  /** Draw one picture. */
  async generate(
    prompt: string,
    options: GenerateOptions = {},
    onProgress: OnProgress = () => undefined,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const resolved = resolveOptions(this.manifest, options);
    if (this.busy) {
      throw new WsdError("a picture is being drawn", "wait for it, or cancel it first");
    }
    this.busy = true;
    try {
      return await this.draw(prompt, resolved, onProgress, signal);
    } finally {
      this.busy = false;
    }
  }

  /** Text embeddings, (1, tokens, width), for tests and tools. */
  async encodeText(prompt: string): Promise<Float32Array> {
    const embeddings = this.encode(prompt);
    return this.readAndDispose(embeddings);
  }

  /** One call of the UNet on given latents, for tests and tools. */
  async predictNoise(
    latents: Float32Array,
    timestep: number,
    embeddings: Float32Array,
    size: Size = this.manifest.defaults.size,
  ): Promise<Float32Array> {
    const unet = this.entry("unet", size);
    const noise = this.runtime.scope(() =>
      this.call(
        unet,
        this.runtime.tensor(latents, unet.inputs[0]!.shape),
        this.runtime.tensor(Float32Array.of(timestep), [1]),
        this.runtime.tensor(embeddings, unet.inputs[2]!.shape),
      ),
    );
    return this.readAndDispose(noise);
  }

  /** Decode latents to an image (1, 3, height, width), about -1 to 1, for tests and tools. */
  async decodeLatents(
    latents: Float32Array,
    size: Size = this.manifest.defaults.size,
  ): Promise<Float32Array> {
    const decoder = this.entry("vae_decoder", size);
    const image = this.runtime.scope(() =>
      this.call(decoder, this.runtime.tensor(latents, decoder.inputs[0]!.shape)),
    );
    return this.readAndDispose(image);
  }

  /** What the runtime holds now. */
  usage(): Usage {
    return this.runtime.usage();
  }

  /** Release the GPU and all memory. */
  dispose(): void {
    for (const parameters of this.parameters.values()) parameters.dispose();
    this.runtime.dispose();
  }

  private async draw(
    prompt: string,
    options: ResolvedOptions,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Generated> {
    const started = performance.now();
    throwIfAborted(signal);
    // As in diffusers, guidance of 1 or less needs no unconditional pass.
    const guided = options.guidanceScale > 1;
    const conditional = this.encode(prompt);
    const unconditional = guided ? this.encode(options.negativePrompt) : undefined;
    await this.runtime.sync();
    onProgress({ stage: "text", loaded: 1, total: 1 });
    const encoded = performance.now();
    let latents: Tensor | undefined;
    try {
      latents = await this.denoise(conditional, unconditional, options, onProgress, signal);
      const denoised = performance.now();
      throwIfAborted(signal);
      const image = await this.decode(latents, options.size);
      onProgress({ stage: "decode", loaded: 1, total: 1 });
      const values = new Float32Array(await this.runtime.read(latents));
      const done = performance.now();
      return {
        image,
        latents: values,
        timings: {
          text: encoded - started,
          denoise: denoised - encoded,
          decode: done - denoised,
          total: done - started,
        },
      };
    } finally {
      latents?.dispose();
      conditional.dispose();
      unconditional?.dispose();
    }
  }

  private encode(text: string): Tensor {
    const entry = this.entry("text_encoder", this.manifest.defaults.size);
    const ids = this.tokenize(text);
    return this.runtime.scope(() =>
      this.call(entry, this.runtime.tensor(ids, entry.inputs[0]!.shape)),
    );
  }

  private async denoise(
    conditional: Tensor,
    unconditional: Tensor | undefined,
    options: ResolvedOptions,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Tensor> {
    const { scheduler, steps: count, eta } = options;
    const { initNoiseSigma, steps } = layOutRun(this.manifest.scheduler, scheduler, count, eta);
    const draw = this.noiseSource(options);
    const state: DenoiseState = { sample: draw(initNoiseSigma), kept: undefined, history: [] };
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const model = this.runtime.scope(() =>
          this.guidedNoise(state.sample, step, conditional, unconditional, options),
        );
        const noise = step.next.noise === undefined ? undefined : draw(1);
        this.advance(state, step, model, noise, options.size);
        await this.runtime.sync();
        onProgress({ stage: "denoise", loaded: index + 1, total: steps.length });
      }
      // The caller disposes of the result, the finally block of the rest.
      return this.runtime.scope(() => this.combine(options.size, [[state.sample, 1]]));
    } finally {
      disposeAll([state.sample, state.kept, ...state.history]);
    }
  }

  /** What the UNet predicts, after classifier-free guidance. Call within a scope. */
  private guidedNoise(
    sample: Tensor,
    step: Step,
    conditional: Tensor,
    unconditional: Tensor | undefined,
    { size, guidanceScale }: ResolvedOptions,
  ): Tensor {
    const unet = this.entry("unet", size);
    const timestep = this.runtime.tensor(Float32Array.of(step.timestep), [1]);
    const input = step.inputScale === 1 ? sample : this.combine(size, [[sample, step.inputScale]]);
    const withText = this.call(unet, input, timestep, conditional);
    if (unconditional === undefined) return withText;
    const without = this.call(unet, input, timestep, unconditional);
    // Ho and Salimans 2022, eq. 6, in diffusers' parametrisation.
    return this.combine(size, [
      [without, 1 - guidanceScale],
      [withText, guidanceScale],
    ]);
  }

  /** Move the state one step on; consumes `model` and `noise`. */
  private advance(
    state: DenoiseState,
    step: Step,
    model: Tensor,
    noise: Tensor | undefined,
    size: Size,
  ): void {
    const { next, remember } = step;
    const base = next.fromKept ? state.kept! : state.sample;
    const terms: [Tensor, number][] = [
      [base, next.sample],
      [model, next.model],
    ];
    next.history.forEach((weight, age) => {
      // The first steps have less behind them than they have weights for.
      const tensor = state.history[age];
      if (tensor !== undefined) terms.push([tensor, weight]);
    });
    if (noise !== undefined) terms.push([noise, next.noise!]);
    const sample = this.runtime.scope(() => this.combine(size, terms));
    if (remember !== undefined) {
      const memory = this.runtime.scope(() =>
        this.combine(size, [
          [state.sample, remember.sample],
          [model, remember.model],
        ]),
      );
      state.history.unshift(memory);
      disposeAll(state.history.splice(MAX_HISTORY));
    }
    if (step.keepSample) {
      state.kept?.dispose();
      state.kept = state.sample;
    } else {
      state.sample.dispose();
    }
    state.sample = sample;
    disposeAll([model, noise]);
  }

  /** Noise in the order in which diffusers draws it from one generator. */
  private noiseSource(options: ResolvedOptions): (scale: number) => Tensor {
    const { shape } = this.entry("unet", options.size).inputs[0]!;
    const count = shape.reduce((product, edge) => product * edge, 1);
    const generator = new MersenneTwister(options.seed);
    return (scale) => {
      const noise = randn(generator, count).map((value) => value * scale);
      return this.runtime.scope(() => this.runtime.tensor(noise, shape));
    };
  }

  private async decode(latents: Tensor, size: Size): Promise<ImageData> {
    const rgba = this.runtime.scope(() =>
      this.call(this.entry("image_to_rgba", size), this.call(this.entry("vae_decoder", size), latents)),
    );
    const bytes = new Uint8ClampedArray(await this.runtime.read(rgba));
    rgba.dispose();
    return new ImageData(bytes, size[0], size[1]);
  }

  /** Add scaled latents on the GPU; unused terms repeat the first with weight 0. */
  private combine(size: Size, terms: [Tensor, number][]): Tensor {
    const entry = this.entry("linear_combination", size);
    const slots = entry.inputs.length - 1;
    const coefficients = new Float32Array(slots);
    terms.forEach(([, weight], index) => (coefficients[index] = weight));
    const tensors = Array.from({ length: slots }, (_, index) => (terms[index] ?? terms[0]!)[0]);
    return this.runtime.call(entry, ...tensors, this.runtime.tensor(coefficients, [slots]));
  }

  private entry(role: Role, size: Size): EntryPoint {
    return findEntryPoint(this.manifest, role, size);
  }

  private call(entry: EntryPoint, ...inputs: Tensor[]): Tensor {
    const parameters = entry.component === null ? undefined : this.parameters.get(entry.component);
    return this.runtime.call(entry, ...inputs, ...(parameters === undefined ? [] : [parameters]));
  }

  private async readAndDispose(tensor: Tensor): Promise<Float32Array> {
    try {
      return new Float32Array(await this.runtime.read(tensor));
    } finally {
      tensor.dispose();
    }
  }
}

async function loadComponents(
  runtime: Runtime,
  manifest: Manifest,
  base: string,
  report: OnProgress,
  signal?: AbortSignal,
): Promise<Map<string, Parameters>> {
  const loaded = new Map<string, Parameters>();
  const components = Object.entries(manifest.components);
  const total = components.reduce((sum, [, component]) => sum + component.bytes, 0);
  const onBytes = counter(report, "parameters", total);
  for (const [name, component] of components) {
    loaded.set(name, await loadParameters(runtime, component, base, onBytes, signal));
  }
  return loaded;
}

/** Turn increments of bytes into progress events. */
function counter(
  report: OnProgress,
  stage: ProgressEvent["stage"],
  total: number,
  file?: string,
): (count: number) => void {
  let loaded = 0;
  return (count) => {
    loaded += count;
    report({ stage, loaded, total, ...(file === undefined ? {} : { file }) });
  };
}
