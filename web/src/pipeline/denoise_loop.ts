/** The denoising loop: the denoiser's predictions and the scheduler's steps, all on the GPU. */

import type { DenoiseStage } from "../api/progress";
import type { Size } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { throwIfAborted } from "../util/errors";
import type { GenerationRequest } from "./generation_request";
import type { GuidedText, NoisePredictor } from "./guidance";
import { previewImage } from "./latent_preview";
import type { NoiseSource } from "./noise_source";
import { mixByMask } from "./picture_latents";
import type { PictureLatents } from "./picture_latents";
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
  /** What the mask keeps of a picture after each step. */
  blend: Blend | undefined;
}

/** What latents are blended with by a mask: the kernel masked_blend's inputs of these names. */
interface Blend {
  image_latents: Tensor;
  noise: Tensor;
  mask: Tensor;
}

/** Called with 0 when denoising begins, and when the GPU has finished a step. */
export type OnStep = (event: Pick<DenoiseStage, "loaded" | "total" | "preview">) => void;

/** Dispose of tensors, as far as they exist. */
export function disposeAll(tensors: (Tensor | undefined)[]): void {
  for (const tensor of tensors) tensor?.dispose();
}

/** Denoises the latents of one request's pictures. */
export class DenoiseLoop {
  /** How many remembered tensors the run's steps read at most. */
  private readonly longestHistory: number;

  constructor(
    private readonly model: Model,
    private readonly predictor: NoisePredictor,
    private readonly run: Run,
    private readonly options: GenerationRequest,
    private readonly noise: NoiseSource,
    /** What is taken from the pictures that are given; undefined if there are none. */
    private readonly pictures: PictureLatents | undefined,
  ) {
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
    const { steps } = this.run;
    let draws = 0;
    const nextNoise = (): Float32Array => this.noise.take(draws++, image);
    const state = this.begin(image, nextNoise());
    let before: Promise<void> | undefined;
    let reading: Promise<unknown> | undefined;
    let running = true;
    onStep({ loaded: 0, total: steps.length });
    try {
      for (const [index, step] of steps.entries()) {
        throwIfAborted(signal);
        const model = await this.predict(state, step, index, texts);
        const previewed = previewEvery > 0 && (index + 1) % previewEvery === 0;
        // It is read while the next step is recorded.
        const preview = previewed ? this.preview(image, state.sample, model, step) : undefined;
        // A failure is noticed with the step's end, below.
        reading = Promise.allSettled([reading, preview]);
        const fresh = step.next.noise === undefined ? undefined : this.upload(nextNoise());
        this.advance(state, step, model, fresh, size);
        if (state.blend !== undefined) this.keepUnmasked(state, state.blend, index + 1);
        const event = { loaded: index + 1, total: steps.length };
        // Steps are reported in their order, also if one waits for its preview and the next has none.
        const done = Promise.all([preview, this.model.runtime.sync(), before]).then(([drawn]) => {
          // The GPU may finish a step after the run was cancelled; that is not reported.
          if (running) onStep(drawn === undefined ? event : { ...event, preview: drawn });
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
      // What reads previews uses the model, which may be unloaded after this.
      await reading;
      this.predictor.forget();
      const { sample, kept, history, constants, blend } = state;
      const inputs = [...Object.values(constants), ...Object.values({ ...blend })] as Tensor[];
      disposeAll([sample, kept, ...history, ...inputs]);
    }
  }

  /**
   * Make what a picture's denoising begins with.
   *
   * @param noise its initial noise.
   */
  private begin(image: number, noise: Float32Array): DenoiseState {
    const { pictures, model } = this;
    const { initNoiseSigma, steps } = this.run;
    const [clean, masked] = [pictures?.clean(image), pictures?.masked(image)];
    const mask = pictures?.mask;
    let sample = noise.map((value) => value * initNoiseSigma);
    if (clean !== undefined && !pictures!.beginsWithNoise) {
      const { signal, noise: share } = steps[0]!.level;
      const isNoise = mask !== undefined && this.options.picture?.maskedContent === "noise";
      const content = isNoise ? mixByMask(clean, noise, mask) : clean;
      sample = content.map((value, index) => signal * value + share * noise[index]!);
    }
    const [, , height, width] = model.latentShape(this.options.size);
    const uploadMask = (): Tensor =>
      model.runtime.scope(() => model.runtime.tensor(mask!, [1, 1, height, width]));
    // A denoiser that takes the mask leaves alone what it keeps.
    const blends = mask !== undefined && masked === undefined && clean !== undefined;
    const made: Tensor[] = [];
    const note = (tensor: Tensor): Tensor => {
      made.push(tensor);
      return tensor;
    };
    try {
      return {
        sample: note(this.upload(sample)),
        kept: undefined,
        history: [],
        blend: blends
          ? {
              image_latents: note(this.upload(clean)),
              noise: note(this.upload(noise)),
              mask: note(uploadMask()),
            }
          : undefined,
        // The last ones: they dispose of themselves where one of them fails.
        constants: this.predictor.makeConstants(
          mask !== undefined && masked !== undefined ? { mask, masked_latents: masked } : {},
        ),
      };
    } catch (error) {
      disposeAll(made);
      throw error;
    }
  }

  /**
   * Put back what a mask keeps of a picture, as noisy as the latents are, as diffusers' inpainting
   * pipelines do after each step.
   *
   * @param next index of the step that follows; after the last one it is put back without noise.
   */
  private keepUnmasked(state: DenoiseState, blend: Blend, next: number): void {
    const { model } = this;
    const { signal, noise } = this.run.steps[next]?.level ?? { signal: 1, noise: 0 };
    const entry = model.entry("masked_blend", this.options.size);
    const blended = model.runtime.scope(() => {
      const coefficients = model.runtime.tensor(Float32Array.of(signal, noise), [2]);
      return model.call(entry, { latents: state.sample, ...blend, coefficients }).blended!;
    });
    state.sample.dispose();
    state.sample = blended;
  }

  /** Draw a preview of the predicted clean latents. */
  private async preview(
    image: number,
    sample: Tensor,
    model: Tensor,
    step: Step,
  ): Promise<ImageData> {
    const { size } = this.options;
    const clean = this.model.runtime.scope(() =>
      this.model.combine(size, [
        [sample, step.denoised.sample],
        [model, step.denoised.model],
      ]),
    );
    const [, , height, width] = this.model.latentShape(size);
    const predicted = await this.model.readAndDispose(clean);
    const [kept, mask] = [this.pictures?.clean(image), this.pictures?.mask];
    const latents =
      kept !== undefined && mask !== undefined ? mixByMask(kept, predicted, mask) : predicted;
    return previewImage(this.model.manifest.preview, latents, width, height);
  }

  /** Predict the noise of the current latents; the caller disposes of it. */
  private async predict(
    { sample, constants }: DenoiseState,
    step: Step,
    index: number,
    texts: GuidedText,
  ): Promise<Tensor> {
    const { size } = this.options;
    const makeInput = (): Tensor =>
      step.inputScale === 1 ? sample : this.model.combine(size, [[sample, step.inputScale]]);
    const moment = { timestep: step.timestep, index, count: this.run.steps.length };
    return this.predictor.predict(makeInput, moment, constants, texts);
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

  private upload(latents: Float32Array): Tensor {
    const shape = [...this.model.latentShape(this.options.size)];
    return this.model.runtime.scope(() => this.model.runtime.tensor(latents, shape));
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
