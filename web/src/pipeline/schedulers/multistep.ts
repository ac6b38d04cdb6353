/**
 * Timesteps and noise levels of the multistep solvers, which differ between diffusers' classes:
 * DPM-Solver (Lu et al. 2022), UniPC (Zhao et al. 2023) and DEIS (Zhang and Chen 2023).
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import type { Level } from "./noise_levels";
import {
  interpolate,
  levelOfRatio,
  linspace,
  multistepTimesteps,
  roundHalfEven,
  sigmaSpacing,
  spacedSigmas,
  timestepOf,
  trainingSigmas,
} from "./noise_levels";

/** What one of diffusers' classes does in its own way. */
export interface Solver {
  /** The noise level after the last step, from the least of the training and the last step's. */
  final: (least: number, last: number, spaced: boolean) => number;
  /** Noise levels of flow matching, before they are shifted; one for each step. */
  flow: (train: number, count: number) => number[];
  /** What is taken off the first noise level of flow matching, so that some signal is left. */
  leastSignal?: number;
}

/** Timesteps and the amplitudes at each of them, and after the last one. */
export interface Levels {
  timesteps: number[];
  levels: Level[];
}

/** Noise levels of flow matching from all but one of `count + 1` points, as DPM-Solver has them. */
export function flowWithoutLast(train: number, count: number): number[] {
  return linspace(1, 1 / train, count + 1)
    .map((alpha) => 1 - alpha)
    .reverse()
    .slice(0, count);
}

/** Lay out the noise levels of one run. */
export function multistepLevels(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  solver: Solver,
): Levels {
  const training = trainingSigmas(schedule);
  if (config.largest_sigma !== undefined) training[training.length - 1] = config.largest_sigma;
  const [least, most] = [training[0]!, training.at(-1)!];
  const spacing = sigmaSpacing(config);
  let timesteps: number[];
  let sigmas: number[];
  switch (spacing) {
    case "timesteps":
      timesteps = multistepTimesteps(schedule, config, count);
      sigmas = timesteps.map((timestep) => interpolate(training, timestep));
      break;
    case "flow": {
      const shift = config.flow_shift;
      sigmas = solver
        .flow(schedule.num_train_timesteps, count)
        .map((sigma) => (shift * sigma) / (1 + (shift - 1) * sigma));
      const nearOne = Math.abs(sigmas[0]! - 1) < (solver.leastSignal ?? 0);
      if (nearOne) sigmas[0]! -= solver.leastSignal!;
      timesteps = sigmas.map((sigma) => Math.trunc(sigma * schedule.num_train_timesteps));
      break;
    }
    case "karras":
    case "exponential":
    case "beta":
    case "lu": {
      sigmas = spacedSigmas(spacing, config, most, least, count);
      const rounded = config.round_timesteps && (spacing === "karras" || spacing === "lu");
      const round = rounded ? roundHalfEven : Math.trunc;
      timesteps = sigmas.map((sigma) =>
        round(timestepOf(sigma, training, config.largest_log_sigma)),
      );
      break;
    }
  }
  const final = solver.final(least, sigmas.at(-1)!, spacing !== "timesteps");
  const levels = [...sigmas, final].map((sigma) => {
    const rounded = Math.fround(sigma);
    return spacing === "flow" ? { alpha: 1 - rounded, sigma: rounded } : levelOfRatio(rounded);
  });
  return { timesteps, levels };
}
