/** Predicts noise with classifier-free guidance, in one call of the denoiser or in two. */

import type { Size } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { embedGuidance, GUIDANCE_EMBEDDING } from "./guidance_embedding";

/** What the denoiser is conditioned on, with the prompt and without it. */
export interface GuidedText {
  conditional: NamedTensors;
  /** Undefined where there is no guidance. */
  unconditional: NamedTensors | undefined;
}

/** Calls the denoiser for the steps of one request. */
export class NoisePredictor {
  /**
   * @param atOnce whether guidance takes one call for both predictions, which is faster than
   *   two calls and needs more memory.
   */
  constructor(
    private readonly model: Model,
    private readonly size: Size,
    private readonly guidanceScale: number,
    private readonly atOnce: boolean,
  ) {}

  /**
   * Make the inputs that are the same in every step: for SDXL the sizes and the crop, for a
   * denoiser that guides itself the embedded guidance scale. The caller disposes of them.
   *
   * @param given values of other inputs by their names.
   */
  makeConstants(given: Record<string, Float32Array> = {}): NamedTensors {
    const { inputs } = this.model.entry("denoiser", this.size);
    const [width, height] = this.size;
    const values: Record<string, (length: number) => Float32Array> = {
      // Original size, top and left of the crop, target size.
      time_ids: () => Float32Array.of(height, width, 0, 0, height, width),
      [GUIDANCE_EMBEDDING]: (length) => embedGuidance(this.guidanceScale, length),
    };
    const { runtime } = this.model;
    const made: [string, Tensor][] = [];
    // One that fails takes those before it away.
    runtime.scope(() => {
      for (const { name, shape } of inputs) {
        const value = given[name] ?? values[name]?.(shape[1]!);
        if (value !== undefined) made.push([name, runtime.tensor(value, shape)]);
      }
      for (const [, tensor] of made) runtime.keep(tensor);
      return undefined;
    });
    return Object.fromEntries(made);
  }

  /**
   * Predict one step's noise. Call within a scope.
   *
   * @param latents (1, channels, height / factor, width / factor), scaled for the denoiser.
   * @param timestep the training timestep.
   * @returns a prediction of the same shape.
   */
  predict(
    latents: Tensor,
    timestep: number,
    constants: NamedTensors,
    { conditional, unconditional }: GuidedText,
  ): Tensor {
    const { model } = this;
    const inputs = { latents, timestep: this.makeScalar(timestep), ...constants };
    const predict = (text: NamedTensors): Tensor =>
      model.call(model.entry("denoiser", this.size), { ...inputs, ...text }).noise_prediction!;
    if (unconditional === undefined) return predict(conditional);
    if (!this.atOnce) return this.guide(predict(conditional), predict(unconditional));
    const negative = Object.entries(unconditional).map(([name, text]) => [
      `negative_${name}`,
      text,
    ]);
    const both = { ...conditional, ...(Object.fromEntries(negative) as NamedTensors) };
    const guidance_scale = this.makeScalar(this.guidanceScale);
    const entry = model.entry("guided_denoiser", this.size);
    return model.call(entry, { ...inputs, ...both, guidance_scale }).noise_prediction!;
  }

  /** Combine two predictions: Ho and Salimans 2022, eq. 6, in diffusers' parametrisation. */
  private guide(withPrompt: Tensor, withoutPrompt: Tensor): Tensor {
    return this.model.combine(this.size, [
      [withoutPrompt, 1 - this.guidanceScale],
      [withPrompt, this.guidanceScale],
    ]);
  }

  private makeScalar(value: number): Tensor {
    return this.model.runtime.tensor(Float32Array.of(value), [1]);
  }
}
