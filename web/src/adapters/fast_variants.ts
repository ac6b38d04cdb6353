/**
 * Recognises LoRAs that were distilled from a model for few steps, and says what suits them: LCM, TCD,
 * Turbo, Lightning, Hyper and DMD2. The table is that of wsd/models/fine_tunes.py.
 */

import type { SuggestedSettings } from "../api/lora";
import type { Manifest } from "../bundle/manifest";
import {
  ADAPTER_TITLES,
  FAST_VARIANTS,
  RESIDUAL_KEY,
  TEXT_ENCODER_KEY,
  TRAINED_ON_PICTURES,
} from "../util/constants.generated";
import { requireManifest } from "../util/option_checks";

const TRAILING = "_trailing";
/* eslint-disable security/detect-non-literal-regexp -- constants of the program */
const TEXT_ENCODER = new RegExp(TEXT_ENCODER_KEY);
const RESIDUAL = new RegExp(RESIDUAL_KEY);
const WORDS = new Map(FAST_VARIANTS.map(({ name, words }) => [name as string, new RegExp(words)]));
/* eslint-enable security/detect-non-literal-regexp */
/** So many characters of a text are looked through; a title has fewer. */
const LONGEST_TEXT = 200;
/** What draws most like a scheduler of few steps that a bundle lacks. */
const NEAREST: Readonly<Record<string, string>> = { lcm: "tcd", tcd: "lcm" };

/**
 * Find what a LoRA is, as Python's `find_adapter_fine_tune` does: a name alone does not decide.
 *
 * @param names where it comes from, for example the names of its folder and file.
 * @param keys names of its tensors.
 * @returns its name in the table; undefined for an ordinary LoRA.
 */
export function findFastVariant(
  names: readonly string[],
  metadata: Readonly<Record<string, string>>,
  keys: readonly string[],
  manifest: Manifest,
): string | undefined {
  if (TRAINED_ON_PICTURES.some((key) => Object.hasOwn(metadata, key))) return undefined;
  if (keys.some((key) => TEXT_ENCODER.test(key)) || !keys.some((key) => RESIDUAL.test(key)))
    return undefined;
  const titles = ADAPTER_TITLES.map((key) => metadata[key] ?? "");
  for (const title of [...titles, ...names]) {
    const start = title.slice(0, LONGEST_TEXT).toLowerCase();
    const words = (start.match(/[a-z0-9]+/g) ?? []).join(" ");
    const found = variantsOf(manifest).find(({ name }) => WORDS.get(name)!.test(words));
    if (found !== undefined) return found.name;
  }
  return undefined;
}

/**
 * Say what suits a LoRA in a bundle.
 *
 * @param name in the table; what is not there, or is of another family, suits nothing.
 * @throws OptionError if it is not a manifest.
 */
export function suggestSettings(
  name: string | undefined,
  manifest: Manifest,
): SuggestedSettings | undefined {
  requireManifest(manifest);
  const variant = variantsOf(manifest).find((each) => each.name === name);
  if (variant === undefined) return undefined;
  const { scheduler: wanted, steps, guidance, eta } = variant;
  const scheduler = nearestScheduler(wanted, manifest);
  return {
    fastVariant: variant.name,
    scheduler: scheduler ?? manifest.schedulers.default,
    ...(scheduler === undefined || !suits(scheduler, wanted, manifest)
      ? { missingScheduler: wanted }
      : {}),
    numInferenceSteps: steps,
    guidanceScale: guidance,
    eta,
  };
}

function variantsOf({ conditioning }: Manifest): (typeof FAST_VARIANTS)[number][] {
  // Of the architectures that join states so, there is none. Of the others, only SDXL has two encoders.
  if (conditioning.join === "sequence") return [];
  const own = conditioning.encoders.length > 1 ? "stable-diffusion-xl" : "stable-diffusion";
  return FAST_VARIANTS.filter(({ architectures }) =>
    (architectures as readonly string[]).includes(own),
  );
}

/** Find the scheduler, or the one that differs least from it; undefined if the bundle has none. */
function nearestScheduler(wanted: string, { schedulers }: Manifest): string | undefined {
  const base = baseOf(wanted);
  return [wanted, base, NEAREST[base]].find(
    (name) => name !== undefined && Object.hasOwn(schedulers.available, name),
  );
}

/** Whether a scheduler draws as the wanted one does. */
function suits(name: string, wanted: string, { schedulers }: Manifest): boolean {
  if (name === wanted) return true;
  // A bundle whose own timesteps are so spaced has no other name for it.
  const isTrailing = schedulers.available[name]!.timestep_spacing === "trailing";
  return wanted.endsWith(TRAILING) && name === baseOf(wanted) && isTrailing;
}

function baseOf(scheduler: string): string {
  return scheduler.endsWith(TRAILING) ? scheduler.slice(0, -TRAILING.length) : scheduler;
}
