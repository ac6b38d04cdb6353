/** The UNet's prediction with classifier-free guidance, by one call or by two. */

import type { Size } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";

export interface GuidedText {
  conditional: NamedTensors;
  unconditional: NamedTensors | undefined;
}

export class NoisePredictor {
  /**
   * @param atOnce whether guidance takes one call of both predictions, which is faster than
   *   two calls, and needs more memory.
   */
  constructor(
    private readonly model: Model,
    private readonly size: Size,
    private readonly guidanceScale: number,
    private readonly atOnce: boolean,
  ) {}

  /** What the UNet is given alike on every step: SDXL's sizes and crop. The caller disposes. */
  given(): NamedTensors {
    const { inputs } = this.model.entry("denoiser", this.size);
    const spec = inputs.find(({ name }) => name === "time_ids");
    if (spec === undefined) return {};
    const [width, height] = this.size;
    // Original size, top and left of the crop, target size.
    const ids = Float32Array.of(height, width, 0, 0, height, width);
    const { runtime } = this.model;
    return { time_ids: runtime.scope(() => runtime.tensor(ids, spec.shape)) };
  }

  /** Predict a step's noise. Call within a scope. */
  predict(
    latents: Tensor,
    timestep: number,
    given: NamedTensors,
    { conditional, unconditional }: GuidedText,
  ): Tensor {
    const { model } = this;
    const inputs = { latents, timestep: this.scalar(timestep), ...given };
    const predict = (text: NamedTensors): Tensor =>
      model.call(model.entry("denoiser", this.size), { ...inputs, ...text }).noise_prediction!;
    if (unconditional === undefined) return predict(conditional);
    if (!this.atOnce) return this.guide(predict(conditional), predict(unconditional));
    const negative = Object.entries(unconditional).map(([name, text]) => [
      `negative_${name}`,
      text,
    ]);
    const both = { ...conditional, ...(Object.fromEntries(negative) as NamedTensors) };
    const guidance_scale = this.scalar(this.guidanceScale);
    const entry = model.entry("guided_denoiser", this.size);
    return model.call(entry, { ...inputs, ...both, guidance_scale }).noise_prediction!;
  }

  /** Ho and Salimans 2022, eq. 6, in diffusers' parametrisation. */
  private guide(withText: Tensor, without: Tensor): Tensor {
    return this.model.combine(this.size, [
      [without, 1 - this.guidanceScale],
      [withText, this.guidanceScale],
    ]);
  }

  private scalar(value: number): Tensor {
    return this.model.runtime.tensor(Float32Array.of(value), [1]);
  }
}
