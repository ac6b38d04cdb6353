/** What other programs call the schedulers; the table is in wsd/models/schedulers.py. */

import { SAMPLER_NAMES } from "../util/constants.generated";

/** The schedulers that another program's names mean. */
export interface KnownSampler {
  /** Names of schedulers, the best first. */
  schedulers: string[];
  /** False if the sampler is known and its schedule is not: then these have other schedules. */
  exact: boolean;
}

const NAMES = Object.entries(SAMPLER_NAMES).flatMap(([scheduler, names]) =>
  names.map(([program, sampler, schedule]) => ({ scheduler, program, sampler, schedule })),
);

/** Programs that write the names of another one. */
const SPEAKS: Record<string, string> = {
  "SD.Next": "A1111",
  Fooocus: "ComfyUI",
  SwarmUI: "ComfyUI",
  NovelAI: "ComfyUI",
};

/**
 * Find the scheduler that another program means.
 *
 * @param program its name; if it does not know the sampler, the other programs' names are taken.
 * @param schedule how it calls the spacing of noise levels; empty if it did not say.
 * @returns undefined if no program knows the sampler.
 */
export function findScheduler(
  program: string,
  sampler: string,
  schedule: string,
): KnownSampler | undefined {
  if (Object.hasOwn(SAMPLER_NAMES, sampler) && schedule === "") {
    return { schedulers: [sampler], exact: true };
  }
  const named = NAMES.filter((each) => same(each.sampler, sampler));
  const own = named.filter((each) => each.program === (SPEAKS[program] ?? program));
  const candidates = own.length > 0 ? own : named;
  if (candidates.length === 0) return undefined;
  const wanted = candidates.filter((each) => same(each.schedule, schedule));
  const list = wanted.length > 0 ? wanted : candidates;
  const schedulers = [...new Set(list.map(({ scheduler }) => scheduler))];
  return { schedulers, exact: wanted.length > 0 };
}

/** Return what AUTOMATIC1111's web UI calls a scheduler; its own name if that does not have it. */
export function nameSampler(scheduler: string): { sampler: string; schedule: string } {
  const name = NAMES.find((each) => each.scheduler === scheduler && each.program === "A1111");
  return { sampler: name?.sampler ?? scheduler, schedule: name?.schedule ?? "" };
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
