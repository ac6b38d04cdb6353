/**
 * UniPC (Zhao et al. 2023): a multistep predictor of B(h) form and a corrector that uses the next
 * prediction without another evaluation, as diffusers' `UniPCMultistepScheduler` runs them.
 */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { multistepLevels } from "./multistep";
import type { Level, Weights } from "./noise_levels";
import { cleanFrom, linspace, logSnr, noiseFrom, noiseLevel } from "./noise_levels";
import type { Combination, Run, RunOptions, Step } from "./types";

/** Weights of an update: of the latents that it starts from, and of predictions, newest first. */
interface Update {
  sample: number;
  predictions: number[];
}

/**
 * Lay out one run. What the steps keep is the corrected sample, from which the next corrector
 * starts again. It begins with the first order.
 */
export function unipc(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  { count, begin }: RunOptions,
): Run {
  const { timesteps, levels } = multistepLevels(schedule, config, count, {
    final: (least, last, spaced) =>
      config.final_sigmas_type === "zero" ? 0 : spaced ? last : least,
    flow: (train, steps) => linspace(1, 1 / train, steps + 1).slice(0, steps),
    leastSignal: 1e-6,
  });
  const predict = config.predict_x0 ? cleanFrom : noiseFrom;
  const orders = timesteps.map((_, i) => {
    const limit = config.lower_order_final ? timesteps.length - i : Infinity;
    return Math.min(config.solver_order, limit, i - begin + 1);
  });
  const steps = timesteps.slice(begin).map((timestep, known): Step => {
    const i = begin + known;
    const prediction = predict(schedule.prediction_type, levels[i]!);
    const corrects = known > 0 && !config.disable_corrector.includes(i - 1);
    const corrected = corrects
      ? correct(config, levels, i, orders[i - 1]!, prediction)
      : { sample: 1, model: 0 };
    const { sample, predictions } = predictor(config, levels, i, orders[i]!);
    const [current, ...earlier] = predictions;
    return {
      timestep,
      level: noiseLevel(levels[i]!),
      inputScale: 1,
      remember: prediction,
      keep: corrected,
      next: {
        sample: sample * corrected.sample + current! * prediction.sample,
        model: sample * corrected.model + current! * prediction.model,
        ...(corrected.kept === undefined ? {} : { kept: sample * corrected.kept }),
        history: add(scale(corrected.history ?? [], sample), earlier),
      },
      denoised: cleanFrom(schedule.prediction_type, levels[i]!),
    };
  });
  return { initNoiseSigma: 1, steps };
}

/** The corrected sample at step `i`, in terms of what the step can read. */
function correct(
  config: SchedulerConfig,
  levels: readonly Level[],
  i: number,
  order: number,
  prediction: Weights,
): Combination {
  const points = levels.slice(i - order, i).reverse();
  const { sample, predictions, ahead } = step(config, points, levels[i]!, order, true);
  return {
    sample: ahead * prediction.sample,
    model: ahead * prediction.model,
    kept: sample,
    history: predictions,
  };
}

/** The predictor from step `i` to the next level. */
function predictor(
  config: SchedulerConfig,
  levels: readonly Level[],
  i: number,
  order: number,
): Update {
  const points = levels.slice(i - order + 1, i + 1).reverse();
  return step(config, points, levels[i + 1]!, order, false);
}

/**
 * One update of B(h) form.
 *
 * @param points levels of the known predictions, newest first; it starts at the first one.
 * @param corrects whether the prediction at `to` is known too.
 * @returns the update's weights; `ahead` is the weight of the prediction at `to`.
 */
function step(
  config: SchedulerConfig,
  points: readonly Level[],
  to: Level,
  order: number,
  corrects: boolean,
): Update & { ahead: number } {
  const from = points[0]!;
  const h = logSnr(to) - logSnr(from);
  const hh = config.predict_x0 ? -h : h;
  const phi = Math.expm1(hh);
  const scaleOfB = config.solver_type === "bh1" ? hh : phi;
  const outer = config.predict_x0 ? to.alpha : to.sigma;
  const ratios = points.slice(1).map((point) => (logSnr(point) - logSnr(from)) / h);
  const nodes = [...ratios, 1];
  const targets = rightHandSide(hh, phi, scaleOfB, order);
  let rho: number[];
  if (corrects) rho = order === 1 ? [0.5] : solve(vandermonde(nodes), targets);
  else if (order === 1) rho = [];
  else if (order === 2) rho = [0.5];
  else rho = solve(vandermonde(ratios), targets.slice(0, -1));
  // Each term is -outer * B(h) * rho * (m - m0) / ratio.
  const weights = rho.map((value, k) => (-outer * scaleOfB * value) / nodes[k]!);
  const ahead = corrects ? weights.pop()! : 0;
  const start = -outer * phi - weights.reduce((sum, weight) => sum + weight, ahead);
  return {
    sample: config.predict_x0 ? to.sigma / from.sigma : to.alpha / from.alpha,
    predictions: [start, ...weights],
    ahead,
  };
}

/** The paper's b: for each order k the scaled phi_(k+1), which exact integration asks for. */
function rightHandSide(hh: number, phi: number, scaleOfB: number, order: number): number[] {
  const found: number[] = [];
  let value = phi / hh - 1;
  let factorial = 1;
  for (let k = 1; k <= order; k++) {
    found.push((value * factorial) / scaleOfB);
    factorial *= k + 1;
    value = value / hh - 1 / factorial;
  }
  return found;
}

/** Rows of powers of the nodes, from the 0th up. */
function vandermonde(nodes: readonly number[]): number[][] {
  return nodes.map((_, power) => nodes.map((node) => node ** power));
}

/** Solve a small linear system by elimination with row pivots. */
function solve(matrix: readonly number[][], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    const below = rows.slice(column);
    const pivot = below.reduce((best, row) =>
      Math.abs(row[column]!) > Math.abs(best[column]!) ? row : best,
    );
    rows.splice(rows.indexOf(pivot), 1, rows[column]!);
    rows[column] = pivot;
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[column]! / pivot[column]!;
      row.forEach((value, k) => (row[k] = value - factor * pivot[k]!));
    }
  }
  return rows.map((row, i) => row[size]! / row[i]!);
}

function scale(weights: readonly number[], factor: number): number[] {
  return weights.map((weight) => weight * factor);
}

/** Add two lists element by element; the shorter one is filled with zeros. */
function add(a: readonly number[], b: readonly number[]): number[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0));
}
