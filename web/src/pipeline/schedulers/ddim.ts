/** DDIM (Song et al. 2021, eqs. 12 and 16), as diffusers' `DDIMScheduler` runs it. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { cleanFrom, levelOf, noiseFrom, noiseLevel, spacedTimesteps } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Lay out one run; `eta` 0 draws no noise, 1 is DDPM's variance. */
export function ddim(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, eta, begin }: RunOptions,
): Run {
  const stride = Math.floor(schedule.num_train_timesteps / count);
  const alphas = schedule.alphas_cumprod;
  const steps = spacedTimesteps(schedule, config, count).map((timestep): Step => {
    // With trailing spacing rounding may add a step at timestep -1: to numpy it is the last one.
    const product = alphas.at(timestep)!;
    const before = timestep - stride;
    const previous = before >= 0 ? alphas[before]! : config.final_alpha_cumprod;
    const level = levelOf(product);
    const clean = cleanFrom(schedule.prediction_type, level);
    const noise = noiseFrom(schedule.prediction_type, level);
    const variance = ((1 - previous) / (1 - product)) * (1 - product / previous);
    const deviation = eta * Math.sqrt(variance);
    const direction = Math.sqrt(1 - previous - deviation ** 2);
    const signal = Math.sqrt(previous);
    return {
      timestep,
      level: noiseLevel(level),
      inputScale: 1,
      next: {
        sample: signal * clean.sample + direction * noise.sample,
        model: signal * clean.model + direction * noise.model,
        history: [],
        ...(eta > 0 ? { noise: deviation } : {}),
      },
      denoised: clean,
    };
  });
  return { initNoiseSigma: 1, steps: steps.slice(begin) };
}
