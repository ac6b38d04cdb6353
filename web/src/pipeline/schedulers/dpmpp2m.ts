/**
 * DPM-Solver++ 2M (Lu et al. 2022, "DPM-Solver++", algorithm 2), as diffusers'
 * `DPMSolverMultistepScheduler` runs it: data prediction, midpoint, first order
 * in the first and last step; evenly spaced or Karras' noise levels.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import type { Level } from "./noise_levels";
import {
  cleanFrom,
  interpolate,
  karrasSigmas,
  linspace,
  roundHalfEven,
  timestepOf,
  trailing,
  trainingSigmas,
} from "./noise_levels";
import type { Run, Step } from "./types";

/** Lay out one run. */
export function dpmpp2m(schedule: NoiseSchedule, config: SchedulerConfig, count: number): Run {
  const sigmas = trainingSigmas(schedule);
  let timesteps: number[];
  let ratios: number[];
  if (config.use_karras_sigmas) {
    ratios = karrasSigmas(sigmas, count);
    timesteps = ratios.map((sigma) => roundHalfEven(timestepOf(sigma, sigmas)));
  } else {
    timesteps = dpmTimesteps(schedule, config, count);
    ratios = timesteps.map((timestep) => interpolate(sigmas, timestep));
  }
  const levels = [...ratios, 0].map((ratio) => levelOfRatio(Math.fround(ratio)));
  const steps = timesteps.map((timestep, i): Step => {
    const from = levels[i]!;
    const to = levels[i + 1]!;
    const denoised = cleanFrom(schedule.prediction_type, from);
    const h = logSnr(to) - logSnr(from);
    const weight = -to.alpha * Math.expm1(-h);
    const firstOrder = i === 0 || i === count - 1;
    // D0 + D1 / 2 with D1 = (m0 - m1) / r0, written per term.
    const slope = firstOrder ? 0 : (0.5 * h) / (logSnr(from) - logSnr(levels[i - 1]!));
    const current = weight * (1 + slope);
    return {
      timestep,
      inputScale: 1,
      remember: denoised,
      next: {
        sample: to.sigma / from.sigma + current * denoised.sample,
        model: current * denoised.model,
        history: [-weight * slope],
      },
      denoised,
    };
  });
  return { initNoiseSigma: 1, steps };
}

/** This scheduler spaces one timestep more than it takes, and leaves the last one out. */
function dpmTimesteps(
  { num_train_timesteps: train }: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
): number[] {
  switch (config.timestep_spacing) {
    case "linspace":
      return linspace(0, train - 1, count + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, count);
    case "leading": {
      const ratio = Math.floor(train / (count + 1));
      return Array.from({ length: count }, (_, i) => (count - i) * ratio + config.steps_offset);
    }
    case "trailing":
      return trailing(train, count);
  }
}

function levelOfRatio(ratio: number): Level {
  const alpha = 1 / Math.sqrt(ratio * ratio + 1);
  return { alpha, sigma: ratio * alpha };
}

function logSnr({ alpha, sigma }: Level): number {
  return Math.log(alpha) - Math.log(sigma);
}
