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
import { dpmpp2mSteps } from "./schedulers/dpmpp2m";
import type { Step } from "./schedulers/types";
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
    const { runtime } = this;
    const unet = this.entry("unet", options.size);
    const steps = dpmpp2mSteps(this.manifest.scheduler, options.steps);
    let latents = this.initialLatents(unet, options.seed);
    let previous: Tensor | undefined;
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const denoised = runtime.scope(() => {
          const timestep = runtime.tensor(Float32Array.of(step.timestep), [1]);
          const noise = this.guidedNoise(
            unet, latents, timestep, conditional, unconditional, options,
          );
          return this.combine(options.size, [
            [latents, step.denoised.sample],
            [noise, step.denoised.noise],
          ]);
        });
        const next = runtime.scope(() => this.advance(step, latents, denoised, previous, options));
        latents.dispose();
        previous?.dispose();
        [latents, previous] = [next, denoised];
        await runtime.sync();
        onProgress({ stage: "denoise", loaded: index + 1, total: steps.length });
      }
      return latents;
    } catch (error) {
      latents.dispose();
      throw error;
    } finally {
      previous?.dispose();
    }
  }

  private guidedNoise(
    unet: EntryPoint,
    latents: Tensor,
    timestep: Tensor,
    conditional: Tensor,
    unconditional: Tensor | undefined,
    options: ResolvedOptions,
  ): Tensor {
    const withText = this.call(unet, latents, timestep, conditional);
    if (unconditional === undefined) return withText;
    const without = this.call(unet, latents, timestep, unconditional);
    // Ho and Salimans 2022, eq. 6, in diffusers' parametrisation.
    return this.combine(options.size, [
      [without, 1 - options.guidanceScale],
      [withText, options.guidanceScale],
    ]);
  }

  private advance(
    step: Step,
    latents: Tensor,
    denoised: Tensor,
    previous: Tensor | undefined,
    options: ResolvedOptions,
  ): Tensor {
    return this.combine(options.size, [
      [latents, step.next.sample],
      [denoised, step.next.denoised],
      [previous ?? denoised, step.next.previousDenoised],
    ]);
  }

  private initialLatents(unet: EntryPoint, seed: number): Tensor {
    const shape = unet.inputs[0]!.shape;
    const count = shape.reduce((product, edge) => product * edge, 1);
    const noise = randn(new MersenneTwister(seed), count);
    const sigma = this.manifest.scheduler.init_noise_sigma;
    return this.runtime.scope(() =>
      this.runtime.tensor(
        noise.map((value) => value * sigma),
        shape,
      ),
    );
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
