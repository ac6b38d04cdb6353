/** One request with its defaults filled in, checked before anything is computed. */

import { OptionError } from "../api/errors";
import type { GenerateOptions } from "../api/options";
import type { Settings } from "../settings/infotext";
import type { Seed } from "../settings/seed";
import { isSeed } from "../settings/seed";
import type { Manifest, Size } from "../bundle/manifest";
import { compiledSizes } from "../bundle/manifest";
import {
  MAX_GUIDANCE,
  MAX_IMAGES,
  MAX_SEED,
  MIN_SEED,
  SCHEDULER_DEFAULTS,
} from "../util/constants.generated";

/** The options of one request, all of them set. */
export interface GenerationRequest {
  /** Undefined if none was given; for SDXL that differs from the empty text. */
  negativePrompt: string | undefined;
  steps: number;
  guidanceScale: number;
  seed: Seed;
  size: Size;
  scheduler: string;
  eta: number;
  images: number;
  previewEvery: number;
}

/**
 * Fill in a model's defaults.
 *
 * @throws OptionError if an option is out of range or names nothing.
 */
export function resolveOptions(manifest: Manifest, options: GenerateOptions): GenerationRequest {
  const { defaults } = manifest;
  const steps = options.numInferenceSteps ?? defaults.steps;
  const guidanceScale = options.guidanceScale ?? defaults.guidance_scale;
  const seed = options.seed ?? 0;
  const size: Size = [options.width ?? defaults.size[0], options.height ?? defaults.size[1]];
  const scheduler = options.scheduler ?? manifest.schedulers.default;
  const config = manifest.schedulers.available[scheduler];
  if (config === undefined) {
    throw new OptionError(
      `scheduler ${scheduler} is not known`,
      `schedulers of this model: ${Object.keys(manifest.schedulers.available).join(", ")}`,
    );
  }
  // Older manifests do not say how few steps a scheduler takes.
  const { min_steps, max_steps } = { ...SCHEDULER_DEFAULTS, ...config };
  requireInteger("numInferenceSteps", steps, min_steps, max_steps);
  requireSeed(seed);
  requireNumber("guidanceScale", guidanceScale, MAX_GUIDANCE);
  // Older manifests have no default for eta.
  const eta = options.eta ?? (defaults as Partial<typeof defaults>).eta ?? 0;
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

/** Return the settings that the request's pictures carry: all that is needed to draw them again. */
export function describeRequest(
  manifest: Manifest,
  prompt: string,
  request: GenerationRequest,
): Settings {
  const { negativePrompt, steps, scheduler, guidanceScale, seed, eta, size, images } = request;
  const [width, height] = size;
  const numbers = { steps, guidanceScale, seed, width, height, eta, numImages: images };
  return { prompt, negativePrompt, scheduler, model: manifest.model.name, ...numbers };
}

function requireNumber(name: string, value: number, most: number): void {
  if (!(value >= 0 && value <= most)) {
    throw new OptionError(`${name} is ${value}`, `it must be a number from 0 to ${most}`);
  }
}

function requireSeed(seed: Seed): void {
  // A caller in JavaScript may give anything.
  if (typeof seed !== "bigint" && Number.isInteger(seed) && !Number.isSafeInteger(seed)) {
    throw new OptionError(
      `seed is ${seed}, which a number may have rounded`,
      "give a seed beyond 2 ** 53 - 1 as a bigint, for example 18446744073709551615n",
    );
  }
  if (typeof seed === "bigint" ? !isSeed(seed) : !Number.isInteger(seed)) {
    throw new OptionError(
      `seed is ${String(seed)}`,
      `it must be a whole number from ${MIN_SEED.toString()} to ${MAX_SEED.toString()}`,
    );
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
