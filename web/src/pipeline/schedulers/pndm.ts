/**
 * PNDM (Liu et al. 2022), as diffusers' `PNDMScheduler` runs it: linear multistep, whose first
 * steps are Runge-Kutta's, or with `skip_prk_steps` of lower orders with the second timestep taken
 * twice.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import type { Weights } from "./noise_levels";
import { cleanFrom, levelOf, noiseFrom, noiseLevel, spacedTimesteps } from "./noise_levels";
import type { Next, Run, RunOptions, Step } from "./types";

/** Adams-Bashforth weights by how many predictions are known, newest first. */
const MULTISTEP = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];
/** How many Runge-Kutta steps come first; the last multistep formula needs their predictions. */
const RUNGE_KUTTA_STEPS = 3;
/** How often each of them evaluates the denoiser. */
const EVALUATIONS = 4;
/** What the history gets: predictions. */
const PREDICTION = { sample: 0, model: 1 };
/** What is kept: the current latents. */
const CURRENT = { sample: 1, model: 0 };

/**
 * Lay out one run. It evaluates the denoiser once more than there are steps; with Runge-Kutta, nine
 * times more. Runge-Kutta needs four steps at least.
 *
 * A run that begins later runs as diffusers' does, which counts from its own first evaluation: the
 * second one is taken for the repeated one, and the first twelve for Runge-Kutta's.
 */
export function pndm(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const spaced = spacedTimesteps(schedule, config, count);
  const transfer = new Transfer(schedule, config, count);
  const steps = config.skip_prk_steps
    ? multistep(repeatSecond(spaced).slice(begin), transfer)
    : rungeKuttaFirst(spaced, begin, transfer);
  return { initNoiseSigma: 1, steps };
}

/** The second timestep comes twice: a predictor and a corrector of the first step. */
function repeatSecond(spaced: number[]): number[] {
  return spaced.length === 1 ? spaced : [spaced[0]!, spaced[1]!, ...spaced.slice(1)];
}

/** Linear multistep from the start. */
function multistep(timesteps: number[], transfer: Transfer): Step[] {
  const { stride } = transfer;
  return timesteps.map((timestep, i): Step => {
    if (i === 1) {
      const weights = { kept: true, model: 1 / 2, history: [1 / 2] };
      return transfer.step(timestep, timestep + stride, timestep, weights);
    }
    // Predictions known at this step: the corrector's is not remembered.
    const known = Math.min(Math.max(i, 1), MULTISTEP.length);
    const [model, ...history] = MULTISTEP[known - 1]!;
    return {
      ...transfer.step(timestep, timestep, timestep - stride, { model: model!, history }),
      remember: PREDICTION,
      ...(i === 0 ? { keep: CURRENT } : {}),
    };
  });
}

/** Steps of the classical Runge-Kutta method, and linear multistep after them. */
function rungeKuttaFirst(spaced: number[], begin: number, transfer: Transfer): Step[] {
  const half = Math.floor(transfer.stride / 2);
  const evaluated = spaced.slice(0, RUNGE_KUTTA_STEPS).flatMap((from, i): number[] => {
    const to = spaced[i + 1]!;
    return [from, to + half, to + half, to];
  });
  const timesteps = [...evaluated, ...spaced.slice(RUNGE_KUTTA_STEPS)].slice(begin);
  const first = timesteps.slice(0, evaluated.length).map((timestep, i): Step => {
    const phase = i % EVALUATIONS;
    // By its place from the beginning, so that a run that begins later mixes two steps.
    const from = evaluated[i - phase]!;
    const to = timestep - (phase % 2 === 0 ? half : 0);
    switch (phase) {
      case 0:
        return {
          ...transfer.step(timestep, from, to, { model: 1, history: [] }),
          remember: PREDICTION,
          keep: CURRENT,
        };
      case 3: {
        // Simpson's rule.
        const weights = { kept: true, model: 1 / 6, history: [1 / 3, 1 / 3, 1 / 6] };
        return transfer.step(timestep, from, to, weights);
      }
      default:
        return {
          ...transfer.step(timestep, from, to, { kept: true, model: 1, history: [] }),
          remember: PREDICTION,
        };
    }
  });
  return [...first, ...multistepAfter(timesteps.slice(evaluated.length), transfer)];
}

/** Linear multistep after Runge-Kutta's steps, each of which left three predictions. */
function multistepAfter(timesteps: number[], transfer: Transfer): Step[] {
  const [model, ...earlier] = MULTISTEP[RUNGE_KUTTA_STEPS]!;
  return timesteps.map((timestep, i): Step => {
    const history: number[] = [];
    earlier.forEach((weight, age) => {
      // The first prediction of a Runge-Kutta step is the oldest of its three.
      history[age < i ? age : i + 3 * (age - i) + 2] = weight;
    });
    const weights = {
      model: model!,
      history: Array.from(history, (weight?: number) => weight ?? 0),
    };
    return {
      ...transfer.step(timestep, timestep, timestep - transfer.stride, weights),
      remember: PREDICTION,
    };
  });
}

/** Weights of the predictions in a step, and whether it starts from the kept latents. */
interface Predictions {
  kept?: boolean;
  model: number;
  history: number[];
}

/** Steps from one timestep to an earlier one along predictions: the paper's formula 9. */
class Transfer {
  /** Timesteps between two steps. */
  readonly stride: number;

  constructor(
    private readonly schedule: NoiseSchedule,
    private readonly config: SchedulerConfig,
    count: number,
  ) {
    this.stride = Math.floor(schedule.num_train_timesteps / count);
  }

  /**
   * @param at the timestep at which the denoiser is evaluated.
   * @param from the timestep of the latents that the step starts from.
   * @param to the timestep that it leads to.
   */
  step(at: number, from: number, to: number, { kept, model, history }: Predictions): Step {
    const { schedule, config } = this;
    // With trailing spacing rounding may add a step at timestep -1: to numpy it is the last one.
    const a = schedule.alphas_cumprod.at(from)!;
    const b = to >= 0 ? schedule.alphas_cumprod[to]! : config.final_alpha_cumprod;
    const factor = -(b - a) / (a * Math.sqrt(1 - b) + Math.sqrt(a * (1 - a) * b));
    const noise: Weights = noiseFrom(schedule.prediction_type, levelOf(a));
    const start = Math.sqrt(b / a) + factor * noise.sample;
    const along = factor * noise.model;
    const next: Next = {
      ...(kept ? { sample: 0, kept: start } : { sample: start }),
      model: along * model,
      history: history.map((weight) => along * weight),
    };
    const level = levelOf(schedule.alphas_cumprod.at(at)!);
    const denoised = cleanFrom(schedule.prediction_type, level);
    return { timestep: at, level: noiseLevel(level), inputScale: 1, next, denoised };
  }
}
