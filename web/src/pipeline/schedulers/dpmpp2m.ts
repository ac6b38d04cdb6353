/**
 * Multistep DPM-Solver and DPM-Solver++ of the ODE and the SDE, first to third order (Lu et al.
 * 2022, "DPM-Solver" and "DPM-Solver++"), as diffusers' `DPMSolverMultistepScheduler` runs them.
 * DPM-Solver++ 2M is its second order with data prediction.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { flowWithoutLast, multistepLevels } from "./multistep";
import type { Level } from "./noise_levels";
import { cleanFrom, logSnr, noiseFrom, noiseLevel } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/** Weights of one update: of the sample, of D0, D1 and D2 (finite differences), and of noise. */
interface Update {
  sample: number;
  differences: readonly [number, number, number];
  noise?: number;
}

/** Lay out one run. It begins with the first order. */
export function dpmpp2m(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const { timesteps, levels } = multistepLevels(schedule, config, count, {
    final: (least) => (config.final_sigmas_type === "sigma_min" ? least : 0),
    flow: flowWithoutLast,
  });
  const predict = config.algorithm_type.endsWith("++") ? cleanFrom : noiseFrom;
  const last = timesteps.length - 1;
  const steps = timesteps.slice(begin).map((timestep, known): Step => {
    const i = begin + known;
    const [from, to] = [levels[i]!, levels[i + 1]!];
    const prediction = predict(schedule.prediction_type, from);
    const order = orderOf(config, i, last, known);
    const h = logSnr(to) - logSnr(from);
    const { sample, differences, noise } = update(config, order, h, from, to);
    const ages = levels.slice(Math.max(i - order + 1, 0), i + 1).reverse();
    const [current, ...history] = spread(differences, h, ages);
    return {
      timestep,
      level: noiseLevel(from),
      inputScale: 1,
      remember: prediction,
      next: {
        sample: sample + current! * prediction.sample,
        model: current! * prediction.model,
        history,
        ...(noise === undefined ? {} : { noise }),
      },
      denoised: cleanFrom(schedule.prediction_type, from),
    };
  });
  return { initNoiseSigma: 1, steps };
}

/**
 * The order of one step: low at first, and at the end as the options say.
 *
 * @param known how many predictions there are besides the step's own.
 */
function orderOf(config: SchedulerConfig, step: number, last: number, known: number): number {
  const few = config.lower_order_final && last + 1 < 15;
  const first = few || config.euler_at_final || config.final_sigmas_type === "zero";
  if (step === last && first) return 1;
  const most = step === last - 1 && few ? 2 : config.solver_order;
  return Math.min(most, known + 1, config.solver_order);
}

/** The update from one level to the next in terms of finite differences of predictions. */
function update(config: SchedulerConfig, order: number, h: number, from: Level, to: Level): Update {
  // The third order has one form, which continues the second order's "heun".
  const midpoint = order === 2 && config.solver_type === "midpoint";
  switch (config.algorithm_type) {
    case "dpmsolver++": {
      const phi = Math.expm1(-h);
      const [one, two] = [to.alpha * (phi / h + 1), -to.alpha * ((phi + h) / h ** 2 - 0.5)];
      const d0 = -to.alpha * phi;
      return {
        sample: to.sigma / from.sigma,
        differences: cut(order, [d0, midpoint ? 0.5 * d0 : one, two]),
      };
    }
    case "dpmsolver": {
      const phi = Math.expm1(h);
      const [one, two] = [-to.sigma * (phi / h - 1), -to.sigma * ((phi - h) / h ** 2 - 0.5)];
      const d0 = -to.sigma * phi;
      return {
        sample: to.alpha / from.alpha,
        differences: cut(order, [d0, midpoint ? 0.5 * d0 : one, two]),
      };
    }
    case "sde-dpmsolver++": {
      const phi = -Math.expm1(-2 * h);
      const d0 = to.alpha * phi;
      const one = to.alpha * (phi / (-2 * h) + 1);
      const two = to.alpha * ((phi - 2 * h) / (2 * h) ** 2 - 0.5);
      return {
        sample: (to.sigma / from.sigma) * Math.exp(-h),
        differences: cut(order, [d0, midpoint ? 0.5 * d0 : one, two]),
        noise: to.sigma * Math.sqrt(phi),
      };
    }
    case "sde-dpmsolver": {
      const phi = Math.expm1(h);
      const d0 = -2 * to.sigma * phi;
      const one = -2 * to.sigma * (phi / h - 1);
      return {
        sample: to.alpha / from.alpha,
        differences: cut(order, [d0, midpoint ? 0.5 * d0 : one, 0]),
        noise: to.sigma * Math.sqrt(Math.expm1(2 * h)),
      };
    }
  }
}

/** Leave out differences beyond the order: with h infinite their weights are not finite. */
function cut(order: number, weights: readonly [number, number, number]): Update["differences"] {
  return [weights[0], order > 1 ? weights[1] : 0, order > 2 ? weights[2] : 0];
}

/**
 * Turn weights of finite differences into weights of predictions, newest first.
 *
 * @param levels of the predictions, newest first; as many as the update's order.
 */
function spread(
  [d0, d1, d2]: Update["differences"],
  h: number,
  levels: readonly Level[],
): number[] {
  if (levels.length === 1) return [d0];
  const [s0, s1, s2] = levels.map(logSnr);
  const r0 = (s0! - s1!) / h;
  // D1 of second order is (m0 - m1) / r0.
  if (levels.length === 2) return [d0 + d1 / r0, -d1 / r0];
  const r1 = (s1! - s2!) / h;
  // (m0 - m1) / r0 counts once in D1, its difference to (m1 - m2) / r1 in D1 and D2.
  const second = (d1 * r0 + d2) / (r0 + r1);
  const [newer, older] = [(d1 + second) / r0, -second / r1];
  return [d0 + newer, older - newer, -older];
}
