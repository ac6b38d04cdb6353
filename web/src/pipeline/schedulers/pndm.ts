/**
 * PNDM (Liu et al. 2022) without the Runge-Kutta start: linear multistep, with
 * its second timestep taken twice, as diffusers' `PNDMScheduler` runs it with
 * `skip_prk_steps`.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { cleanFrom, levelOf, noiseFrom, spacedTimesteps } from "./noise_levels";
import type { Run, Step } from "./types";

/** Adams-Bashforth weights by how many predictions are known, newest first. */
const WEIGHTS = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/** Lay out one run, of one step more than was asked for. */
export function pndm(schedule: NoiseSchedule, config: SchedulerConfig, count: number): Run {
  const spaced = spacedTimesteps(schedule, config, count);
  // The second timestep comes twice: a predictor and a corrector of the first step.
  const timesteps = count === 1 ? spaced : [spaced[0]!, spaced[1]!, ...spaced.slice(1)];
  const stride = Math.floor(schedule.num_train_timesteps / count);
  const steps = timesteps.map((timestep, i): Step => {
    const corrects = i === 1;
    const from = corrects ? timestep + stride : timestep;
    const to = corrects ? timestep : timestep - stride;
    // Predictions known at this step: the corrector's is not remembered.
    const known = corrects ? 1 : Math.min(i === 0 ? 1 : i, 4);
    const weights = corrects ? [1 / 2, 1 / 2] : WEIGHTS[known - 1]!;
    const { sample, model } = transfer(schedule, config, from, to);
    return {
      timestep,
      inputScale: 1,
      ...(corrects ? {} : { remember: { sample: 0, model: 1 } }),
      ...(i === 0 ? { keep: { sample: 1, model: 0 } } : {}),
      next: {
        ...(corrects ? { sample: 0, kept: sample } : { sample }),
        model: model * weights[0]!,
        history: weights.slice(1).map((weight) => model * weight),
      },
      denoised: cleanFrom(schedule.prediction_type, levelOf(schedule.alphas_cumprod[timestep]!)),
    };
  });
  return { initNoiseSigma: 1, steps };
}

/** Formula 9 of the paper: from one timestep to an earlier one along a prediction. */
function transfer(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  from: number,
  to: number,
): { sample: number; model: number } {
  const a = schedule.alphas_cumprod[from]!;
  const b = to >= 0 ? schedule.alphas_cumprod[to]! : config.final_alpha_cumprod;
  const factor = -(b - a) / (a * Math.sqrt(1 - b) + Math.sqrt(a * (1 - a) * b));
  const noise = noiseFrom(schedule.prediction_type, levelOf(a));
  return { sample: Math.sqrt(b / a) + factor * noise.sample, model: factor * noise.model };
}
