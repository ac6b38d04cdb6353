/** What other programs call the schedulers; the table is in wsd/models/schedulers.py. */

import { SAMPLER_NAMES } from "../util/constants.generated";
import { requireString } from "../util/option_checks";

/** A class of schedulers in diffusers. */
export type DiffusersScheduler = Extract<
  (typeof SAMPLER_NAMES)[keyof typeof SAMPLER_NAMES][number],
  readonly ["diffusers", string, string]
>[1];

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
 * @throws OptionError if one of them is not a string.
 */
export function findScheduler(
  program: string,
  sampler: string,
  schedule: string,
): KnownSampler | undefined {
  for (const [name, value] of Object.entries({ program, sampler, schedule })) {
    requireString(name, value);
  }
  if (Object.hasOwn(SAMPLER_NAMES, sampler) && schedule === "") {
    return { schedulers: [sampler], exact: true };
  }
  const named = NAMES.filter((each) => same(each.sampler, sampler));
  const speaks = Object.hasOwn(SPEAKS, program) ? SPEAKS[program] : program;
  const own = named.filter((each) => each.program === speaks);
  const candidates = own.length > 0 ? own : named;
  if (candidates.length === 0) return undefined;
  const wanted = candidates.filter((each) => same(each.schedule, schedule));
  const list = wanted.length > 0 ? wanted : candidates;
  const schedulers = [...new Set(list.map(({ scheduler }) => scheduler))];
  return { schedulers, exact: wanted.length > 0 };
}

const SPACINGS = /_(?:karras|exponential|beta|lu|flow)$/;

/**
 * Find the scheduler of a model that a class of diffusers means: the one that `from_config` of that
 * class makes of the model's own scheduler, which takes over how noise levels are spaced.
 *
 * @param own name of the model's own scheduler.
 * @param available the model's schedulers by name.
 * @returns undefined if there is no such class, or the model does not offer it.
 */
export function schedulerOfClass(
  className: string,
  own: string,
  available: Readonly<Record<string, { algorithm: string }>>,
): string | undefined {
  const named = NAMES.find(
    ({ program, sampler }) => program === "diffusers" && sampler === className,
  );
  if (named === undefined) return undefined;
  const { scheduler } = named;
  const [offered, mine] = [scheduler, own].map((name) =>
    Object.hasOwn(available, name) ? available[name] : undefined,
  );
  // One class has several algorithms, for which WSD has one name each.
  if (offered !== undefined && offered.algorithm === mine?.algorithm) return own;
  const spaced = `${scheduler}${SPACINGS.exec(own)?.[0] ?? ""}`;
  return [spaced, scheduler].find((name) => Object.hasOwn(available, name));
}

/** Return what AUTOMATIC1111's web UI calls a scheduler; its own name if that does not have it. */
export function nameSampler(scheduler: string): { sampler: string; schedule: string } {
  const name = NAMES.find((each) => each.scheduler === scheduler && each.program === "A1111");
  return { sampler: name?.sampler ?? scheduler, schedule: name?.schedule ?? "" };
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
