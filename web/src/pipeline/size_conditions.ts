/** What SDXL's UNet is told of sizes and crops, as diffusers' pipelines make it of their options. */

import type { SizeConditions } from "../api/options";
import type { Manifest, Size } from "../bundle/manifest";
import { OptionError } from "../util/errors";
import { CONDITION_CHECKS } from "../util/option_checks";

const NAMES = Object.keys(CONDITION_CHECKS) as (keyof SizeConditions)[];

/** The UNet's input `time_ids`, (1, 6), with the prompt and without it. */
export interface TimeIds {
  positive: Float32Array;
  /** Undefined if it is the same. */
  negative: Float32Array | undefined;
}

/**
 * Take the conditions of a request's options.
 *
 * @param hasPicture whether the request draws from a picture.
 * @returns a copy; undefined if none is given.
 * @throws OptionError if the model takes none, or diffusers would leave one out without a word.
 */
export function resolveConditions(
  manifest: Manifest,
  options: SizeConditions,
  hasPicture: boolean,
): SizeConditions | undefined {
  const given = NAMES.filter((name) => options[name] !== undefined);
  if (given.length === 0) return undefined;
  const takes = manifest.entry_points.some(({ inputs }) =>
    inputs.some(({ name }) => name === "time_ids"),
  );
  if (!takes) {
    throw new OptionError(
      `${manifest.model.name} takes no ${given[0]!}`,
      "models of SDXL are told of sizes; leave it out",
    );
  }
  const { negativeOriginalSize, negativeTargetSize, negativeCropTopLeft } = options;
  if (hasPicture && negativeCropTopLeft !== undefined) {
    throw new OptionError(
      "negativeCropTopLeft is given, and a picture to draw from",
      "with a picture, diffusers takes cropTopLeft for the negative prompt too; leave it out",
    );
  }
  const both = negativeOriginalSize !== undefined && negativeTargetSize !== undefined;
  const negative = given.find((name) => name.startsWith("negative"));
  if (!hasPicture && negative !== undefined && !both) {
    throw new OptionError(
      `${negative} is given without both negativeOriginalSize and negativeTargetSize`,
      "give both of them: diffusers takes the three negative conditions together",
    );
  }
  return Object.fromEntries(given.map((name) => [name, [...options[name]!]]));
}

/**
 * Make the UNet's input.
 *
 * @param size that is drawn.
 * @param fromPicture whether a picture is drawn from, where diffusers has other defaults.
 */
export function makeTimeIds(conditions: SizeConditions, size: Size, fromPicture: boolean): TimeIds {
  const { originalSize = size, cropTopLeft = [0, 0], targetSize = size } = conditions;
  const positive = joinTimeIds(originalSize, cropTopLeft, targetSize);
  const { negativeOriginalSize, negativeTargetSize, negativeCropTopLeft = [0, 0] } = conditions;
  let negative = positive;
  if (fromPicture) {
    negative = joinTimeIds(
      negativeOriginalSize ?? originalSize,
      cropTopLeft,
      negativeTargetSize ?? targetSize,
    );
  } else if (negativeOriginalSize !== undefined && negativeTargetSize !== undefined) {
    negative = joinTimeIds(negativeOriginalSize, negativeCropTopLeft, negativeTargetSize);
  }
  const same = negative.every((value, at) => value === positive[at]);
  return { positive, negative: same ? undefined : negative };
}

/** Heights come first, as diffusers has them. */
function joinTimeIds(
  [width, height]: readonly [number, number],
  [top, left]: readonly [number, number],
  [targetWidth, targetHeight]: readonly [number, number],
): Float32Array {
  return Float32Array.of(height, width, top, left, targetHeight, targetWidth);
}
