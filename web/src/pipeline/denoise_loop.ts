/** The denoising loop: the denoiser's predictions and the scheduler's steps, all on the GPU. */

import { throwIfAborted } from "../api/errors";
import type { OnProgress, ProgressEvent } from "../api/progress";
import type { Size } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import type { GenerationRequest } from "./generation_request";
import type { GuidedText, NoisePredictor } from "./guidance";
import { previewImage } from "./latent_preview";
import type { Run, Step } from "./schedulers";
import { MersenneTwister, randn } from "./torch_rng";

/** How many earlier predictions a multistep scheduler needs at most. */
const MAX_HISTORY = 3;

interface DenoiseState {
  /** The current latents. */
  sample: Tensor;
  /** An earlier sample that a later step starts from again. */
  kept: Tensor | undefined;
  /** What earlier steps remembered, newest first. */
  history: Tensor[];
  /** The denoiser's inputs that are the same in every step. */
  constants: NamedTensors;
}

/** Dispose of tensors, as far as they exist. */
export function disposeAll(tensors: (Tensor | undefined)[]): void {
  for (const tensor of tensors) tensor?.dispose();
}

/** Denoises the latents of one request's pictures. */
export class DenoiseLoop {
  private readonly noise: Float32Array[][];

  constructor(
    private readonly model: Model,
    private readonly predictor: NoisePredictor,
    private readonly run: Run,
    private readonly options: GenerationRequest,
  ) {
    this.noise = this.drawNoise();
  }

  /**
   * Denoise one picture's latents.
   *
   * @param image the picture's index, which decides its noise.
   * @param onProgress called when the GPU has finished a step.
   * @returns (1, channels, height / factor, width / factor); the caller disposes of it.
   * @throws AbortError if the signal is aborted.
   */
  async denoise(
    image: number,
    texts: GuidedText,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Tensor> {
    const { size, previewEvery } = this.options;
    const { steps, initNoiseSigma } = this.run;
    const noises = this.noise[image]!.values();
    const nextNoise = (scale: number): Tensor => this.uploadNoise(noises.next().value!, scale);
    const state: DenoiseState = {
      sample: nextNoise(initNoiseSigma),
      kept: undefined,
      history: [],
      constants: this.predictor.makeConstants(),
    };
    let before: Promise<void> | undefined;
    let running = true;
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const model = this.model.runtime.scope(() => this.predict(state, step, texts));
        const previewed = previewEvery > 0 && (index + 1) % previewEvery === 0;
        const preview = previewed ? await this.preview(state.sample, model, step, size) : undefined;
        const fresh = step.next.noise === undefined ? undefined : nextNoise(1);
        this.advance(state, step, model, fresh, size);
        const event: ProgressEvent = {
          stage: "denoise",
          loaded: index + 1,
          total: steps.length,
          ...(preview === undefined ? {} : { preview }),
        };
        const done = this.model.runtime.sync().then(() => {
          // The GPU may finish a step after the run was cancelled; that is not reported.
          if (running) onProgress(event);
        });
        // A failure is noticed where `done` is awaited, or another one came before it.
        done.catch(() => undefined);
        // One step is recorded while the GPU computes the one before it, and no more than one.
        await before;
        before = done;
      }
      await before;
      // A copy is returned, so that the finally block can dispose of the whole state.
      return this.model.runtime.scope(() => this.model.combine(size, [[state.sample, 1]]));
    } finally {
      running = false;
      disposeAll([state.sample, state.kept, ...state.history, ...Object.values(state.constants)]);
    }
  }

  private async preview(sample: Tensor, model: Tensor, step: Step, size: Size): Promise<ImageData> {
    const clean = this.model.runtime.scope(() =>
      this.model.combine(size, [
        [sample, step.denoised.sample],
        [model, step.denoised.model],
      ]),
    );
    const [, , height, width] = this.model.latentShape(size);
    const latents = await this.model.readAndDispose(clean);
    return previewImage(this.model.manifest.preview, latents, width, height);
  }

  /** Predict the noise of the current latents. Call within a scope. */
  private predict({ sample, constants }: DenoiseState, step: Step, texts: GuidedText): Tensor {
    const { size } = this.options;
    const input =
      step.inputScale === 1 ? sample : this.model.combine(size, [[sample, step.inputScale]]);
    return this.predictor.predict(input, step.timestep, constants, texts);
  }

  /** Compute the next latents; disposes of `model` and `noise`. */
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
      // The first steps have fewer predictions behind them than weights.
      const tensor = state.history[age];
      if (tensor !== undefined) terms.push([tensor, weight]);
    });
    if (noise !== undefined) terms.push([noise, next.noise!]);
    const sample = this.model.runtime.scope(() => this.model.combine(size, terms));
    if (remember !== undefined) {
      const memory = this.model.runtime.scope(() =>
        this.model.combine(size, [
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

  /**
   * Draw all noise of a run from one generator, in diffusers' order: the initial noise of all
   * pictures, then each step's noise of all pictures.
   *
   * @returns noise by picture, then by draw.
   */
  private drawNoise(): Float32Array[][] {
    const { seed, size, images } = this.options;
    const count = valueCount(this.model.latentShape(size));
    const generator = new MersenneTwister(seed);
    const draws = 1 + this.run.steps.filter((step) => step.next.noise !== undefined).length;
    const drawn = Array.from({ length: draws }, () => randn(generator, count * images));
    return Array.from({ length: images }, (_, image) =>
      drawn.map((noise) => noise.subarray(image * count, (image + 1) * count)),
    );
  }

  private uploadNoise(noise: Float32Array, scale: number): Tensor {
    const scaled = noise.map((value) => value * scale);
    const shape = [...this.model.latentShape(this.options.size)];
    return this.model.runtime.scope(() => this.model.runtime.tensor(scaled, shape));
  }
}
