/** The options of one request, by diffusers' names in camelCase. */

import type { Seed } from "../settings/seed";

/** What is left out takes the model's default. */
export interface GenerateOptions {
  /** What the picture should not show; has an effect with a guidance scale above 1. */
  negativePrompt?: string;
  /** Denoising steps, from 1 to what the scheduler takes at most. */
  numInferenceSteps?: number;
  /** Scale of classifier-free guidance, 0 to 50; up to 1 there is no guidance. */
  guidanceScale?: number;
  /**
   * Seed of the noise, -(2 ** 63) to 2 ** 64 - 1, as of `torch.Generator().manual_seed`; a bigint
   * if it is not a safe integer.
   */
  seed?: Seed;
  /** Pixels; width and height must be a size that the model was compiled for. */
  width?: number;
  /** Pixels. */
  height?: number;
  /** A name that the manifest lists. */
  scheduler?: string;
  /** DDIM's share of DDPM's noise, 0 to 1; other schedulers ignore it. */
  eta?: number;
  /** How many pictures are drawn from one seed, 1 to 16; diffusers' num_images_per_prompt. */
  numImages?: number;
  /** Steps from one preview to the next; 0 unless given, which means no previews. */
  previewEvery?: number;
}
