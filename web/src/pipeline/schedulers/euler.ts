/**
 * Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 2
 * without churn), and its ancestral variant, as diffusers'
 * `EulerDiscreteScheduler` and `EulerAncestralDiscreteScheduler` run them.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import type { NoiseLevels } from "./noise_levels";
import {
  cleanFromSigma,
  initialSigma,
  linspace,
  noiseLevelOfSigma,
  sampledLevels,
  sigmaSpacing,
  trainingSigmas,
} from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Lay out one run of Euler's method. */
export function euler(schedule: NoiseSchedule, config: SchedulerConfig, options: RunOptions): Run {
  return layOut(schedule, config, options, (_from, to) => ({ down: to }));
}

/** Lay out one run of the ancestral variant; every step draws noise, the last one too. */
export function eulerAncestral(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  options: RunOptions,
): Run {
  return layOut(schedule, config, options, (from, to) => {
    const up = Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2);
    return { down: Math.sqrt(Math.max(to ** 2 - up ** 2, 0)), up };
  });
}

function layOut(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
  split: (from: number, to: number) => { down: number; up?: number },
): Run {
  const { timesteps, sigmas } = eulerLevels(schedule, config, count);
  const prediction = schedule.prediction_type;
  const steps = timesteps.map((timestep, i): Step => {
    const sigma = sigmas[i]!;
    const { down, up } = split(sigma, sigmas[i + 1]!);
    const denoised = cleanFromSigma(prediction, sigma);
    const move = (down - sigma) / sigma; // along (sample - denoised) / sigma
    return {
      // Stable Video Diffusion's preconditioning, Karras et al. 2022, Table 1.
      timestep:
        config.timestep_type === "continuous" && prediction === "v_prediction"
          ? Math.fround(0.25 * Math.log(sigma))
          : timestep,
      level: noiseLevelOfSigma(sigma),
      inputScale: 1 / Math.sqrt(sigma ** 2 + 1),
      next: {
        sample: 1 + move * (1 - denoised.sample),
        model: -move * denoised.model,
        ...(up === undefined ? {} : { noise: up }),
      },
      denoised,
    };
  });
  return { initNoiseSigma: initialSigma(config, sigmas), steps: steps.slice(begin) };
}

/** Timesteps, and one noise level more than there are timesteps. */
function eulerLevels(schedule: NoiseSchedule, config: SchedulerConfig, count: number): NoiseLevels {
  const training = trainingSigmas(schedule);
  const [least, most] = [training[0]!, training.at(-1)!];
  const final = config.final_sigmas_type === "sigma_min" ? least : 0;
  if (config.interpolation_type === "linear") {
    const { timesteps, sigmas } = sampledLevels(schedule, config, count);
    return { timesteps, sigmas: [...sigmas, final] };
  }
  // Even in the logarithm over the whole training, whatever the timesteps; the last step ends at
  // the least noise level, not at `final`. Other spacings run between the same two levels.
  const f32 = Math.fround;
  const logs = linspace(f32(Math.log(most)), f32(Math.log(least)), count + 1);
  const sigmas = logs.map((log) => f32(Math.exp(f32(log))));
  if (sigmaSpacing(config) === "timesteps") {
    return { timesteps: sampledLevels(schedule, config, count).timesteps, sigmas };
  }
  const whole = {
    ...config,
    sigma_max: config.sigma_max ?? sigmas[0]!,
    sigma_min: config.sigma_min ?? sigmas.at(-1)!,
  };
  const spaced = sampledLevels(schedule, whole, count);
  return { timesteps: spaced.timesteps, sigmas: [...spaced.sigmas, final] };
}
