/** The denoising loop: predictions and scheduler, all on the GPU. */

import { throwIfAborted } from "../api/errors";
import type { Size } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { GenerationRequest } from "../api/options";
import { previewImage } from "./latent_preview";
import type { NoisePredictor, GuidedText } from "./guidance";
import type { OnProgress, ProgressEvent } from "../api/progress";
import { MersenneTwister, randn } from "./torch_rng";
import type { Tensor } from "../gpu/tvm/runtime";
import type { Run, Step } from "./schedulers";

/** Predictions that a multistep scheduler looks back on. */
const MAX_HISTORY = 3;

interface DenoiseState {
  sample: Tensor;
  /** A sample that a later step starts from again. */
  kept: Tensor | undefined;
  /** Newest first. */
  history: Tensor[];
  /** What the UNet is given alike on every step. */
  given: NamedTensors;
}

export function disposeAll(tensors: (Tensor | undefined)[]): void {
  for (const tensor of tensors) tensor?.dispose();
}

/** Draws the latents of one run's pictures. */
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

  /** Denoise one picture's latents; the caller disposes of them. */
  async denoise(
    image: number,
    texts: GuidedText,
    onProgress: OnProgress,
    signal?: AbortSignal,
  ): Promise<Tensor> {
    const { size, previewEvery } = this.options;
    const { steps, initNoiseSigma } = this.run;
    const draws = this.noise[image]!.values();
    const draw = (scale: number): Tensor => this.uploadNoise(draws.next().value!, scale);
    const state: DenoiseState = {
      sample: draw(initNoiseSigma),
      kept: undefined,
      history: [],
      given: this.predictor.given(),
    };
    let before: Promise<void> | undefined;
    let running = true;
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const model = this.model.runtime.scope(() => this.predict(state, step, texts));
        const shown = previewEvery > 0 && (index + 1) % previewEvery === 0;
        const preview = shown ? await this.preview(state.sample, model, step, size) : undefined;
        const fresh = step.next.noise === undefined ? undefined : draw(1);
        this.advance(state, step, model, fresh, size);
        const shownNow = preview === undefined ? {} : { preview };
        const event: ProgressEvent = {
          stage: "denoise",
          loaded: index + 1,
          total: steps.length,
          ...shownNow,
        };
        const done = this.model.runtime.sync().then(() => {
          // A step that the GPU ends after the run was cancelled is not told any more.
          if (running) onProgress(event);
        });
        done.catch(() => undefined); // it is awaited below, or something else failed before it
        // The next step is recorded while the GPU computes this one, and no more than that.
        await before;
        before = done;
      }
      await before;
      // A copy, so that the finally block can dispose of all that is held.
      return this.model.runtime.scope(() => this.model.combine(size, [[state.sample, 1]]));
    } finally {
      running = false;
      disposeAll([state.sample, state.kept, ...state.history, ...Object.values(state.given)]);
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

  /** What the UNet predicts of the state's sample. Call within a scope. */
  private predict({ sample, given }: DenoiseState, step: Step, texts: GuidedText): Tensor {
    const { size } = this.options;
    const input =
      step.inputScale === 1 ? sample : this.model.combine(size, [[sample, step.inputScale]]);
    return this.predictor.predict(input, step.timestep, given, texts);
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
   * All noise of a run, by picture and draw, in the order in which diffusers draws
   * it from one generator: for all pictures at once, first the start, then each step.
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
