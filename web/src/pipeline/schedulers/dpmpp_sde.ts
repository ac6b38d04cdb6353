/**
 * DPM-Solver++ on the SDE, a single step of order 2 with noise from a Brownian path (Katherine
 * Crowson's k-diffusion), as diffusers' `DPMSolverSDEScheduler` runs it: every step but the last
 * evaluates the denoiser a second time, halfway in the logarithm of the noise level.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import {
  cleanFromSigma,
  initialSigma,
  noiseLevelOfSigma,
  sampledLevels,
  timestepOf,
  trainingSigmas,
} from "./noise_levels";
import type { Next, Run, RunOptions, Step } from "./types";

const f32 = Math.fround;

/** Lay out one run of 2 * count - 1 evaluations. */
export function dpmppSde(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const training = trainingSigmas(schedule);
  const { timesteps, sigmas, exact } = sampledLevels(schedule, config, count, (time) => time);
  const prediction = schedule.prediction_type;
  const steps = sigmas.flatMap((sigma, i): Step[] => {
    const denoised = cleanFromSigma(prediction, sigma);
    const first = {
      timestep: timesteps[i]!,
      level: noiseLevelOfSigma(sigma),
      inputScale: 1 / Math.sqrt(sigma ** 2 + 1),
      denoised,
    };
    const following = sigmas[i + 1];
    // The last step takes the clean latents.
    if (following === undefined) return [{ ...first, next: denoised }];
    // The ends on the path are float32, computed with float32 logarithms.
    const [time, nextTime] = [timeOf(sigma), timeOf(following)];
    const middleTime = f32(time + f32(f32(nextTime - time) * 0.5));
    const [from, middle, to] = [sigmaOf(time), sigmaOf(middleTime), sigmaOf(nextTime)];
    const toMiddle = step(from, middle);
    const toEnd = step(from, to);
    const second = cleanFromSigma(prediction, middle);
    return [
      {
        ...first,
        keep: { sample: 1, model: 0 },
        next: {
          sample: toMiddle.start + toMiddle.clean * denoised.sample,
          model: toMiddle.clean * denoised.model,
          ...toMiddle.drawn,
        },
      },
      {
        timestep: timestepOf(Math.sqrt(exact[i]! * exact[i + 1]!), training),
        // diffusers lists the end of the step here, although the latents are halfway.
        level: noiseLevelOfSigma(following),
        inputScale: 1 / Math.sqrt(middle ** 2 + 1),
        denoised: second,
        next: {
          kept: toEnd.start,
          sample: toEnd.clean * second.sample,
          model: toEnd.clean * second.model,
          ...toEnd.drawn,
        },
      },
    ];
  });
  const brownian: [number, number] = [sigmas.at(-1)!, sigmas[0]!];
  const initNoiseSigma = initialSigma(config, sigmas);
  const path = sigmas.length > 1 ? { brownian } : {};
  return { initNoiseSigma, ...path, steps: steps.slice(begin) };
}

/** Weights of a step's start, of the clean latents and of the noise, as in Euler ancestral. */
function step(
  from: number,
  to: number,
): { start: number; clean: number; drawn: Pick<Next, "noise" | "brownian"> } {
  const up = Math.min(to, Math.sqrt((to ** 2 * (from ** 2 - to ** 2)) / from ** 2));
  const start = Math.sqrt(to ** 2 - up ** 2) / from;
  return { start, clean: 1 - start, drawn: { noise: up, brownian: [from, to] } };
}

/** Minus the logarithm of a noise level, in float32. */
function timeOf(sigma: number): number {
  return -f32(Math.log(sigma));
}

function sigmaOf(time: number): number {
  return f32(Math.exp(-time));
}
