/**
 * Euler's and Heun's method on the straight paths of flow matching (Esser et al. 2024), as
 * diffusers' `FlowMatchEulerDiscreteScheduler` and `FlowMatchHeunDiscreteScheduler` run them.
 *
 * Latents are clean ones times (1 - sigma) and noise times sigma. The denoiser predicts noise less
 * clean latents, which is the slope along which sigma moves them.
 */

import type {
  DynamicShift,
  FlowLevels,
  NoiseSchedule,
  SchedulerConfig,
} from "../../bundle/manifest";
import { linspace, sigmaSpacing, spacedSigmas } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Lay out one run of Euler's method, or of its stochastic variant, which draws noise on every step. */
export function flowEuler(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  options: RunOptions,
): Run {
  const { stochastic } = config.flow!;
  const sigmas = flowSigmas(config, options);
  const steps = sigmas.map((sigma, i): Step => {
    const next = sigmas[i + 1] ?? 0;
    return {
      ...evaluate(schedule, sigma),
      next: stochastic
        ? { sample: 1 - next, model: -(1 - next) * sigma, noise: next }
        : { sample: 1, model: next - sigma },
    };
  });
  return { initNoiseSigma: 1, steps: steps.slice(options.begin) };
}

/** Lay out one run of Heun's method: 2 * count - 1 evaluations. */
export function flowHeun(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  options: RunOptions,
): Run {
  const sigmas = flowSigmas(config, options);
  const steps = sigmas.flatMap((sigma, i): Step[] => {
    const change = (sigmas[i + 1] ?? 0) - sigma;
    const predictor: Step = {
      ...evaluate(schedule, sigma),
      remember: { sample: 0, model: 1 },
      keep: { sample: 1, model: 0 },
      next: { sample: 1, model: change },
    };
    if (i === sigmas.length - 1) return [predictor];
    const corrector: Step = {
      ...evaluate(schedule, sigmas[i + 1]!),
      next: { kept: 1, sample: 0, model: change / 2, history: [change / 2] },
    };
    return [predictor, corrector];
  });
  return { initNoiseSigma: 1, steps: steps.slice(options.begin) };
}

function evaluate(
  { num_train_timesteps: train }: NoiseSchedule,
  sigma: number,
): Omit<Step, "next"> {
  return {
    timestep: Math.fround(sigma * train),
    level: { signal: 1 - sigma, noise: sigma },
    inputScale: 1,
    denoised: { sample: 1, model: -sigma },
  };
}

/** Descending noise levels, one for each step; the one after the last step is 0. */
function flowSigmas(config: SchedulerConfig, { count, tokens }: RunOptions): number[] {
  const flow = config.flow!;
  const even = linspace(flow.sigma_max, flow.sigma_min, count);
  const sigmas = stretch(
    even.map((sigma) => shift(flow, sigma, tokens)),
    flow.terminal,
  );
  const spacing = sigmaSpacing(config);
  const spaced =
    spacing === "timesteps" || spacing === "flow"
      ? sigmas
      : spacedSigmas(spacing, config, sigmas[0]!, sigmas.at(-1)!, count);
  return spaced.map(Math.fround);
}

/** Shift a noise level towards more noise, Esser et al. 2024, eq. 23. */
function shift({ shift, dynamic }: FlowLevels, sigma: number, tokens: number): number {
  const factor = dynamic === undefined ? shift : shiftFor(dynamic, tokens);
  return (factor * sigma) / (1 + (factor - 1) * sigma);
}

/** The shift for a picture of so many tokens, as diffusers' `calculate_shift` has it. */
function shiftFor(dynamic: DynamicShift, tokens: number): number {
  const { base_shift, max_shift, base_image_seq_len, max_image_seq_len, time_shift_type } = dynamic;
  const slope = (max_shift - base_shift) / (max_image_seq_len - base_image_seq_len);
  const mu = tokens * slope + (base_shift - slope * base_image_seq_len);
  return time_shift_type === "exponential" ? Math.exp(mu) : mu;
}

/** Stretch noise levels so that the last one is `terminal`. */
function stretch(sigmas: number[], terminal: number | undefined): number[] {
  if (terminal === undefined) return sigmas;
  const scale = (1 - sigmas.at(-1)!) / (1 - terminal);
  return sigmas.map((sigma) => 1 - (1 - sigma) / scale);
}
