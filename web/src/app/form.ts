/** The form: the prompt and the settings, as texts that can be read, written and kept. */

import type { Preflight } from "../index";
import type { PictureSize } from "../index";
import { compiledSizes, hasDeepCache, hasEncoder, maxClipSkip } from "../index";
import { element, field, fill } from "./dom";
import type { Field, Offer } from "./dropped_settings";
import {
  describeOptionalFields,
  hasGiven,
  offerEnlargements,
  readOptionalFields,
  startOptionalFields,
  writeOptionalFields,
} from "./given/fields";
import { text } from "./strings";

/** The texts of the form's fields; a seed of "" is a new one for each picture. */
export type FormValues = Record<Field, string>;

const random = field("random");
const images = field("images");
/** The fields that are elements of the page; `image` is a state of the form. */
const FIELDS = [
  ...(["prompt2", "negative2", "prompt3", "negative3"] as const),
  ...(["prompt", "negative", "seed", "steps", "guidance", "scheduler", "size"] as const),
  "images",
] as const;

const listeners: (() => void)[] = [];
let offered:
  Omit<Offer, "scheduler" | "guidance" | "maxImages" | "steps" | "size" | "hasPicture"> | undefined;
/** The one picture of a batch that is drawn alone, from 1; "" for all of them. */
let only = "";
/** Other noise that is mixed into the seed's, and how much of it; "" for none. */
let variation = { seed: "", strength: "" };
/** The visitor's own seed while the form has one of an example; undefined otherwise. */
let ownSeed: string | undefined;

/** Call a function whenever the form changes, by hand or by {@link writeForm}. */
export function onFormChange(listener: () => void): void {
  listeners.push(listener);
}

/** Read the form. */
export function readForm(): FormValues {
  const values = Object.fromEntries(FIELDS.map((id) => [id, field(id).value]));
  return {
    ...(values as FormValues),
    seed: random.checked ? "" : field("seed").value,
    promptSyntax: field("weights").checked ? "a1111" : "",
    clipSkip: field("clipSkip").value === "0" ? "" : field("clipSkip").value,
    cacheInterval: field("cacheInterval").value === "1" ? "" : field("cacheInterval").value,
    image: only,
    ...readOptionalFields(),
    variationSeed: variation.seed,
    variationStrength: variation.strength,
  };
}

/** The size that is drawn. */
export function readSize(): PictureSize {
  const [width, height] = field("size").value.split("x").map(Number);
  return [width ?? 0, height ?? 0];
}

/** Write into the form; what a list does not offer is left out. A seed is kept from then on. */
export function writeForm(fields: Partial<FormValues>): void {
  if (fields.seed !== undefined) ownSeed = undefined;
  else if (fields.prompt !== undefined) returnSeed();
  for (const id of FIELDS) {
    const value = fields[id];
    if (value === undefined) continue;
    const input = field(id) as HTMLInputElement | HTMLSelectElement;
    if (id === "seed") keepSeed(value);
    else if (!(input instanceof HTMLSelectElement) || offers(input, value)) input.value = value;
  }
  if (fields.promptSyntax !== undefined) field("weights").checked = fields.promptSyntax === "a1111";
  if (fields.clipSkip !== undefined) field("clipSkip").value = fields.clipSkip || "0";
  const { cacheInterval } = fields;
  if (cacheInterval !== undefined) field("cacheInterval").value = cacheInterval || "1";
  if (fields.size !== undefined) offerLarger();
  writeOptionalFields(fields);
  const { variationSeed: other, variationStrength: share } = fields;
  if (other !== undefined || share !== undefined) {
    variation = { seed: other ?? "", strength: share ?? "" };
  }
  if (fields.images !== undefined || fields.image !== undefined) only = fields.image ?? "";
  changed();
}

function offers(select: HTMLSelectElement, value: string): boolean {
  return [...select.options].some((option) => option.value === value);
}

function keepSeed(value: string): void {
  random.checked = value === "";
  if (value !== "") field("seed").value = value;
}

/**
 * Treat the form's seed as borrowed from an example: with another prompt, the visitor's own comes back.
 *
 * @param own the form's seed before the example; "" for a new one for each picture.
 */
export function borrowSeed(own: string): void {
  ownSeed = own;
}

/** Write the visitor's own seed in place of one that was borrowed. */
function returnSeed(): void {
  if (ownSeed !== undefined) keepSeed(ownSeed);
  ownSeed = undefined;
}

/** Show the seed of the picture that is being drawn, which may be drawn again. */
export function showSeed(seed: string): void {
  if (random.checked) field("seed").value = seed;
  describeSettings();
}

/** What the form offers of the chosen model; undefined before one is chosen. */
export function offer(): Offer | undefined {
  if (offered === undefined) return undefined;
  const guidance = { min: Number(field("guidance").min), max: Number(field("guidance").max) };
  return {
    ...offered,
    hasPicture: hasGiven(),
    size: field("size").value,
    scheduler: field("scheduler").value,
    steps: field("steps").valueAsNumber,
    guidance,
    maxImages: Number(images.max),
  };
}

/** Fill the form with a model's options and their defaults. */
export function offerModel(preflight: Preflight): void {
  const { manifest, sizes, takesNegativePrompt, textEncoder3 } = preflight;
  const { defaults, schedulers } = manifest;
  const { encoders } = manifest.conditioning;
  const drawable = sizes.length === 0 ? compiledSizes(manifest) : sizes;
  // Older manifests have no eta.
  const { eta = 0 } = defaults as Partial<typeof defaults>;
  offered = {
    model: manifest.model,
    schedulers: schedulers.available,
    sizes: drawable,
    eta,
    takesNegativePrompt,
    // Each further text encoder may read another prompt.
    takesSecondPrompt: encoders.length > 1,
    takesThirdPrompt: encoders.length > 2 && textEncoder3 !== false,
    maxClipSkip: maxClipSkip(manifest),
    hasDeepCache: hasDeepCache(manifest),
    takesPicture: hasEncoder(manifest),
  };
  offerPrompts("prompt2", "negative2", offered.takesSecondPrompt);
  offerPrompts("prompt3", "negative3", offered.takesThirdPrompt);
  offerClipSkip(offered.maxClipSkip);
  offerCacheInterval(offered.hasDeepCache);
  field("negative").disabled = !takesNegativePrompt;
  field("steps").valueAsNumber = defaults.steps;
  field("guidance").valueAsNumber = defaults.guidance_scale;
  fill(
    "scheduler",
    Object.entries(schedulers.available).map(([name, { title }]) => [name, title]),
    schedulers.default,
  );
  fill(
    "size",
    drawable.map((size) => [size.join("x"), size.join(" × ")]),
    defaults.size.join("x"),
  );
  changed();
}

/** Show both prompts of a further text encoder, or have none. */
function offerPrompts(positive: Field, negative: Field, takes: boolean): void {
  for (const id of [positive, negative]) {
    element(`${id}-row`).hidden = !takes;
    field(id).disabled = !takes;
    if (!takes) field(id).value = "";
  }
}

/** Show how many layers the text encoders may leave out, and begin with none. */
function offerClipSkip(most: number): void {
  element("clipSkip-row").hidden = most === 0;
  const input = field("clipSkip");
  input.disabled = most === 0;
  input.max = String(most);
  input.value = "0";
}

/** Show the cache interval if the model keeps deep features, and begin without an effect of it. */
function offerCacheInterval(takes: boolean): void {
  element("cacheInterval-row").hidden = !takes;
  const input = field("cacheInterval");
  input.disabled = !takes;
  input.value = "1";
}

/** Offer the sizes to which a second pass can enlarge what is drawn. */
function offerLarger(): void {
  offerEnlargements(offered?.sizes ?? [], readSize());
}

/** Listen to changes of the form by hand. */
export function startForm(): void {
  field("seed").addEventListener("input", () => {
    ownSeed = undefined;
    // An empty field means a new seed for each picture.
    random.checked = field("seed").value === "";
  });
  random.addEventListener("change", () => {
    ownSeed = undefined;
    if (!random.checked && field("seed").value === "") field("seed").value = randomSeed();
  });
  images.addEventListener("input", () => (only = ""));
  element("all-images").addEventListener("click", () => writeForm({ image: "" }));
  element("settings").addEventListener("input", changed);
  element("no-variation").addEventListener("click", () => {
    writeForm({ variationSeed: "", variationStrength: "" });
  });
  startOptionalFields(changed);
  field("prompt").addEventListener("input", () => {
    returnSeed();
    changed();
  });
}

/** A seed as the pipeline makes one itself: a whole number of 32 bits. */
export function randomSeed(): string {
  return crypto.getRandomValues(new Uint32Array(1))[0]!.toString();
}

/** Write anew what depends on the form, and keep it: something of it has changed. */
export function changed(): void {
  describeSettings();
  for (const listener of listeners) listener();
}

/** Summarise the settings in the line below their title. */
export function describeSettings(): void {
  const { steps, guidance, seed, images: count, image } = readForm();
  element("settings-line").textContent =
    steps === ""
      ? ""
      : text().settingsLine(
          Number(steps),
          Number(guidance),
          seed === "" ? undefined : seed,
          image === "" ? Number(count) : 1,
        );
  offerLarger();
  describeOptionalFields();
  element("variation").hidden = variation.seed === "";
  element("variation-text").textContent =
    variation.seed === "" ? "" : text().variation.line(variation.seed, Number(variation.strength));
  element("negative-hint").textContent =
    offered?.takesNegativePrompt === false ? text().negativeUnused : text().negativeHint;
  element("only").hidden = image === "";
  element("only-text").textContent =
    image === "" ? "" : text().onlyImage(Number(image), Number(count));
  element("all-images").textContent = text().allImages;
}
