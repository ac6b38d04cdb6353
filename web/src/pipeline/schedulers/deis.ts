/**
 * DEIS in the logarithm of rho, first to third order (Zhang and Chen 2023), as diffusers'
 * `DEISMultistepScheduler` runs it.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { flowWithoutLast, multistepLevels } from "./multistep";
import { cleanFrom, noiseLevel } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Lay out one run. It begins with the first order. */
export function deis(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const { timesteps, levels } = multistepLevels(schedule, config, count, {
    // If noise levels have a spacing of their own, the last step stays at its noise level.
    final: (least, last, spaced) => (spaced ? last : least),
    flow: flowWithoutLast,
  });
  const last = timesteps.length - 1;
  const few = config.lower_order_final && timesteps.length < 15;
  const steps = timesteps.slice(begin).map((timestep, known): Step => {
    const i = begin + known;
    const [from, to] = [levels[i]!, levels[i + 1]!];
    const clean = cleanFrom(schedule.prediction_type, from);
    // The noise is what the predicted clean latents leave of the latents. That differs from what a
    // velocity says for flow matching, whose amplitudes do not preserve the variance.
    const noise = {
      sample: (1 - from.alpha * clean.sample) / from.sigma,
      model: (-from.alpha * clean.model) / from.sigma,
    };
    const limit = few ? last - i + 1 : Infinity;
    const order = Math.min(config.solver_order, known + 1, limit);
    const rhos = levels.slice(i - order + 1, i + 1).map(({ alpha, sigma }) => sigma / alpha);
    const weights = integrals(rhos.reverse(), to.sigma / to.alpha);
    const [current, ...history] = weights.map((weight) => to.alpha * weight);
    return {
      timestep,
      level: noiseLevel(from),
      inputScale: 1,
      remember: noise,
      next: {
        sample: to.alpha / from.alpha + current! * noise.sample,
        model: current! * noise.model,
        history,
      },
      denoised: clean,
    };
  });
  return { initNoiseSigma: 1, steps };
}

/**
 * Integrals of the Lagrange polynomials in log(rho) through known points.
 *
 * @param known values of rho at which noise was predicted, newest first; the integrals begin at
 *   the first.
 * @param end where the integrals end.
 */
function integrals(known: readonly number[], end: number): number[] {
  const [start] = known;
  return known.map((own, index) => {
    const others = known.filter((_, other) => other !== index);
    return antiderivative(end, own, others) - antiderivative(start!, own, others);
  });
}

function antiderivative(t: number, own: number, others: readonly number[]): number {
  const [log, base] = [Math.log(t), Math.log(own)];
  const [c, d] = others.map(Math.log);
  if (c === undefined) return t;
  if (d === undefined) return (t * (log - c - 1)) / (base - c);
  return (
    (t * (c * (d - log + 1) - d * log + d + log ** 2 - 2 * log + 2)) / ((base - c) * (base - d))
  );
}
