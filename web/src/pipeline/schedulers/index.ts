/** Schedulers by name. Adding one is a file here and a line in wsd/models/schedulers.py. */

import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { SCHEDULER_DEFAULTS } from "../../util/constants.generated";
import { UnsupportedError } from "../../util/errors";
import { ddim } from "./ddim";
import { ddpm } from "./ddpm";
import { deis } from "./deis";
import { dpmpp2m } from "./dpmpp2m";
import { dpmppSde } from "./dpmpp_sde";
import { euler, eulerAncestral } from "./euler";
import { flowEuler, flowHeun } from "./flow";
import { heun } from "./heun";
import { lcm } from "./lcm";
import { lms } from "./lms";
import { pndm } from "./pndm";
import { tcd } from "./tcd";
import type { Run, RunOptions } from "./types";
import { unipc } from "./unipc";

export type { Combination, NoiseLevel, Run, Step } from "./types";

type LayOut = (schedule: NoiseSchedule, config: SchedulerConfig, options: RunOptions) => Run;

const ALGORITHMS = new Map<string, LayOut>([
  ["dpmpp2m", dpmpp2m],
  ["euler", euler],
  ["euler_ancestral", eulerAncestral],
  ["ddim", ddim],
  ["lcm", lcm],
  ["pndm", pndm],
  ["heun", heun],
  ["lms", lms],
  ["ddpm", ddpm],
  ["tcd", tcd],
  ["dpmpp_sde", dpmppSde],
  ["unipc", unipc],
  ["deis", deis],
  ["flow_euler", flowEuler],
  ["flow_heun", flowHeun],
]);

/**
 * Evaluations of the denoiser in a step, where it is not one: diffusers' `order`. PNDM's is one,
 * although some of its steps take more.
 */
const EVALUATIONS = new Map([
  ["heun", 2],
  ["dpmpp_sde", 2],
  ["flow_heun", 2],
]);

/**
 * Lay out one run of a scheduler that the manifest lists.
 *
 * @param count denoising steps.
 * @param eta DDIM's share of DDPM's noise, 0 to 1.
 * @param skipped how many of the first denoising steps are left out, because a picture is given.
 * @param tokens of the picture in the denoiser; only flow matching may need them.
 * @throws UnsupportedError if this page does not have the scheduler's algorithm.
 */
export function layOutRun(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  eta: number,
  skipped = 0,
  tokens = 0,
): Run {
  const layOut = ALGORITHMS.get(config.algorithm);
  if (layOut === undefined) {
    throw new UnsupportedError(
      `this page has no scheduler ${JSON.stringify(config.algorithm)}`,
      "choose another scheduler, or use the page of the WSD that built the model",
    );
  }
  const alphas = [...schedule.alphas_cumprod];
  if (config.terminal_alpha_cumprod !== undefined) {
    alphas[alphas.length - 1] = config.terminal_alpha_cumprod;
  }
  // Older manifests lack the newer options.
  const complete = { ...SCHEDULER_DEFAULTS, ...config };
  const begin = skipped * (EVALUATIONS.get(config.algorithm) ?? 1);
  return layOut({ ...schedule, alphas_cumprod: alphas }, complete, { count, eta, begin, tokens });
}
