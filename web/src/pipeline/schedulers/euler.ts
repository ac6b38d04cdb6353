/**
 * Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 2
 * without churn), and its ancestral variant, as diffusers'
 * `EulerDiscreteScheduler` and `EulerAncestralDiscreteScheduler` run them.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { interpolate, spacedTimesteps, trainingSigmas } from "./noise_levels";
import type { Run, Step } from "./types";

/** Lay out one run of Euler's method. */
export function euler(schedule: NoiseSchedule, config: SchedulerConfig, count: number): Run {
  return layOut(schedule, config, count, (_from, to) => ({ down: to }));
}

/** Lay out one run of the ancestral variant; every step draws noise, the last one too. */
export function eulerAncestral(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
): Run {
  return layOut(schedule, config, count, (from, to) => {
    const up = Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2);
    return { down: Math.sqrt(Math.max(to ** 2 - up ** 2, 0)), up };
  });
}

function layOut(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  split: (from: number, to: number) => { down: number; up?: number },
): Run {
  const training = trainingSigmas(schedule);
  const timesteps = spacedTimesteps(schedule, config, count, Math.fround);
  const sigmas = [...timesteps.map((t) => Math.fround(interpolate(training, t))), 0];
  const steps = timesteps.map((timestep, i): Step => {
    const sigma = sigmas[i]!;
    const { down, up } = split(sigma, sigmas[i + 1]!);
    const scale = 1 / Math.sqrt(sigma ** 2 + 1);
    const denoised =
      schedule.prediction_type === "epsilon"
        ? { sample: 1, model: -sigma }
        : { sample: scale ** 2, model: -sigma * scale };
    const move = (down - sigma) / sigma; // along (sample - denoised) / sigma
    return {
      timestep,
      inputScale: scale,
      next: {
        sample: 1 + move * (1 - denoised.sample),
        model: -move * denoised.model,
        history: [],
        ...(up === undefined ? {} : { noise: up }),
      },
      denoised,
    };
  });
  const most = Math.max(...sigmas);
  const initNoiseSigma = config.timestep_spacing === "leading" ? Math.sqrt(most ** 2 + 1) : most;
  return { initNoiseSigma, steps };
}
