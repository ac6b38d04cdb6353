/**
 * Embeds the guidance scale for denoisers that take it as an input. They need no second prediction
 * (Meng et al. 2023, "On distillation of guided diffusion models"). The numbers are those of
 * diffusers' `get_guidance_scale_embedding`. Pure functions.
 */

import type { Manifest, Size } from "../bundle/manifest";
import { findEntryPoint } from "../bundle/manifest";
import { GUIDANCE_EMBEDDING } from "../util/constants.generated";

/** The scale is embedded as a timestep of a thousand training steps would be. */
const TRAINING_STEPS = 1000;
/** Longest period of the sines. */
const LONGEST_PERIOD = 10000;

/** Whether a model's denoiser takes the guidance scale as an input, and guides itself. */
export function guidesItself(manifest: Manifest, size: Size): boolean {
  const { inputs } = findEntryPoint(manifest, "denoiser", size);
  return inputs.some(({ name }) => name === GUIDANCE_EMBEDDING);
}

/**
 * Embed a guidance scale. Every operation is rounded to float32, as in PyTorch: phases reach
 * thousands, and the sine of one that was rounded differently would be another number.
 *
 * @param guidanceScale diffusers' guidance scale, of which it embeds the part above 1.
 * @param width values of the embedding, at least 4.
 * @returns sines, then cosines, of frequencies from 1 down to 1 / 10000; 0 fills an odd width.
 */
export function embedGuidance(guidanceScale: number, width: number): Float32Array {
  const { exp, fround, log } = Math;
  const half = Math.floor(width / 2);
  const scale = fround(fround(guidanceScale - 1) * TRAINING_STEPS);
  const decay = fround(fround(log(LONGEST_PERIOD)) / (half - 1));
  const embedding = new Float32Array(width);
  for (let index = 0; index < half; index++) {
    const phase = fround(scale * fround(exp(-fround(index * decay))));
    embedding[index] = Math.sin(phase);
    embedding[half + index] = Math.cos(phase);
  }
  return embedding;
}
