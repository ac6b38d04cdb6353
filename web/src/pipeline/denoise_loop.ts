/** The denoising loop: the denoiser's predictions and the scheduler's steps, all on the GPU. */

import type { DenoiseStage } from "../api/progress";
import type { Size } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { throwIfAborted } from "../util/errors";
import type { GenerationRequest } from "./generation_request";
import type { GuidedText, NoisePredictor } from "./guidance";
import { previewImage } from "./latent_preview";
import { NoiseSource } from "./noise_source";
import type { Combination, Run, Step } from "./schedulers";

interface DenoiseState {
  /** The current latents. */
  sample: Tensor;
  /** Latents that an earlier step kept. */
  kept: Tensor | undefined;
  /** What earlier steps remembered, newest first. */
  history: Tensor[];
  /** The denoiser's inputs that are the same in every step. */
  constants: NamedTensors;
}

/** Called with 0 when denoising begins, and when the GPU has finished a step. */
export type OnStep = (event: Pick<DenoiseStage, "loaded" | "total" | "preview">) => void;

/** Dispose of tensors, as far as they exist. */
export function disposeAll(tensors: (Tensor | undefined)[]): void {
  for (const tensor of tensors) tensor?.dispose();
}

/** Denoises the latents of one request's pictures. */
export class DenoiseLoop {
  private readonly noise: NoiseSource;
  /** How many remembered tensors the run's steps read at most. */
  private readonly longestHistory: number;

  constructor(
    private readonly model: Model,
    private readonly predictor: NoisePredictor,
    private readonly run: Run,
    private readonly options: GenerationRequest,
  ) {
    const { seed, size, batch, indices, latents } = options;
    const count = valueCount(model.latentShape(size));
    this.noise = new NoiseSource(run, seed, count, batch, indices.at(-1), latents);
    const lengths = run.steps
      .flatMap(({ next, remember, keep }) => [next, remember, keep])
      .map((weights) => weights?.history?.length ?? 0);
    this.longestHistory = Math.max(...lengths);
  }

  /**
   * Denoise one picture's latents.
   *
   * @param image the picture's index in the batch, which decides its noise.
   * @returns (1, channels, height / factor, width / factor); the caller disposes of it.
   * @throws AbortError if the signal is aborted.
   */
  async denoise(
    image: number,
    texts: GuidedText,
    onStep: OnStep,
    signal?: AbortSignal,
  ): Promise<Tensor> {
    const { size, previewEvery } = this.options;
    const { steps, initNoiseSigma } = this.run;
    let draws = 0;
    const nextNoise = (scale: number): Tensor =>
      this.uploadNoise(this.noise.take(draws++, image), scale);
    const state: DenoiseState = {
      sample: nextNoise(initNoiseSigma),
      kept: undefined,
      history: [],
      constants: this.predictor.makeConstants(),
    };
    let before: Promise<void> | undefined;
    let running = true;
    onStep({ loaded: 0, total: steps.length });
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const model = this.model.runtime.scope(() => this.predict(state, step, texts));
        const previewed = previewEvery > 0 && (index + 1) % previewEvery === 0;
        const preview = previewed ? await this.preview(state.sample, model, step, size) : undefined;
        const fresh = step.next.noise === undefined ? undefined : nextNoise(1);
        this.advance(state, step, model, fresh, size);
        const event = {
          loaded: index + 1,
          total: steps.length,
          ...(preview === undefined ? {} : { preview }),
        };
        const done = this.model.runtime.sync().then(() => {
          // The GPU may finish a step after the run was cancelled; that is not reported.
          if (running) onStep(event);
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
    const { next, remember, keep } = step;
    const terms = weigh(state, model, next);
    if (noise !== undefined) terms.push([noise, next.noise!]);
    const { runtime } = this.model;
    const combine = (terms: [Tensor, number][]): Tensor =>
      runtime.scope(() => this.model.combine(size, terms));
    const sample = combine(terms);
    const remembered = remember && combine(weigh(state, model, remember));
    const kept = keep && combine(weigh(state, model, keep));
    if (remembered !== undefined) {
      state.history.unshift(remembered);
      disposeAll(state.history.splice(this.longestHistory));
    }
    if (kept !== undefined) {
      state.kept?.dispose();
      state.kept = kept;
    }
    state.sample.dispose();
    state.sample = sample;
    disposeAll([model, noise]);
  }

  private uploadNoise(noise: Float32Array, scale: number): Tensor {
    const scaled = noise.map((value) => value * scale);
    const shape = [...this.model.latentShape(this.options.size)];
    return this.model.runtime.scope(() => this.model.runtime.tensor(scaled, shape));
  }
}

/** The tensors of a combination with their weights; those that weigh nothing are left out. */
function weigh(
  state: DenoiseState,
  model: Tensor,
  { sample, model: ofModel, kept = 0, history = [] }: Combination,
): [Tensor, number][] {
  const terms: [Tensor | undefined, number][] = [
    [state.sample, sample],
    [model, ofModel],
    [state.kept, kept],
    // The first steps have fewer predictions behind them than weights.
    ...history.map((weight, age): [Tensor | undefined, number] => [state.history[age], weight]),
  ];
  return terms.filter((term): term is [Tensor, number] => term[0] !== undefined && term[1] !== 0);
}
