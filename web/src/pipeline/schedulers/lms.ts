/**
 * Linear multistep of order 4 on the probability-flow ODE (Adams-Bashforth on uneven noise
 * levels, from Katherine Crowson's k-diffusion), as diffusers' `LMSDiscreteScheduler` runs it.
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

const ORDER = 4;

/**
 * Lay out one run. Steps after `begin` have the weights of the order that they have in the whole
 * schedule, also where fewer slopes are known, which are then left out: so diffusers runs it.
 */
export function lms(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const { timesteps, sigmas } = sampledLevels(schedule, config, count);
  const steps = sigmas.map((from, i): Step => {
    const to = sigmas[i + 1] ?? 0;
    const known = sigmas.slice(Math.max(0, i + 1 - ORDER), i + 1).reverse();
    const [weight, ...history] = known.map((_, index) => integrateBasis(known, index, from, to));
    const denoised = cleanFromSigma(schedule.prediction_type, from);
    const slope = slopeAlong(denoised, from);
    return {
      timestep: timesteps[i]!,
      level: noiseLevelOfSigma(from),
      inputScale: 1 / Math.sqrt(from ** 2 + 1),
      remember: slope,
      next: { sample: 1 + weight! * slope.sample, model: weight! * slope.model, history },
      denoised,
    };
  });
  return { initNoiseSigma: initialSigma(config, sigmas), steps: steps.slice(begin) };
}

/**
 * Integrate one of Lagrange's basis polynomials, which is 1 at `nodes[index]` and 0 at the other
 * nodes. Gauss and Legendre's two points are exact up to degree 3, that is for 4 nodes.
 */
function integrateBasis(nodes: number[], index: number, from: number, to: number): number {
  const [middle, half] = [(from + to) / 2, (to - from) / 2];
  const basis = (at: number): number =>
    nodes.reduce(
      (product, node, other) =>
        other === index ? product : (product * (at - node)) / (nodes[index]! - node),
      1,
    );
  return half * (basis(middle - half / Math.sqrt(3)) + basis(middle + half / Math.sqrt(3)));
}
