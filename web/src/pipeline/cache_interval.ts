/**
 * The cache interval: in which predictions the whole UNet runs, and in which its outermost layers alone.
 * Ma, Fang and Wang 2023, "DeepCache: accelerating diffusion models for free" (arXiv:2312.00858). Pure
 * functions.
 */

import type { GenerateOptions } from "../api/options";
import type { Manifest } from "../bundle/manifest";
import { hasDeepCache } from "../bundle/manifest";
import { OptionError } from "../util/errors";
import type { GuidanceInterval } from "./guidance_interval";
import { isGuidedAt } from "./guidance_interval";

/**
 * Take the cache interval of a request's options.
 *
 * @returns undefined if the whole UNet always runs.
 * @throws OptionError if the model keeps no deep features.
 */
export function resolveCacheInterval(
  manifest: Manifest,
  { cacheInterval = 1 }: GenerateOptions,
): number | undefined {
  if (cacheInterval === 1) return undefined;
  if (!hasDeepCache(manifest)) {
    throw new OptionError(
      `${manifest.model.name} was built without a deep cache, and takes no cacheInterval`,
      "build the bundle again with --deep-cache, which models with a UNet take, or leave it out",
    );
  }
  return cacheInterval;
}

/**
 * Whether a prediction runs the whole UNet. It does so every so many predictions, as in the package
 * DeepCache, which counts timesteps and does not tell two of one value apart. It also does where
 * guidance begins: no prediction without the prompt has left features before.
 *
 * @param cacheInterval every how many predictions.
 * @param guidance its interval, undefined for the whole run; null without guidance.
 * @param index of the prediction, from 0.
 * @param count how many predictions the run has.
 */
export function runsWhole(
  cacheInterval: number,
  guidance: GuidanceInterval | undefined | null,
  index: number,
  count: number,
): boolean {
  if (index % cacheInterval === 0) return true;
  if (guidance === null) return false;
  return isGuidedAt(guidance, index, count) && !isGuidedAt(guidance, index - 1, count);
}
