/** Predicts noise with classifier-free guidance, in one call of the denoiser or in two. */

import type { EntryPoint, Size } from "../bundle/manifest";
import { guidesAtOnce } from "../gpu/buffer_limits";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { BLOCK_SCALES, DEEP_FEATURES, GUIDANCE_EMBEDDING } from "../util/constants.generated";
import { runsWhole } from "./cache_interval";
import { embedGuidance } from "./guidance_embedding";
import type { GuidanceInterval } from "./guidance_interval";
import { isGuidedAt } from "./guidance_interval";
import type { TimeIds } from "./size_conditions";

/** Name of the constant that takes the place of `time_ids` without the prompt. */
const NEGATIVE_TIME_IDS = "negative_time_ids";
/** Name of the constant that takes the place of the blocks' scales where some are left out. */
const SKIPPING_SCALES = `skipping_${BLOCK_SCALES}`;
/** Name of the deep features without the prompt. */
const NEGATIVE_FEATURES = `negative_${DEEP_FEATURES}`;

/** What the denoiser is conditioned on, with the prompt and without it; both have as many chunks. */
export interface GuidedText {
  /** Chunks of the texts. */
  chunks: number;
  conditional: NamedTensors;
  /** Undefined where there is no guidance. */
  unconditional: NamedTensors | undefined;
}

/** How a request is guided. */
export interface Guidance {
  scale: number;
  /**
   * Whether guidance may take one call for both predictions, which is faster than two calls and needs
   * more memory. Two are needed where the predictions have different conditions, or one is looked at.
   */
  atOnce: boolean;
  /** How much the guided prediction is brought to the deviation of the prompt's, 0 to 1. */
  rescale: number;
  /** In which part of a run there is guidance; undefined for the whole run. */
  interval: GuidanceInterval | undefined;
  /** Every how many predictions the whole denoiser runs, and not its outermost layers alone. */
  cacheInterval: number;
  /** What the denoiser is told of sizes; it has no effect on one that takes none. */
  timeIds: TimeIds;
  /** Guidance away from what is predicted without some blocks; undefined for none. */
  skipLayers: SkippedLayers | undefined;
}

/** Skip-layer guidance, as diffusers' `StableDiffusion3Pipeline` has it. */
export interface SkippedLayers {
  /** Blocks that are left out, counted from 0. */
  layers: readonly number[];
  /** How much of the difference that they make is added to the guided prediction. */
  scale: number;
  /** It guides the predictions whose index is above the one and below the other. */
  after: number;
  before: number;
}

/** One prediction of a run. */
export interface Moment {
  /** The training timestep. */
  timestep: number;
  /** Index of the prediction in the run: some schedulers take two in a step. */
  index: number;
  /** How many predictions the run has. */
  count: number;
}

/** Calls the denoiser for the steps of one request. */
export class NoisePredictor {
  /** The function of the last call, whose workspace is kept for the next one. */
  private last: EntryPoint | undefined;
  /** Deep features of the last call of a whole denoiser, by the names of those that take them. */
  private features: NamedTensors = {};

  constructor(
    private readonly model: Model,
    private readonly size: Size,
    private readonly guidance: Guidance,
  ) {}

  /**
   * Make the inputs that are the same in every step: for SDXL the sizes and the crop, for a
   * denoiser that guides itself the embedded guidance scale. The caller disposes of them.
   *
   * @param given values of other inputs by their names.
   */
  makeConstants(given: Record<string, Float32Array> = {}): NamedTensors {
    const { inputs } = this.model.entry("denoiser", this.size);
    const { scale, timeIds, skipLayers } = this.guidance;
    const values: Record<string, (length: number) => Float32Array> = {
      time_ids: () => timeIds.positive,
      [GUIDANCE_EMBEDDING]: (length) => embedGuidance(scale, length),
      [BLOCK_SCALES]: (length) => new Float32Array(length).fill(1),
    };
    const { runtime } = this.model;
    const made: [string, Tensor][] = [];
    // One that fails takes those before it away.
    runtime.scope(() => {
      for (const { name, shape } of inputs) {
        const value = given[name] ?? values[name]?.(shape[1]!);
        if (value !== undefined) made.push([name, runtime.tensor(value, shape)]);
        if (name === "time_ids" && timeIds.negative !== undefined)
          made.push([NEGATIVE_TIME_IDS, runtime.tensor(timeIds.negative, shape)]);
        if (name === BLOCK_SCALES && skipLayers !== undefined) {
          const scales = new Float32Array(shape[1]!).fill(1);
          for (const layer of skipLayers.layers) scales[layer] = 0;
          made.push([SKIPPING_SCALES, runtime.tensor(scales, shape)]);
        }
      }
      for (const [, tensor] of made) runtime.keep(tensor);
      return undefined;
    });
    return Object.fromEntries(made);
  }

  /**
   * Predict one step's noise.
   *
   * @param makeLatents makes (1, channels, height / factor, width / factor), scaled for the denoiser;
   *   it is called within a scope.
   * @returns a prediction of the same shape; the caller disposes of it.
   */
  async predict(
    makeLatents: () => Tensor,
    moment: Moment,
    constants: NamedTensors,
    text: GuidedText,
  ): Promise<Tensor> {
    const { model } = this;
    const { rescale, interval, cacheInterval } = this.guidance;
    const { index, count } = moment;
    const guides = text.unconditional !== undefined;
    const isGuided = guides && isGuidedAt(interval, index, count);
    const atOnce = isGuided && this.guidesAtOnce(text.chunks);
    const whole = model.denoiser(this.size, text.chunks, atOnce);
    await this.switchTo(whole);
    const isWhole = runsWhole(cacheInterval, guides ? interval : null, index, count);
    // The next features take the memory of these.
    if (isWhole) this.forget();
    const entry = isWhole ? whole : model.shallowDenoiser(this.size, text.chunks, atOnce);
    if (!isGuided || atOnce) {
      const read = atOnce ? text : { ...text, unconditional: undefined };
      return model.runtime.scope(() =>
        this.predictOnce(entry, makeLatents(), moment.timestep, constants, read),
      );
    }
    const { guided, prompted } = model.kept(() =>
      this.predictTwice(entry, makeLatents(), moment, constants, text),
    );
    if (rescale === 0) {
      prompted!.dispose();
      return guided!;
    }
    try {
      const factor = rescaleFactor(
        new Float32Array(await model.runtime.read(prompted!)),
        new Float32Array(await model.runtime.read(guided!)),
        rescale,
      );
      return model.runtime.scope(() => model.combine(this.size, [[guided!, factor]]));
    } finally {
      guided!.dispose();
      prompted!.dispose();
    }
  }

  /** Free the deep features, when a picture is drawn or cannot be. */
  forget(): void {
    for (const tensor of Object.values(this.features)) tensor.dispose();
    this.features = {};
  }

  /**
   * Free the workspace of the last call's function if another one follows, so that the GPU does not hold
   * both: prompts of other numbers of chunks, and steps inside and outside of an interval, take others.
   * The outermost layers of a denoiser run in turn with the whole of it, and both keep theirs.
   */
  private async switchTo(entry: EntryPoint): Promise<void> {
    const { last, model } = this;
    this.last = entry;
    if (last === undefined || last === entry) return;
    await model.runtime.sync();
    model.runtime.releaseWorkspace();
  }

  /** Whether both predictions for a prompt of so many chunks take one call. */
  private guidesAtOnce(chunks: number): boolean {
    const { manifest, limits } = this.model;
    return this.guidance.atOnce && guidesAtOnce(manifest, this.size, limits, chunks);
  }

  /** Predict in one call, without guidance or with it. Call within a scope. */
  private predictOnce(
    entry: EntryPoint,
    latents: Tensor,
    timestep: number,
    constants: NamedTensors,
    { conditional, unconditional }: Pick<GuidedText, "conditional" | "unconditional">,
  ): Tensor {
    const inputs = { latents, timestep: this.makeScalar(timestep), ...constants };
    if (unconditional === undefined) return this.call(entry, { ...inputs, ...conditional });
    const negative = Object.entries(unconditional).map(([name, text]) => [
      `negative_${name}`,
      text,
    ]);
    const both = { ...conditional, ...(Object.fromEntries(negative) as NamedTensors) };
    const guidance_scale = this.makeScalar(this.guidance.scale);
    return this.call(entry, { ...inputs, ...both, guidance_scale });
  }

  /**
   * Predict with the prompt and without it, and in some steps without some blocks, and guide. Call
   * within a scope.
   */
  private predictTwice(
    entry: EntryPoint,
    latents: Tensor,
    { timestep, index }: Moment,
    constants: NamedTensors,
    { conditional, unconditional }: GuidedText,
  ): { guided: Tensor; prompted: Tensor } {
    const {
      [NEGATIVE_TIME_IDS]: negativeTimeIds,
      [SKIPPING_SCALES]: skippingScales,
      ...shared
    } = constants;
    const inputs = { latents, timestep: this.makeScalar(timestep), ...shared };
    const prompted = this.call(entry, { ...inputs, ...conditional });
    const sizes = negativeTimeIds === undefined ? {} : { time_ids: negativeTimeIds };
    const without = this.call(entry, { ...inputs, ...sizes, ...unconditional }, true);
    const { skipLayers } = this.guidance;
    if (
      skipLayers === undefined ||
      skippingScales === undefined ||
      !(index > skipLayers.after && index < skipLayers.before)
    ) {
      return { guided: this.guide(prompted, without), prompted };
    }
    const scales = { [BLOCK_SCALES]: skippingScales };
    const skipped = this.call(entry, { ...inputs, ...conditional, ...scales });
    return { guided: this.guide(prompted, without, [skipped, skipLayers.scale]), prompted };
  }

  /**
   * Call a denoiser, and keep or give it deep features. Call within a scope.
   *
   * @param isNegative whether it predicts without the prompt alone.
   */
  private call(entry: EntryPoint, inputs: NamedTensors, isNegative = false): Tensor {
    const { model, features } = this;
    const negative = features[NEGATIVE_FEATURES];
    const given = isNegative && negative !== undefined ? { [DEEP_FEATURES]: negative } : features;
    const { noise_prediction, ...others } = model.call(entry, { ...inputs, ...given });
    if (this.guidance.cacheInterval > 1) {
      for (const [name, tensor] of Object.entries(others)) {
        features[isNegative ? NEGATIVE_FEATURES : name] = model.runtime.keep(tensor);
      }
    }
    return noise_prediction!;
  }

  /**
   * Combine two predictions: Ho and Salimans 2022, eq. 6, in diffusers' parametrisation.
   *
   * @param skipped the prediction with the prompt and without some blocks, and how much of the
   *   difference to the one with all of them is added.
   */
  private guide(withPrompt: Tensor, withoutPrompt: Tensor, skipped?: [Tensor, number]): Tensor {
    const { scale } = this.guidance;
    const [tensor, skipScale = 0] = skipped ?? [];
    return this.model.combine(this.size, [
      [withoutPrompt, 1 - scale],
      [withPrompt, scale + skipScale],
      ...(tensor === undefined ? [] : [[tensor, -skipScale] satisfies [Tensor, number]]),
    ]);
  }

  private makeScalar(value: number): Tensor {
    return this.model.runtime.tensor(Float32Array.of(value), [1]);
  }
}

/**
 * Return by what a guided prediction is multiplied: diffusers' `rescale_noise_cfg` (Lin et al. 2023,
 * "Common diffusion noise schedules and sample steps are flawed", eqs. 15 and 16).
 *
 * @param prompted the prediction with the prompt.
 * @param rescale how much of the change is taken, 0 to 1.
 */
export function rescaleFactor(
  prompted: Float32Array,
  guided: Float32Array,
  rescale: number,
): number {
  return (rescale * deviation(prompted)) / deviation(guided) + 1 - rescale;
}

function deviation(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}
