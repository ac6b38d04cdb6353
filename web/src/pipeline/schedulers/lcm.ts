/** Latent consistency sampling (Luo et al. 2023), as diffusers' `LCMScheduler` runs it. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { cleanFrom, levelOf, noiseLevel } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

const SIGMA_DATA = 0.5;

/** Lay out one run; all steps but the last draw noise. */
export function lcm(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const timesteps = distilledTimesteps(schedule, config, count);
  const steps = timesteps.map((timestep, i): Step => {
    const from = levelOf(schedule.alphas_cumprod[timestep]!);
    const clean = cleanFrom(schedule.prediction_type, from);
    const scaled = timestep * config.timestep_scaling;
    const skip = SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2);
    const out = scaled / Math.sqrt(scaled ** 2 + SIGMA_DATA ** 2);
    const denoised = { sample: out * clean.sample + skip, model: out * clean.model };
    const following = timesteps[i + 1];
    const level =
      following === undefined
        ? { alpha: 1, sigma: undefined }
        : levelOf(schedule.alphas_cumprod[following]!);
    return {
      timestep,
      level: noiseLevel(from),
      inputScale: 1,
      next: {
        sample: level.alpha * denoised.sample,
        model: level.alpha * denoised.model,
        ...(level.sigma === undefined ? {} : { noise: level.sigma }),
      },
      denoised: clean,
    };
  });
  return { initNoiseSigma: 1, steps: steps.slice(begin) };
}

/** Timesteps of a distilled model: some of those that its teacher was sampled at. */
export function distilledTimesteps(
  { num_train_timesteps: train }: NoiseSchedule,
  { original_inference_steps: original }: SchedulerConfig,
  count: number,
): number[] {
  const stride = Math.floor(train / original);
  return Array.from(
    { length: count },
    (_, i) => (original - Math.floor(i * (original / count))) * stride - 1,
  );
}
