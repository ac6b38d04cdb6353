/** Timesteps and noise levels, as diffusers' schedulers lay them out. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";

/** Python's and numpy's rounding: halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `np.linspace(first, last, count)`. */
export function linspace(first: number, last: number, count: number): number[] {
  if (count === 1) return [first];
  const step = (last - first) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? last : first + i * step));
}

/** `np.arange(train, 0, -train / count)` rounded, less one: "trailing" spacing. */
export function trailing(train: number, count: number): number[] {
  const ratio = train / count;
  const length = Math.ceil(train / ratio);
  return Array.from({ length }, (_, i) => roundHalfEven(train - i * ratio) - 1);
}

/**
 * Descending timesteps, Table 2 of Lin et al. 2023 ("Common diffusion noise
 * schedules"): for schedulers that have one timestep a step.
 */
export function spacedTimesteps(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  round: (value: number) => number = roundHalfEven,
): number[] {
  const train = schedule.num_train_timesteps;
  switch (config.timestep_spacing) {
    case "linspace":
      return linspace(0, train - 1, count)
        .map(round)
        .reverse();
    case "leading": {
      const ratio = Math.floor(train / count);
      return Array.from({ length: count }, (_, i) => (count - 1 - i) * ratio + config.steps_offset);
    }
    case "trailing":
      return trailing(train, count);
  }
}

/** Noise over signal at every training timestep, rounded where diffusers' float32 rounds. */
export function trainingSigmas({ alphas_cumprod }: NoiseSchedule): number[] {
  const f32 = Math.fround;
  return alphas_cumprod.map((a) => f32(Math.sqrt(f32(f32(1 - a) / a))));
}

/** `np.interp(at, [0, 1, 2, …], values)`. */
export function interpolate(values: number[], at: number): number {
  const low = Math.min(Math.max(Math.floor(at), 0), values.length - 1);
  const high = Math.min(low + 1, values.length - 1);
  return values[low]! + (values[high]! - values[low]!) * Math.max(at - low, 0);
}

/** Karras et al. 2022, eq. 5, between the largest and smallest sigma, rho = 7. */
export function karrasSigmas(sigmas: number[], count: number): number[] {
  const rho = 7;
  const most = sigmas.at(-1)! ** (1 / rho);
  const least = sigmas[0]! ** (1 / rho);
  return linspace(0, 1, count).map((ramp) => (most + ramp * (least - most)) ** rho);
}

/** The (fractional) training timestep whose noise is `sigma`, interpolated in its logarithm. */
export function timestepOf(sigma: number, sigmas: number[]): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < sigmas.length - 2 && Math.log(sigmas[low + 1]!) <= log) low++;
  const [a, b] = [Math.log(sigmas[low]!), Math.log(sigmas[low + 1]!)];
  return low + Math.min(Math.max((a - log) / (a - b), 0), 1);
}

/** Signal and noise amplitudes of a variance-preserving process. */
export interface Level {
  alpha: number;
  sigma: number;
}

/** Amplitudes from the cumulative product of alphas. */
export function levelOf(alphaCumprod: number): Level {
  return { alpha: Math.sqrt(alphaCumprod), sigma: Math.sqrt(1 - alphaCumprod) };
}

/** Clean latents from a prediction, in the variance-preserving process. */
export function cleanFrom(
  prediction: NoiseSchedule["prediction_type"],
  { alpha, sigma }: Level,
): { sample: number; model: number } {
  return prediction === "epsilon"
    ? { sample: 1 / alpha, model: -sigma / alpha }
    : { sample: alpha, model: -sigma };
}

/** Noise from a prediction, in the variance-preserving process. */
export function noiseFrom(
  prediction: NoiseSchedule["prediction_type"],
  { alpha, sigma }: Level,
): { sample: number; model: number } {
  return prediction === "epsilon" ? { sample: 0, model: 1 } : { sample: sigma, model: alpha };
}
