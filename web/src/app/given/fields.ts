/** The form's fields that are about a picture to begin with, and about the second pass. */

import {
  DEFAULT_MASKED_PADDING,
  DEFAULT_MASKED_STRENGTH,
  DEFAULT_SECOND_STRENGTH,
  DEFAULT_STRENGTH,
} from "../../index";
import type { PictureOptions, PictureSize, SecondPass } from "../../index";
import { element, field, fill } from "../dom";
import type { Field } from "../dropped_settings";
import { enlargements } from "../enlargements";
import { text, write } from "../strings";

/** Fields whose text is "" as long as they have the value that they begin with. */
export type OptionalField = Exclude<
  Field,
  | "prompt"
  | "negative"
  | "promptSyntax"
  | "prompt2"
  | "negative2"
  | "prompt3"
  | "negative3"
  | "clipSkip"
  | "cacheInterval"
  | "seed"
  | "steps"
  | "guidance"
  | "scheduler"
  | "size"
  | "images"
  | "image"
  | "variationSeed"
  | "variationStrength"
>;

const strength = field("strength");
const secondStrength = field("secondStrength");
const secondPass = field("secondPass");
const secondScale = element<HTMLSelectElement>("secondScale");
const onlyMasked = field("onlyMasked");
const keepUnmasked = field("keepUnmasked");
const padding = field("padding");

/** Fields with a value that is a text, and what they begin with. */
const PLAIN = { fit: "cover", maskBlur: "4", maskedContent: "original", upscale: "latent" };
type PlainField = keyof typeof PLAIN;

/** Whether the strength was chosen; otherwise it depends on whether there is a mask. */
let strengthChosen = false;
/** Steps of the second pass that came with settings; "" for as many as the first pass has. */
let secondSteps = "";
let isMasked = false;
let hasPicture = false;

/** Listen to the fields, and set them to what they begin with. */
export function startOptionalFields(changed: () => void): void {
  writeOptionalFields({ secondStrength: "", onlyMasked: "" });
  strength.addEventListener("input", () => (strengthChosen = true));
  secondPass.addEventListener("input", () => (secondSteps = ""));
  // A field that holds something wrong must be seen, or the browser cannot point at it.
  const options = element<HTMLDetailsElement>("given-options");
  options.addEventListener("invalid", () => (options.open = true), true);
  element("given").addEventListener("input", changed);
}

/** Read the fields; "" for what they begin with. */
export function readOptionalFields(): Record<OptionalField, string> {
  const plain = Object.fromEntries(
    Object.entries(PLAIN).map(([name, first]) => {
      const { value } = field(name);
      return [name, value === first ? "" : value];
    }),
  ) as Record<PlainField, string>;
  return {
    ...plain,
    strength: strengthChosen ? strength.value : "",
    onlyMasked: onlyMasked.checked ? padding.value : "",
    keepUnmasked: keepUnmasked.checked ? "" : "false",
    secondPass: secondPass.checked ? secondScale.value : "",
    secondStrength: secondPass.checked ? secondStrength.value : "",
    secondSteps: secondPass.checked ? secondSteps : "",
  };
}

/** Write fields; what is undefined stays, and "" stands for what a field begins with. */
export function writeOptionalFields(fields: Partial<Record<OptionalField, string>>): void {
  for (const [name, first] of Object.entries(PLAIN)) {
    const value = fields[name as PlainField];
    if (value !== undefined) field(name).value = value === "" ? first : value;
  }
  if (fields.strength !== undefined) {
    strengthChosen = fields.strength !== "";
    if (strengthChosen) strength.value = fields.strength;
  }
  if (fields.onlyMasked !== undefined) {
    onlyMasked.checked = fields.onlyMasked !== "";
    padding.value = fields.onlyMasked || String(DEFAULT_MASKED_PADDING);
  }
  if (fields.keepUnmasked !== undefined) keepUnmasked.checked = fields.keepUnmasked !== "false";
  if (fields.secondPass !== undefined) {
    secondPass.checked = fields.secondPass !== "";
    if (secondPass.checked) secondScale.value = fields.secondPass;
  }
  if (fields.secondSteps !== undefined) secondSteps = fields.secondSteps;
  if (fields.secondStrength !== undefined)
    secondStrength.value = fields.secondStrength || String(DEFAULT_SECOND_STRENGTH);
  describeOptionalFields();
}

/** Tell the fields whether there is a start picture, and whether a part of it is drawn anew. */
export function setGiven(given: boolean, masked: boolean): void {
  [hasPicture, isMasked] = [given, masked];
}

/** Whether there is a picture to begin with. */
export function hasGiven(): boolean {
  return hasPicture;
}

/** The pixels that are added at each side of the picture. */
export function addedSides(): { left: number; top: number; right: number; bottom: number } {
  const side = (name: string): number => {
    const pixels = field(`add-${name}`).valueAsNumber;
    return Number.isNaN(pixels) ? 0 : pixels;
  };
  return { left: side("left"), top: side("top"), right: side("right"), bottom: side("bottom") };
}

/** Add so many pixels at the left, the right, the top and the bottom of the picture; or nothing. */
export function addSides(pixels: readonly number[] = []): void {
  for (const [place, name] of ["left", "right", "top", "bottom"].entries())
    field(`add-${name}`).value = String(pixels[place] ?? 0);
}

/** The options of the start picture, all but the picture and its mask. */
export function readPictureOptions(): Omit<PictureOptions, "image" | "mask"> {
  const added = addedSides();
  const grows = Object.values(added).some((pixels) => pixels > 0);
  const options = {
    strength: strength.valueAsNumber,
    fit: field("fit").value as NonNullable<PictureOptions["fit"]>,
    ...(grows ? { outpaint: added } : {}),
  };
  if (!isMasked) return options;
  return {
    ...options,
    maskBlur: field("maskBlur").valueAsNumber,
    maskedContent: field("maskedContent").value as NonNullable<PictureOptions["maskedContent"]>,
    keepUnmasked: keepUnmasked.checked,
    ...(onlyMasked.checked ? { onlyMasked: true, onlyMaskedPadding: padding.valueAsNumber } : {}),
  };
}

/** The second pass; undefined if there is none. */
export function readSecondPass(): SecondPass | undefined {
  if (!secondPass.checked || secondPass.disabled) return undefined;
  return {
    scale: Number(secondScale.value),
    strength: secondStrength.valueAsNumber,
    upscale: field("upscale").value as NonNullable<SecondPass["upscale"]>,
    ...(secondSteps === "" ? {} : { steps: Number(secondSteps) }),
  };
}

/** Offer the sizes that a picture can be enlarged to. */
export function offerEnlargements(sizes: readonly PictureSize[], size: PictureSize): void {
  const present = secondScale.value;
  const options = enlargements(sizes, size).map((factor) => {
    const enlarged = size.map((side) => Math.round(side * factor)).join(" × ");
    return [String(factor), text().second.sizeOption(enlarged, factor)] as const;
  });
  fill("secondScale", options, present);
}

/** The least strength, in hundredths, at which so many steps leave one that is run. */
export function leastStrength(steps: number): number {
  for (let hundredths = 1; hundredths < 100; hundredths++) {
    if (Math.trunc(steps * (hundredths / 100)) >= 1) return hundredths / 100;
  }
  return 1;
}

/** Write what depends on other fields: shares in percent, what is shown, and what is possible. */
export function describeOptionalFields(): void {
  const { percent } = write();
  const { second: strings } = text();
  const steps = field("steps").valueAsNumber;
  if (steps >= 1) strength.min = String(leastStrength(steps));
  if (!strengthChosen)
    strength.value = String(isMasked ? DEFAULT_MASKED_STRENGTH : DEFAULT_STRENGTH);
  element("strength-share").textContent = percent(strength.valueAsNumber);
  strength.setAttribute("aria-valuetext", percent(strength.valueAsNumber));
  element("strength-hint").textContent = isMasked
    ? text().given.strengthMasked
    : text().given.strengthHint;
  element("mask-options").hidden = !isMasked;
  element("padding-row").hidden = !onlyMasked.checked;
  element("fit-row").hidden = isMasked && onlyMasked.checked;
  // What is not in sight must hold no field that keeps the form from being sent.
  for (const input of element("given").querySelectorAll<HTMLInputElement>("input, select"))
    input.disabled = !hasPicture || input.closest<HTMLElement>("[hidden]") !== null;

  const possible = secondScale.options.length > 0 && !hasPicture;
  secondPass.disabled = !possible;
  const shown = possible && secondPass.checked;
  element("second-options").hidden = !shown;
  for (const input of element("second-options").querySelectorAll<HTMLInputElement>("input, select"))
    input.disabled = !shown;
  const hint = hasPicture ? strings.notGiven : possible ? strings.hint : strings.none;
  const count = shown && secondSteps !== "" ? ` ${strings.stepsLine(Number(secondSteps))}` : "";
  element("second-hint").textContent = `${hint}${count}`;
  element("second-share").textContent = percent(secondStrength.valueAsNumber);
  secondStrength.setAttribute("aria-valuetext", percent(secondStrength.valueAsNumber));
}
