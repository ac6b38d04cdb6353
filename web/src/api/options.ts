/** The options of one picture, checked before anything is computed. */

import { OptionError } from "./errors";
import type { Manifest, Size } from "../bundle/manifest";
import { compiledSizes } from "../bundle/manifest";

/** diffusers' option names in camelCase; what is left out takes the model's default. */
export interface GenerateOptions {
  negativePrompt?: string;
  numInferenceSteps?: number;
  guidanceScale?: number;
  seed?: number;
  width?: number;
  height?: number;
  /** A name that the manifest lists. */
  scheduler?: string;
  /** DDIM's share of DDPM's noise, 0 to 1; other schedulers ignore it. */
  eta?: number;
  /** Pictures from one seed, as diffusers' num_images_per_prompt. */
  numImages?: number;
  /** Show the latents every so many steps; 0 or absent means never. */
  previewEvery?: number;
}

export interface GenerationRequest {
  /** Undefined where none was given, which for SDXL is not the empty text. */
  negativePrompt: string | undefined;
  steps: number;
  guidanceScale: number;
  seed: number;
  size: Size;
  scheduler: string;
  eta: number;
  images: number;
  previewEvery: number;
}

const MAX_IMAGES = 16;
const MAX_SEED = 2 ** 32 - 1;
const MAX_GUIDANCE = 50;

/** Fill in defaults and refuse what is out of range. */
export function resolveOptions(manifest: Manifest, options: GenerateOptions): GenerationRequest {
  const { defaults } = manifest;
  const steps = options.numInferenceSteps ?? defaults.steps;
  const guidanceScale = options.guidanceScale ?? defaults.guidance_scale;
  const seed = options.seed ?? 0;
  const size: Size = [options.width ?? defaults.size[0], options.height ?? defaults.size[1]];
  const scheduler = options.scheduler ?? manifest.scheduler.default;
  const config = manifest.scheduler.schedulers[scheduler];
  if (config === undefined) {
    throw new OptionError(
      `scheduler ${scheduler} is not known`,
      `schedulers of this model: ${Object.keys(manifest.scheduler.schedulers).join(", ")}`,
    );
  }
  requireInteger("numInferenceSteps", steps, 1, config.max_steps);
  requireInteger("seed", seed, 0, MAX_SEED);
  requireNumber("guidanceScale", guidanceScale, MAX_GUIDANCE);
  const eta = options.eta ?? 0;
  requireNumber("eta", eta, 1);
  const sizes = compiledSizes(manifest);
  if (!sizes.some(([width, height]) => width === size[0] && height === size[1])) {
    throw new OptionError(
      `size ${size.join("x")} was not compiled`,
      `sizes of this model: ${sizes.map((s) => s.join("x")).join(", ")}`,
    );
  }
  const { negativePrompt } = options;
  const images = options.numImages ?? 1;
  requireInteger("numImages", images, 1, MAX_IMAGES);
  const previewEvery = options.previewEvery ?? 0;
  requireInteger("previewEvery", previewEvery, 0, config.max_steps);
  return {
    negativePrompt,
    steps,
    guidanceScale,
    seed,
    size,
    scheduler,
    eta,
    images,
    previewEvery,
  };
}

function requireNumber(name: string, value: number, most: number): void {
  if (!(value >= 0 && value <= most)) {
    throw new OptionError(`${name} is ${value}`, `it must be a number from 0 to ${most}`);
  }
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new OptionError(
      `${name} is ${value}`,
      `it must be a whole number from ${least} to ${most}`,
    );
  }
}
