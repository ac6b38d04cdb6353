/** The options of one request, by diffusers' names in camelCase. */

import type {
  ConditionSize,
  CropCorner,
  Fit,
  MaskedContent,
  Outpaint,
  PromptSyntax,
  SizeConditions,
  Upscale,
} from "../settings/found_settings";
import type { Seed } from "../settings/seed";
import type { SCHEDULERS } from "../util/constants.generated";
import type { DiffusersScheduler } from "../settings/sampler_names";
import type { DiffusionSettings } from "../util/settings_schema.generated";

export type {
  ConditionSize,
  CropCorner,
  Fit,
  MaskedContent,
  Outpaint,
  PromptSyntax,
  SizeConditions,
  Upscale,
};

/** A name that the manifest may list, or a class of diffusers. */
export type Scheduler = (typeof SCHEDULERS)[number] | DiffusersScheduler | (string & {});

/** What is given in place of a text: one text, or one for each picture of a batch. */
export type Prompt = string | readonly string[];

/** How prompts are read, and those of the further text encoders. */
export interface PromptOptions {
  /**
   * `plain` unless given, which reads 75 tokens and cuts the rest, as diffusers does. With `a1111` a
   * prompt may be longer (`countTokens` says how long), and begins a new chunk at `BREAK`. What the web
   * UI does with prompts besides is refused by name.
   */
  promptSyntax?: PromptSyntax | undefined;
  /**
   * How many of the text encoders' last layers are left out, diffusers' `clip_skip`; 0 unless given.
   * The web UI's "Clip skip" is a number more. Negative prompts are read by all layers, as diffusers
   * does, unless the syntax is `a1111`.
   */
  clipSkip?: number | undefined;
  /**
   * What the second text encoder of SDXL and of Stable Diffusion 3.5 reads, one text or one for each prompt; the prompt unless
   * given, or empty.
   */
  prompt2?: Prompt | undefined;
  /** The same of the negative prompt, with which it goes. */
  negativePrompt2?: Prompt | undefined;
  /**
   * What the third text encoder reads, T5 of Stable Diffusion 3.5, one text or one for each prompt; the
   * prompt unless given, or empty. It is refused where the model is loaded without T5.
   */
  prompt3?: Prompt | undefined;
  /** The same of the negative prompt. */
  negativePrompt3?: Prompt | undefined;
}

/**
 * What the text encoders make of prompts: float32, flat. The first axis is the prompt. The other
 * axes have the lengths of the last text encoder's outputs in the manifest: (prompts, tokens,
 * features) for `text_embeddings`, (prompts, features) for `pooled_text`. Of long prompts there are
 * `promptChunks` times as many tokens.
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
  /** How many chunks each prompt's embeddings are of; 1 unless given. */
  promptChunks?: number | undefined;
}

/** The options by which tensors are given in place of texts. */
export type GivenEmbeddings = Omit<PromptEmbeddings, "promptChunks">;

/**
 * A picture that is given: a file, pixels, or what a page has drawn or loaded. It is turned upright
 * as its EXIF orientation says, and its colours are brought to sRGB. Of a file, a picture that is
 * animated or stored as CMYK is refused.
 */
export type ImageInput =
  | Blob
  | ImageData
  | ImageBitmap
  | PageElement<"HTMLCanvasElement">
  | OffscreenCanvas
  | PageElement<"HTMLImageElement">;

/** What a class of the page's elements makes; never where there is no page, as in a worker. */
export type PageElement<Name extends string> =
  typeof globalThis extends Record<Name, { prototype: infer Made }> ? Made : never;

/** How latents are taken from what the encoder says of a picture: a random sample, or the mean. */
export type Posterior = "mode" | "sample";

/**
 * A second pass, known as hires fix: what was drawn is enlarged, and the last steps are run again at
 * the larger size.
 */
export interface SecondPass {
  /** How many times larger each side becomes; 2 unless given. */
  scale?: number | undefined;
  /** The size in pixels, in place of `scale`; it must be one that the model was compiled for. */
  width?: number | undefined;
  /** Goes with `width`. */
  height?: number | undefined;
  /** How much is drawn anew, above 0 and up to 1; 0.7 unless given. */
  strength?: number | undefined;
  /** Steps that the second pass runs; as many as the first one unless given. */
  steps?: number | undefined;
  /** What is enlarged; `latent` unless given, which needs a strength of 0.5 or more to be sharp. */
  upscale?: Upscale | undefined;
}

/** A picture to draw from, and how. */
export interface PictureOptions {
  /**
   * The picture that drawing begins with. Without width and height, they are those nearest to it of
   * all that the model was compiled for; where the GPU has no buffers for them, give a smaller size,
   * for example one of `preflight`'s `pictureSizes`.
   */
  image?: ImageInput | undefined;
  /**
   * Which part of the picture is drawn anew: what is white in the mask, or brighter than grey. It
   * has the picture's own size. Transparent pixels count as black.
   */
  mask?: ImageInput | undefined;
  /**
   * Share of the steps that are run, above 0 and up to 1: the fewer, the more of the picture is
   * left. 0.8 unless given, and 1 with a mask.
   */
  strength?: number | undefined;
  /**
   * How the picture is brought to the size that is drawn; `cover` unless given. It has no effect with
   * `onlyMasked`, whose part of the picture has the drawn size's shape as far as the picture reaches.
   */
  fit?: Fit | undefined;
  /**
   * Radius of the blur of the mask's edge, in pixels of the picture; 0 unless given. A blurred edge
   * reaches a little beyond what is white.
   */
  maskBlur?: number | undefined;
  /**
   * What drawing begins with where the mask is white; `original` unless given. With a strength of 1
   * it is noise in any case, as in diffusers.
   */
  maskedContent?: MaskedContent | undefined;
  /**
   * Draws only the part of the picture around the mask, at the full size of the model, and puts it
   * back into the picture, which keeps its own size. False unless given.
   */
  onlyMasked?: boolean | undefined;
  /** With `onlyMasked`: pixels of the picture around the mask that are drawn too; 32 unless given. */
  onlyMaskedPadding?: number | undefined;
  /**
   * Puts the picture back where the mask is black, to the byte; where the mask is grey or blurred,
   * the two are mixed. False unless given.
   */
  keepUnmasked?: boolean | undefined;
  /** Pixels that are added at the sides of the picture and drawn anew, as if they were masked. */
  outpaint?: Outpaint | undefined;
}

/** What is left out, or undefined, takes the model's default. */
export interface GenerateOptions
  extends PromptEmbeddings, PictureOptions, PromptOptions, SizeConditions {
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
   * How much the guided prediction is brought back to the deviation of the prompt's, 0 to 1, against
   * overexposure (Lin et al. 2023, section 3.4); 0 unless given. It takes two calls of the UNet a step.
   */
  guidanceRescale?: number | undefined;
  /**
   * Share of the steps after which guidance begins, from 0 to below 1; 0 unless given. In the other
   * steps the model predicts with the prompt alone, which takes about half of the operations
   * (Kynkäänniemi et al. 2024). It has an effect with a guidance scale above 1. A model that guides
   * itself refuses it.
   */
  guidanceStart?: number | undefined;
  /** Share of the steps after which guidance ends, from the start up to 1; 1 unless given. */
  guidanceStop?: number | undefined;
  /**
   * Every how many predictions the whole UNet runs (`cache_interval` of the package DeepCache; Ma, Fang
   * and Wang 2023), a whole number from 1 on; 1 unless given, which is always. In the others its
   * outermost layers run alone, with features that the last whole run left. For models for which
   * `hasDeepCache(manifest)` is true.
   */
  cacheInterval?: number | undefined;
  /**
   * Blocks of the transformer that are left out for skip-layer guidance, counted from 0: whole numbers
   * below `guidanceLayers(manifest)`, for Stable Diffusion 3.5 Medium 7, 8 and 9. What the transformer
   * predicts with the prompt and without them, guidance leads away from. It has an effect with a
   * guidance scale above 1 and inside of guidance's interval, and takes two or three calls of the
   * transformer a step. Not with `image`; a second pass has none.
   */
  skipGuidanceLayers?: readonly number[] | undefined;
  /** How strongly it leads away, 0 to 50; 2.8 unless given. */
  skipLayerGuidanceScale?: number | undefined;
  /** Share of the steps after which that begins, 0 to 1; 0.01 unless given. */
  skipLayerGuidanceStart?: number | undefined;
  /** Share of the steps before which that ends, above the start and up to 1; 0.2 unless given. */
  skipLayerGuidanceStop?: number | undefined;
  /**
   * Seed of the noise, -(2 ** 63) to 2 ** 64 - 1, as of `torch.Generator().manual_seed`; a bigint
   * if it is not a safe integer. Without it, each call takes a random one of 32 bits; the result's
   * `settings` say which.
   */
  seed?: Seed | undefined;
  /**
   * Seed of other noise, of which `variationStrength` mixes so much into that of the seed: pictures
   * that resemble each other, as AUTOMATIC1111's web UI makes them.
   */
  variationSeed?: Seed | undefined;
  /** 0 draws the seed's picture and 1 that of the variation's seed; goes with `variationSeed`. */
  variationStrength?: number | undefined;
  /** Draws the picture once more at a larger size, from what was drawn; not with `image`. */
  secondPass?: SecondPass | undefined;
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
  /**
   * Check the finished pictures: the result's `safety` says which are flagged. As the option of
   * `fromPretrained` says, unless given. The model needs a safety checker (`hasSafetyChecker`).
   */
  safetyChecker?: boolean | undefined;
  /**
   * Settings as one object: what is given here wins over the settings of `fromPretrained`, and the
   * other options of this call win over it. `settings()` shows what comes out.
   */
  settings?: DiffusionSettings | undefined;
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
