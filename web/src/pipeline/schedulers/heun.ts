/**
 * Heun's method on the probability-flow ODE (Karras et al. 2022, algorithm 1 without churn), as
 * diffusers' `HeunDiscreteScheduler` runs it: every step but the last evaluates the denoiser a
 * second time, where the first slope led.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import {
  cleanFromSigma,
  initialSigma,
  noiseLevelOfSigma,
  sampledLevels,
  slopeAlong,
} from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Lay out one run of 2 * count - 1 evaluations. */
export function heun(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const { timesteps, sigmas } = sampledLevels(schedule, config, count);
  const evaluate = (
    i: number,
  ): Pick<Step, "timestep" | "level" | "inputScale" | "denoised"> & { slope: Step["denoised"] } => {
    const denoised = cleanFromSigma(schedule.prediction_type, sigmas[i]!);
    return {
      timestep: timesteps[i]!,
      level: noiseLevelOfSigma(sigmas[i]!),
      inputScale: 1 / Math.sqrt(sigmas[i]! ** 2 + 1),
      denoised,
      slope: slopeAlong(denoised, sigmas[i]!),
    };
  };
  const steps = sigmas.flatMap((from, i): Step[] => {
    const change = (sigmas[i + 1] ?? 0) - from;
    const { slope, ...evaluated } = evaluate(i);
    const predictor: Step = {
      ...evaluated,
      remember: slope,
      keep: { sample: 1, model: 0 },
      next: { sample: 1 + change * slope.sample, model: change * slope.model },
    };
    if (i === sigmas.length - 1) return [predictor];
    const { slope: second, ...corrected } = evaluate(i + 1);
    const half = change / 2;
    const corrector: Step = {
      ...corrected,
      next: {
        kept: 1,
        sample: half * second.sample,
        model: half * second.model,
        history: [half],
      },
    };
    return [predictor, corrector];
  });
  return { initNoiseSigma: initialSigma(config, sigmas), steps: steps.slice(begin) };
}
