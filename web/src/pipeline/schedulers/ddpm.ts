/** Ancestral sampling (Ho et al. 2020, eqs. 6 and 7), as diffusers' `DDPMScheduler` runs it. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { cleanFrom, levelOf, noiseLevel, spacedTimesteps } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** The least variance of a step, as in diffusers, which draws noise in the last step too. */
const LEAST_VARIANCE = 1e-20;

/** Lay out one run; every step draws noise, unless it is at timestep 0. */
export function ddpm(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const timesteps = spacedTimesteps(schedule, config, count);
  const steps = timesteps.map((timestep, i): Step => {
    const following = timesteps[i + 1];
    // With trailing spacing rounding may add a step at timestep -1: to numpy it is the last one.
    const product = schedule.alphas_cumprod.at(timestep)!;
    const ends = following === undefined || following < 0;
    const previous = ends ? 1 : schedule.alphas_cumprod[following]!;
    const alpha = product / previous;
    const level = levelOf(product);
    const clean = cleanFrom(schedule.prediction_type, level);
    const ofClean = (Math.sqrt(previous) * (1 - alpha)) / (1 - product);
    const ofSample = (Math.sqrt(alpha) * (1 - previous)) / (1 - product);
    return {
      timestep,
      level: noiseLevel(level),
      inputScale: 1,
      next: {
        sample: ofSample + ofClean * clean.sample,
        model: ofClean * clean.model,
        ...(timestep > 0 ? { noise: deviationOf(config, product, previous) } : {}),
      },
      denoised: clean,
    };
  });
  return { initNoiseSigma: 1, steps: steps.slice(begin) };
}

function deviationOf(config: SchedulerConfig, product: number, previous: number): number {
  const beta = 1 - product / previous;
  const small = Math.max(((1 - previous) / (1 - product)) * beta, LEAST_VARIANCE);
  return Math.sqrt(config.variance_type === "fixed_large" ? beta : small);
}
