/** Trajectory consistency sampling (Zheng et al. 2024), as diffusers' `TCDScheduler` runs it. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { distilledTimesteps } from "./lcm";
import { cleanFrom, levelOf, noiseFrom, noiseLevel } from "./noise_levels";
import type { Run, RunOptions, Step } from "./types";

/**
 * Lay out one run.
 *
 * @param eta the paper's gamma: how much of the way to the next timestep is noise that is drawn
 *   anew. With 0 none is drawn; else all steps but the last draw.
 */
export function tcd(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, eta, begin }: RunOptions,
): Run {
  const f32 = Math.fround;
  const timesteps = distilledTimesteps(schedule, config, count);
  const steps = timesteps.map((timestep, i): Step => {
    const following = timesteps[i + 1];
    const to = following ?? 0;
    const between = Math.floor(f32(f32(1 - eta) * to));
    const level = levelOf(schedule.alphas_cumprod[timestep]!);
    const clean = cleanFrom(schedule.prediction_type, level);
    const noise = noiseFrom(schedule.prediction_type, level);
    const product = schedule.alphas_cumprod[between]!;
    const { alpha, sigma } = levelOf(product);
    const draws = eta > 0 && following !== undefined;
    const kept = draws ? schedule.alphas_cumprod[to]! / product : 1;
    const signal = Math.sqrt(kept);
    return {
      timestep,
      level: noiseLevel(level),
      inputScale: 1,
      next: {
        sample: signal * (alpha * clean.sample + sigma * noise.sample),
        model: signal * (alpha * clean.model + sigma * noise.model),
        ...(draws ? { noise: Math.sqrt(1 - kept) } : {}),
      },
      denoised: clean,
    };
  });
  return { initNoiseSigma: 1, steps: steps.slice(begin) };
}
