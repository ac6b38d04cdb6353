/** Schedulers by name. Adding one is a file here and a line in wsd/models/schedulers.py. */

import { UnsupportedError } from "../../api/errors";
import type { NoiseSchedule, SchedulerConfig } from "../../bundle/manifest";
import { ddim } from "./ddim";
import { dpmpp2m } from "./dpmpp2m";
import { euler, eulerAncestral } from "./euler";
import { lcm } from "./lcm";
import { pndm } from "./pndm";
import type { Run } from "./types";

export type { Combination, Run, Step } from "./types";

type LayOut = (schedule: NoiseSchedule, config: SchedulerConfig, count: number, eta: number) => Run;

const ALGORITHMS = new Map<string, LayOut>([
  ["dpmpp2m", dpmpp2m],
  ["euler", euler],
  ["euler_ancestral", eulerAncestral],
  ["ddim", ddim],
  ["lcm", lcm],
  ["pndm", pndm],
]);

/**
 * Lay out one run of a scheduler that the manifest lists.
 *
 * @param count denoising steps.
 * @param eta DDIM's share of DDPM's noise, 0 to 1.
 * @throws UnsupportedError if this page does not have the scheduler's algorithm.
 */
export function layOutRun(
  schedule: NoiseSchedule,
  config: SchedulerConfig,
  count: number,
  eta: number,
): Run {
  const layOut = ALGORITHMS.get(config.algorithm);
  if (layOut === undefined) {
    throw new UnsupportedError(
      `this page has no scheduler ${JSON.stringify(config.algorithm)}`,
      "choose another scheduler, or use the page of the WSD that built the model",
    );
  }
  return layOut(schedule, config, count, eta);
}
