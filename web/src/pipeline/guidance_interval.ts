/**
 * The interval of guidance: in which part of a run classifier-free guidance has an effect.
 * Kynkäänniemi et al. 2024, "Applying guidance in a limited interval improves sample and distribution
 * quality in diffusion models". Pure functions.
 */

import type { GenerateOptions } from "../api/options";
import type { Manifest, Size } from "../bundle/manifest";
import { OptionError } from "../util/errors";
import { guidesItself } from "./guidance_embedding";

/** Shares of a run's predictions: guidance begins with `start`, and ends before `stop`. */
export interface GuidanceInterval {
  start: number;
  stop: number;
}

/**
 * Take the interval of a request's options.
 *
 * @returns undefined if it is the whole run.
 * @throws OptionError if it ends before it begins, or the model guides itself.
 */
export function resolveInterval(
  manifest: Manifest,
  size: Size,
  { guidanceStart: start = 0, guidanceStop: stop = 1 }: GenerateOptions,
): GuidanceInterval | undefined {
  if (start === 0 && stop === 1) return undefined;
  if (start >= 1 || start > stop) {
    throw new OptionError(
      `guidanceStart is ${start}, and guidanceStop is ${stop}`,
      "both are shares of the steps: the start is below 1, and not above the stop",
    );
  }
  if (guidesItself(manifest, size)) {
    throw new OptionError(
      `${manifest.model.name} guides itself, and takes no guidanceStart and guidanceStop`,
      "leave them out: its UNet makes one prediction a step at any guidance scale",
    );
  }
  return { start, stop };
}

/**
 * Whether a prediction is guided, rounded as diffusers' `ClassifierFreeGuidance` does. It counts the
 * steps of a run. They are its predictions but with schedulers that predict more often, of which it
 * would leave the last ones unguided without any interval.
 *
 * @param interval undefined for the whole run.
 * @param index of the prediction, from 0.
 * @param count how many predictions the run has.
 */
export function isGuidedAt(
  interval: GuidanceInterval | undefined,
  index: number,
  count: number,
): boolean {
  if (interval === undefined) return true;
  const { start, stop } = interval;
  return index >= Math.trunc(start * count) && index < Math.trunc(stop * count);
}
