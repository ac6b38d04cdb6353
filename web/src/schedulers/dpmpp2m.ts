/**
 * DPM-Solver++ 2M (Lu et al. 2022, "DPM-Solver++", algorithm 2), as diffusers'
 * `DPMSolverMultistepScheduler` runs it: data prediction, midpoint, first order
 * in the first and last step, timesteps evenly spaced.
 */

import type { SchedulerConstants } from "../manifest";
import type { Step } from "./types";

interface NoiseLevel {
  alpha: number;
  sigma: number;
  /** log(alpha / sigma); infinite where there is no noise left. */
  lambda: number;
}

/** The steps of one run. */
export function dpmpp2mSteps(constants: SchedulerConstants, count: number): Step[] {
  const timesteps = linspaceTimesteps(constants.num_train_timesteps, count);
  const levels = timesteps.map((t) => noiseLevel(sigmaAt(constants.alphas_cumprod[t]!)));
  levels.push(noiseLevel(0));
  return timesteps.map((timestep, i) => {
    const from = levels[i]!;
    const to = levels[i + 1]!;
    const step = {
      timestep,
      denoised: { sample: 1 / from.alpha, noise: -from.sigma / from.alpha },
      next: { sample: to.sigma / from.sigma, denoised: 0, previousDenoised: 0 },
    };
    const h = to.lambda - from.lambda;
    const weight = -to.alpha * Math.expm1(-h);
    const firstOrder = i === 0 || i === count - 1;
    // D0 + D1 / 2 with D1 = (m0 - m1) / r0, written per term.
    const slope = firstOrder ? 0 : (0.5 * h) / (from.lambda - levels[i - 1]!.lambda);
    step.next.denoised = weight * (1 + slope);
    step.next.previousDenoised = -weight * slope;
    return step;
  });
}

/** `np.linspace(0, train - 1, count + 1).round()[::-1][:-1]`. */
function linspaceTimesteps(train: number, count: number): number[] {
  const step = (train - 1) / count;
  return Array.from({ length: count }, (_, i) => roundHalfEven((count - i) * step));
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Noise over signal, rounded where diffusers' float32 tensors round. */
function sigmaAt(alphaCumprod: number): number {
  return Math.fround(Math.sqrt(Math.fround(Math.fround(1 - alphaCumprod) / alphaCumprod)));
}

function noiseLevel(ratio: number): NoiseLevel {
  const alpha = 1 / Math.sqrt(ratio * ratio + 1);
  const sigma = ratio * alpha;
  return { alpha, sigma, lambda: Math.log(alpha) - Math.log(sigma) };
}
