/** Schedulers by name. Adding one is a file here and a line in wsd/models/schedulers.py. */

import type { SchedulerConfig, SchedulerConstants } from "../../bundle/manifest";
import { ddim } from "./ddim";
import { dpmpp2m } from "./dpmpp2m";
import { euler, eulerAncestral } from "./euler";
import { lcm } from "./lcm";
import { pndm } from "./pndm";
import type { Run } from "./types";

export type { Run, Step } from "./types";

type LayOut = (
  constants: SchedulerConstants,
  config: SchedulerConfig,
  count: number,
  eta: number,
) => Run;

const ALGORITHMS: Record<SchedulerConfig["algorithm"], LayOut> = {
  dpmpp2m,
  euler,
  euler_ancestral: eulerAncestral,
  ddim,
  lcm,
  pndm,
};

/** Lay out one run of a scheduler that the manifest lists. */
export function layOutRun(
  constants: SchedulerConstants,
  name: string,
  count: number,
  eta: number,
): Run {
  const config = constants.schedulers[name]!;
  return ALGORITHMS[config.algorithm](constants, config, count, eta);
}
