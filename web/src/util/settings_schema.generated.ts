/**
 * Settings of inference: their types, what their values may be, and their defaults.
 * Generated from wsd/spec/inference_settings.py: python -m tools.generate_types
 */

/** How latents become a picture. */
export interface DecodeSettings {
  /** Type of what the VAE's decoder gives; its compiled function fixes it. Pixels are bytes. */
  outputDtype?: "float32" | "int32" | undefined;
  tiling?: TilingSettings | undefined;
}

/** How a diffusion model draws, and in how much memory. */
export interface DiffusionSettings {
  scheduler?: SchedulerSettings | undefined;
  latent?: LatentSettings | undefined;
  textEncoder?: TextEncoderSettings | undefined;
  decode?: DecodeSettings | undefined;
  swapper?: SwapperSettings | undefined;
  quantization?: QuantizationSettings | undefined;
}

/** The latents of one picture; with width and height, the picture's size. */
export interface LatentSettings {
  /** Width in pixels of the latents: that of the picture divided by the VAE's factor. */
  width?: number | undefined;
  /** Height in pixels of the latents. */
  height?: number | undefined;
  /** Channels; the model fixes them. */
  channels?: number | undefined;
  /** Type of the values; the compiled functions fix it. */
  dtype?: "float32" | "int32" | undefined;
}

/** How the bundle stores weights; `wsd build --dtype` decides it. */
export interface QuantizationSettings {
  /** Precision of the weights. */
  weightDtype?: "f32" | "f16" | "w8a16" | "w4a16" | undefined;
  /** Where packed weights become float32. */
  dequantize?: "none" | "kernel" | undefined;
}

/** How the latents are denoised. */
export interface SchedulerSettings {
  /** Name of the scheduler, one of those that the manifest lists. */
  type?: string | undefined;
  /** Denoising steps; how many a scheduler takes is in the manifest. */
  numSteps?: number | undefined;
  /** Scale of classifier-free guidance; up to 1 there is none. */
  guidanceScale?: number | undefined;
  /** Share of DDPM's noise that DDIM and TCD add at each step. */
  eta?: number | undefined;
}

/** Which stages leave the GPU while others run. */
export interface SwapperSettings {
  /** Whether any do. */
  enabled?: boolean | undefined;
  /**
   * When: with `sequential`, the parameters of the stages in `evict` are on the GPU only while
   * their stage runs, and are read again for the next picture.
   */
  strategy?: "sequential" | undefined;
  /** Which stages are evicted; the others stay on the GPU from their first use on. */
  evict?:
    ("text_encoder" | "vae_encoder" | "denoiser" | "vae_decoder" | "safety_checker")[] | undefined;
}

/** How prompts are read. */
export interface TextEncoderSettings {
  /** Tokens of the text that the first text encoder takes; its compiled function fixes them. */
  maxLength?: number | undefined;
}

/** How pictures are decoded, and given ones encoded, in overlapping tiles. */
export interface TilingSettings {
  /**
   * Whether pictures that are larger than a tile are; those that the GPU has no buffers for are in
   * any case.
   */
  enabled?: boolean | undefined;
  /** Edge of a tile in pixels of the picture: one of those that the bundle has functions for. */
  tileSize?: number | undefined;
  /**
   * Least share of its edge that a tile has in common with the next one, as diffusers'
   * `tile_overlap_factor`.
   */
  overlap?: number | undefined;
}

export const SETTINGS_ROOT = "inference.diffusion";
export const STAGES = [
  "text_encoder",
  "vae_encoder",
  "denoiser",
  "vae_decoder",
  "safety_checker",
] as const;
export const SETTINGS_SCHEMA = {
  additionalProperties: false,
  properties: {
    scheduler: {
      additionalProperties: false,
      properties: {
        type: { type: "string" },
        numSteps: { exclusiveMinimum: 0, type: "integer" },
        guidanceScale: { maximum: 50, minimum: 0, type: "number" },
        eta: { maximum: 1, minimum: 0, type: "number" },
      },
      type: "object",
    },
    latent: {
      additionalProperties: false,
      properties: {
        width: { exclusiveMinimum: 0, type: "integer" },
        height: { exclusiveMinimum: 0, type: "integer" },
        channels: { exclusiveMinimum: 0, type: "integer" },
        dtype: { enum: ["float32", "int32"] },
      },
      type: "object",
    },
    textEncoder: {
      additionalProperties: false,
      properties: { maxLength: { exclusiveMinimum: 0, type: "integer" } },
      type: "object",
    },
    decode: {
      additionalProperties: false,
      properties: {
        outputDtype: { enum: ["float32", "int32"] },
        tiling: {
          additionalProperties: false,
          properties: {
            enabled: { type: "boolean" },
            tileSize: { exclusiveMinimum: 0, type: "integer" },
            overlap: { maximum: 0.5, minimum: 0, type: "number" },
          },
          type: "object",
        },
      },
      type: "object",
    },
    swapper: {
      additionalProperties: false,
      properties: {
        enabled: { type: "boolean" },
        strategy: { enum: ["sequential"] },
        evict: {
          items: {
            enum: ["text_encoder", "vae_encoder", "denoiser", "vae_decoder", "safety_checker"],
          },
          type: "array",
          uniqueItems: true,
        },
      },
      type: "object",
    },
    quantization: {
      additionalProperties: false,
      properties: {
        weightDtype: { enum: ["f32", "f16", "w8a16", "w4a16"] },
        dequantize: { enum: ["none", "kernel"] },
      },
      type: "object",
    },
  },
  type: "object",
} as const;
export const DEFAULT_SETTINGS = {
  decode: { tiling: { enabled: false, overlap: 0.25 } },
  swapper: { enabled: false, strategy: "sequential" },
} as const;
