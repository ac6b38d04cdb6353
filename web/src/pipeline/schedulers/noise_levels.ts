/** Timesteps and noise levels, as diffusers' schedulers lay them out. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { betaQuantile } from "./beta_quantile";
import type { NoiseLevel } from "./types";

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

/** `np.arange(last, 0, -train / count)` rounded, less one: "trailing" spacing. */
export function trailing(train: number, count: number, last: number = train): number[] {
  const ratio = train / count;
  const length = Math.ceil(last / ratio);
  // numpy steps by the difference of its first two values, which may round another way.
  const stride = last - ratio - last;
  return Array.from({ length }, (_, i) => roundHalfEven(last + i * stride) - 1);
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

/** Where noise levels come from: the timesteps, or a spacing of their own. */
export type SigmaSpacing = "timesteps" | "karras" | "exponential" | "beta" | "lu" | "flow";

/** The spacing of noise levels that a configuration means; the rules allow one at most. */
export function sigmaSpacing(config: SchedulerConfig): SigmaSpacing {
  if (config.use_karras_sigmas) return "karras";
  if (config.use_exponential_sigmas) return "exponential";
  if (config.use_beta_sigmas) return "beta";
  if (config.use_lu_lambdas) return "lu";
  return config.use_flow_sigmas ? "flow" : "timesteps";
}

/**
 * Descending noise levels between two of them, in a spacing that does not come from timesteps.
 *
 * @param most the first one, unless the configuration has another.
 * @param least the last one, unless the configuration has another.
 */
export function spacedSigmas(
  spacing: "karras" | "exponential" | "beta" | "lu",
  config: SchedulerConfig,
  most: number,
  least: number,
  count: number,
): number[] {
  const [first, last] = [config.sigma_max ?? most, config.sigma_min ?? least];
  switch (spacing) {
    case "karras":
      return karrasSigmas(first, last, count);
    case "exponential":
      return linspace(Math.log(first), Math.log(last), count).map(Math.exp);
    case "lu": {
      // diffusers takes the logarithms in float32 before it spaces them.
      const [from, to] = [first, last].map((sigma) => Math.fround(Math.log(sigma)));
      return linspace(from!, to!, count).map(Math.exp);
    }
    case "beta":
      return linspace(0, 1, count).map(
        (ramp) => last + betaQuantile(1 - ramp, 0.6) * (first - last),
      );
  }
}

/** Karras et al. 2022, eq. 5, with rho = 7. */
function karrasSigmas(first: number, last: number, count: number): number[] {
  const rho = 7;
  const [most, least] = [first ** (1 / rho), last ** (1 / rho)];
  return linspace(0, 1, count).map((ramp) => (most + ramp * (least - most)) ** rho);
}

/**
 * The (fractional) training timestep whose noise is `sigma`, interpolated in its logarithm.
 *
 * @param sigmas of all training timesteps.
 * @param logSigmaMax the logarithm of the last one, where numpy's differs in its last bit.
 */
export function timestepOf(sigma: number, sigmas: number[], logSigmaMax?: number): number {
  const f32 = Math.fround;
  const log = Math.log(Math.max(sigma, 1e-10));
  const last = sigmas.length - 1;
  const logAt = (index: number): number =>
    index === last && logSigmaMax !== undefined ? logSigmaMax : f32(Math.log(sigmas[index]!));
  let low = 0;
  while (low < sigmas.length - 2 && logAt(low + 1) <= log) low++;
  const [a, b] = [logAt(low), logAt(low + 1)];
  const weight = Math.min(Math.max((a - log) / f32(a - b), 0), 1);
  return (1 - weight) * low + weight * (low + 1);
}

/** Timesteps, and the noise over signal at each of them. */
export interface NoiseLevels {
  timesteps: number[];
  /** One for each timestep, rounded to float32; what follows the last step is not among them. */
  sigmas: number[];
}

/** Noise levels of the timesteps alone: the one after the last step is not among them. */
export interface SampledLevels extends NoiseLevels {
  /** The noise levels before they were rounded. */
  exact: number[];
}

/**
 * Timesteps and noise levels of the schedulers that scale the denoiser's input: Euler, Heun, LMS.
 * A spacing that does not come from the timesteps runs between the noise levels of the first and
 * the last timestep.
 *
 * @param round how timesteps are rounded; diffusers keeps most of them in float32.
 */
export function sampledLevels(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  round: (value: number) => number = Math.fround,
): SampledLevels {
  const training = trainingSigmas(schedule);
  const timesteps = spacedTimesteps(schedule, config, count, round);
  const sigmas = timesteps.map((timestep) => interpolate(training, timestep));
  const spacing = sigmaSpacing(config);
  if (spacing === "timesteps" || spacing === "flow") {
    return { timesteps, sigmas: sigmas.map(Math.fround), exact: sigmas };
  }
  const spaced = spacedSigmas(spacing, config, sigmas[0]!, sigmas.at(-1)!, count);
  return {
    timesteps: spaced.map((sigma) => round(timestepOf(sigma, training))),
    sigmas: spaced.map(Math.fround),
    exact: spaced,
  };
}

/** The standard deviation of the initial noise for schedulers that scale the denoiser's input. */
export function initialSigma(config: SchedulerConfig, sigmas: number[]): number {
  const most = Math.max(...sigmas);
  return config.timestep_spacing === "leading" ? Math.sqrt(most ** 2 + 1) : most;
}

/**
 * Timesteps of the multistep solvers: they space one more than they take, and leave the last one
 * out.
 */
export function multistepTimesteps(
  { num_train_timesteps: train }: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
): number[] {
  const last = config.last_timestep ?? train;
  switch (config.timestep_spacing) {
    case "linspace":
      return linspace(0, last - 1, count + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, count);
    case "leading": {
      const ratio = Math.floor(last / (count + 1));
      return Array.from({ length: count }, (_, i) => (count - i) * ratio + config.steps_offset);
    }
    case "trailing":
      return trailing(train, count, last);
  }
}

/** Signal and noise amplitudes of a process. */
export interface Level {
  alpha: number;
  sigma: number;
}

/** Amplitudes from the cumulative product of alphas. */
export function levelOf(alphaCumprod: number): Level {
  return { alpha: Math.sqrt(alphaCumprod), sigma: Math.sqrt(1 - alphaCumprod) };
}

/** Amplitudes of a variance-preserving process from noise over signal. */
export function levelOfRatio(ratio: number): Level {
  const alpha = 1 / Math.sqrt(ratio * ratio + 1);
  return { alpha, sigma: ratio * alpha };
}

/** The level of a step whose latents have these amplitudes. */
export function noiseLevel({ alpha, sigma }: Level): NoiseLevel {
  return { signal: alpha, noise: sigma };
}

/** The level of a step of the schedulers that scale the denoiser's input. */
export function noiseLevelOfSigma(sigma: number): NoiseLevel {
  return { signal: 1, noise: sigma };
}

/** Logarithm of signal over noise; infinite without noise. */
export function logSnr({ alpha, sigma }: Level): number {
  return Math.log(alpha) - Math.log(sigma);
}

/** Weights of the latents and of the denoiser's prediction. */
export interface Weights {
  sample: number;
  model: number;
}

/** Clean latents from a prediction. */
export function cleanFrom(
  prediction: NoiseSchedule["prediction_type"],
  { alpha, sigma }: Level,
): Weights {
  switch (prediction) {
    case "epsilon":
      return { sample: 1 / alpha, model: -sigma / alpha };
    case "v_prediction":
      return { sample: alpha, model: -sigma };
    case "sample":
      return { sample: 0, model: 1 };
    case "flow_prediction":
      return { sample: 1, model: -sigma };
  }
}

/** Noise from a prediction. */
export function noiseFrom(prediction: NoiseSchedule["prediction_type"], level: Level): Weights {
  const { alpha, sigma } = level;
  switch (prediction) {
    case "epsilon":
      return { sample: 0, model: 1 };
    case "v_prediction":
      return { sample: sigma, model: alpha };
    case "sample":
      return { sample: 1 / sigma, model: -alpha / sigma };
    case "flow_prediction":
      return { sample: (1 - alpha) / sigma, model: alpha };
  }
}

/**
 * Clean latents from a prediction, for schedulers that scale the denoiser's input: their latents
 * are the clean ones plus noise times `sigma`.
 */
export function cleanFromSigma(
  prediction: NoiseSchedule["prediction_type"],
  sigma: number,
): Weights {
  const { alpha } = levelOfRatio(sigma);
  const { sample, model } = cleanFrom(prediction, levelOfRatio(sigma));
  // The denoiser was given the latents times alpha.
  return { sample: sample * alpha, model };
}

/** The slope (sample - clean) / sigma along which Euler's, Heun's and LMS's steps go. */
export function slopeAlong(clean: Weights, sigma: number): Weights {
  return { sample: (1 - clean.sample) / sigma, model: -clean.model / sigma };
}
