/** The options of one request, by diffusers' names in camelCase. */

import type { Seed } from "../settings/seed";
import type { SCHEDULERS } from "../util/constants.generated";
import type { DiffusersScheduler } from "../settings/sampler_names";

/** A name that the manifest may list, or a class of diffusers. */
export type Scheduler = (typeof SCHEDULERS)[number] | DiffusersScheduler | (string & {});

/** What is given in place of a text: one text, or one for each picture of a batch. */
export type Prompt = string | readonly string[];

/**
 * What the text encoders make of prompts: float32, flat. The first axis is the prompt. The other
 * axes have the lengths of the last text encoder's outputs in the manifest: (prompts, tokens,
 * features) for `text_embeddings`, (prompts, features) for `pooled_text`.
 *
 * @example
 * ```ts
 * const embeddings = await pipe.encodePrompt("a star", { negativePrompt: "blue" });
 * await pipe.generate(null, { ...embeddings, seed: 7 }); // as generate("a star", …) draws it
 * ```
 */
export interface PromptEmbeddings {
  /** In place of the prompt, which must then be null. */
  promptEmbeds?: Float32Array | undefined;
  /** In place of the negative prompt. */
  negativePromptEmbeds?: Float32Array | undefined;
  /** Goes with `promptEmbeds` for SDXL; other models have none. */
  pooledPromptEmbeds?: Float32Array | undefined;
  /** Goes with `negativePromptEmbeds` for SDXL. */
  negativePooledPromptEmbeds?: Float32Array | undefined;
}

/** What is left out, or undefined, takes the model's default. */
export interface GenerateOptions extends PromptEmbeddings {
  /**
   * What the picture should not show; has an effect with a guidance scale above 1. A list has one
   * for each prompt.
   */
  negativePrompt?: Prompt | undefined;
  /** Denoising steps, from 1 to what the scheduler takes at most. */
  numInferenceSteps?: number | undefined;
  /** Scale of classifier-free guidance, 0 to 50; up to 1 there is no guidance. */
  guidanceScale?: number | undefined;
  /**
   * Seed of the noise, -(2 ** 63) to 2 ** 64 - 1, as of `torch.Generator().manual_seed`; a bigint
   * if it is not a safe integer. Without it, each call takes a random one of 32 bits; the result's
   * `settings` say which.
   */
  seed?: Seed | undefined;
  /** Pixels; width and height must be a size that the model was compiled for. */
  width?: number | undefined;
  /** Pixels. */
  height?: number | undefined;
  /** A name that the manifest lists, or a class of diffusers, which stands for one of them. */
  scheduler?: Scheduler | undefined;
  /** DDIM's share of DDPM's noise, 0 to 1; other schedulers ignore it. */
  eta?: number | undefined;
  /**
   * How many pictures are drawn of each prompt; diffusers' num_images_per_prompt. One seed draws
   * them all, and a call draws 1 to 16 in all.
   */
  numImages?: number | undefined;
  /**
   * Draws only this picture of all that the call would draw, counted from 0: the same picture as
   * among the others.
   */
  imageIndex?: number | undefined;
  /**
   * Initial noise in place of the seed's: float32, (pictures, channels, height / factor, width /
   * factor), flat. As in diffusers, the scheduler scales it.
   */
  latents?: Float32Array | undefined;
  /** Steps from one preview to the next; 0 unless given, which means no previews. */
  previewEvery?: number | undefined;
}

/** The forms that pictures are given in. */
export interface OutputTypes {
  /** Pixels. */
  imageData: ImageData;
  /** A PNG file that carries its settings. */
  blob: Blob;
  /** Can be put on a canvas in one call; `close()` frees it. */
  imageBitmap: ImageBitmap;
}

/** A form that pictures are given in. */
export type OutputName = keyof OutputTypes;
