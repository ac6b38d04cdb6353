/**
 * Fits pictures into the size that is drawn, as diffusers' VaeImageProcessor resizes.
 *
 * `wsd/runtime/picture_fit.py` does the same for the commands; tests compare the two.
 */

import type { Fit } from "../api/options";
import type { PictureSize, Rectangle } from "../api/types";
import { OptionError } from "../util/errors";
import { requireFit, requireSize, show } from "../util/option_checks";
import type { Grey, Pixels } from "./pixels";
import { cutOut } from "./pixels";
import { resizeBytes } from "./resample";

/** Where a fitted picture comes from, and where it lies. */
export interface Fitting {
  /** Width and height that the whole given picture is scaled to. */
  scaled: PictureSize;
  /** Where the scaled picture's corner lies in the drawn one; negative where it is cut off. */
  offset: readonly [left: number, top: number];
  /** The part of the given picture that is kept, in its own pixels. */
  from: Rectangle;
  /** Where that part lies in the drawn picture. */
  to: Rectangle;
}

/** How far two logarithms of shapes or areas may be apart and still mean the same. */
const ALIKE = 1e-9;

/**
 * Say how a picture is fitted into a size.
 *
 * @param given width and height of the picture, each at least 1.
 * @param size width and height that are drawn.
 * @throws OptionError if one of the arguments is of another type.
 */
export function describeFit(given: PictureSize, size: PictureSize, fit: Fit): Fitting {
  requireSize("given", given);
  requireSize("size", size);
  requireFit("fit", fit);
  const [width, height] = given;
  const scaled = scaledSize(given, size, fit);
  // As diffusers' _resize_and_fill and _resize_and_crop round.
  const [left, top] = [0, 1].map(
    (axis) => Math.floor(size[axis]! / 2) - Math.floor(scaled[axis]! / 2),
  ) as [number, number];
  const to = {
    left: Math.max(0, left),
    top: Math.max(0, top),
    width: Math.min(size[0], scaled[0] + left) - Math.max(0, left),
    height: Math.min(size[1], scaled[1] + top) - Math.max(0, top),
  };
  const [across, down] = [width / scaled[0], height / scaled[1]];
  const from = {
    left: (to.left - left) * across,
    top: (to.top - top) * down,
    width: to.width * across,
    height: to.height * down,
  };
  return { scaled, offset: [left, top], from, to };
}

function scaledSize(given: PictureSize, size: PictureSize, fit: Fit): PictureSize {
  const [[width, height], [wide, high]] = [given, size];
  if (fit === "stretch") return size;
  if (fit === "crop" && width >= wide && height >= high) return given;
  const isWider = width * high > wide * height;
  // A picture of one row has a row left, however small it becomes.
  const follow = (side: number, by: number, of: number): number =>
    Math.max(1, Math.floor((side * by) / of));
  if (isWider === (fit === "contain")) return [wide, follow(height, wide, width)];
  return [follow(width, high, height), high];
}

/**
 * Fit a picture or a mask into a size. What a picture does not cover repeats its edge.
 *
 * @returns the picture itself if it has the size.
 */
export function fitPicture<Picture extends Pixels | Grey>(
  picture: Picture,
  size: PictureSize,
  fit: Fit,
): Picture {
  const given: PictureSize = [picture.width, picture.height];
  if (given[0] === size[0] && given[1] === size[1]) return picture;
  const { scaled, offset, to } = describeFit(given, size, fit);
  // Only what is seen is scaled.
  const left = to.left - offset[0];
  const top = to.top - offset[1];
  const part = resizePart(picture, scaled, { left, top, width: to.width, height: to.height });
  if (to.width === size[0] && to.height === size[1]) return part;
  return cutOut(part, { left: -to.left, top: -to.top, width: size[0], height: size[1] });
}

/** Scale a picture with Pillow's Lanczos filter, and return a part of the result. */
function resizePart<Picture extends Pixels | Grey>(
  picture: Picture,
  scaled: PictureSize,
  part: Rectangle,
): Picture {
  const from = [picture.width, picture.height] as const;
  if (from[0] === scaled[0] && from[1] === scaled[1]) return cutOut(picture, part);
  const channels = picture.data.length / (from[0] * from[1]);
  const data = resizeBytes(picture.data, channels, from, scaled, "lanczos", part);
  return { width: part.width, height: part.height, data } as Picture;
}

/**
 * Choose the size that a picture is drawn in: its own if that is offered, else the one whose shape
 * is nearest; of several of one shape, the one whose pixels are nearest in number; of several of
 * these, the first.
 *
 * @param sizes those that are offered, at least one.
 * @throws OptionError if one of the arguments is of another type, or no size is offered.
 */
export function nearestSize(given: PictureSize, sizes: readonly PictureSize[]): PictureSize {
  requireSize("given", given);
  const isList: boolean = Array.isArray(sizes);
  if (!isList || sizes.length === 0) {
    throw new OptionError(`sizes is ${show(sizes)}`, "give those that compiledSizes returns");
  }
  sizes.forEach((size, index) => requireSize(`sizes[${index}]`, size));
  const distance = ([width, height]: PictureSize): [number, number] => [
    Math.abs(Math.log((width * given[1]) / (height * given[0]))),
    Math.abs(Math.log((width * height) / (given[0] * given[1]))),
  ];
  return sizes.reduce((best, size) => {
    const [shape, area] = distance(size);
    const [bestShape, bestArea] = distance(best);
    const isSameShape = Math.abs(shape - bestShape) < ALIKE;
    const isNearer = isSameShape ? area < bestArea - ALIKE : shape < bestShape;
    return isNearer ? size : best;
  });
}
