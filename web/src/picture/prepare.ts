/** Prepares a picture and its mask for drawing: enlarged, blurred, cut out, fitted. Pure functions. */

import type { Fit, MaskedContent, Outpaint } from "../api/options";
import type { PictureReport, PictureSize, Rectangle } from "../api/types";
import { MASKED_FROM } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { DEFAULT_MASKED_PADDING, LONGEST_SIDE, MOST_PIXELS } from "../util/option_values";
import { blurMask } from "./blur";
import { describeFit, fitPicture } from "./fit";
import { cropRegion, fillMasked } from "./mask";
import type { Overlay } from "./overlay";
import type { Grey, Pixels } from "./pixels";
import { cutOut, makeGrey, paste } from "./pixels";

/** How a picture is prepared; the options of `generate` of these names. */
export interface Preparation {
  fit?: Fit | undefined;
  maskBlur?: number | undefined;
  maskedContent?: MaskedContent | undefined;
  onlyMasked?: boolean | undefined;
  onlyMaskedPadding?: number | undefined;
  keepUnmasked?: boolean | undefined;
}

/** A picture that was given, and the mask of what is drawn anew; they have the same size. */
export interface MaskedPicture {
  picture: Pixels;
  mask: Grey | undefined;
}

/** A picture in the size that is drawn. */
export interface PreparedPicture extends MaskedPicture {
  /** What is put back when the picture is drawn; undefined if nothing is. */
  overlay: Overlay | undefined;
  report: Omit<PictureReport, "startStep" | "runSteps">;
}

/**
 * Check a mask's size, and add what is drawn at the sides of a picture.
 *
 * @param mask of the picture's own size.
 * @throws OptionError if the mask has another size, is black all over, or the picture would become
 *   too large.
 */
export function joinMask(
  picture: Pixels,
  mask: Grey | undefined,
  outpaint: Outpaint | undefined,
): MaskedPicture {
  const { width, height } = picture;
  if (mask !== undefined && (mask.width !== width || mask.height !== height)) {
    throw new OptionError(
      `mask is ${mask.width} by ${mask.height} pixels, and image is ${width} by ${height}`,
      "give a mask of the picture's own size, upright",
    );
  }
  const { left = 0, top = 0, right = 0, bottom = 0 } = outpaint ?? {};
  const size = [width + left + right, height + top + bottom] as const;
  if (Math.max(...size) > LONGEST_SIDE || size[0] * size[1] > MOST_PIXELS) {
    throw new OptionError(`outpaint makes the picture ${size.join(" by ")} pixels`, "add fewer");
  }
  let joined = { picture, mask };
  if (left + top + right + bottom > 0) {
    const beyond = makeGrey(size, 255);
    paste(beyond, mask ?? makeGrey([width, height], 0), left, top);
    const area = { left: -left, top: -top, width: size[0], height: size[1] };
    joined = { picture: cutOut(picture, area), mask: beyond };
  }
  if (joined.mask?.data.some((value) => value >= MASKED_FROM) === false) {
    throw new OptionError(
      "the mask is black all over, so that nothing would be drawn",
      "what is to be drawn anew is white in a mask",
    );
  }
  return joined;
}

/**
 * Bring a picture and its mask to the size that is drawn.
 *
 * @param given as {@link joinMask} returns it.
 * @throws OptionError if no pixel of the mask is left in that size.
 */
export function preparePicture(
  given: MaskedPicture,
  size: PictureSize,
  options: Preparation,
): PreparedPicture {
  const { picture } = given;
  const mask = given.mask && blurMask(given.mask, options.maskBlur ?? 0);
  const prepared =
    mask !== undefined && options.onlyMasked === true
      ? prepareArea(picture, mask, size, options)
      : prepareWhole(picture, mask, size, options);
  if (prepared.mask === undefined) return prepared;
  if (!prepared.mask.data.some((value) => value >= MASKED_FROM)) {
    throw new OptionError(
      `nothing of the mask is left at ${size.join("x")}`,
      "mask a larger part, blur it less, or draw only the masked part: onlyMasked",
    );
  }
  if (options.maskedContent !== "fill") return prepared;
  return { ...prepared, picture: fillMasked(prepared.picture, prepared.mask) };
}

function prepareWhole(
  picture: Pixels,
  mask: Grey | undefined,
  size: PictureSize,
  { fit = "cover", keepUnmasked = false }: Preparation,
): PreparedPicture {
  const givenSize = sizeOf(picture);
  const { from, to } = describeFit(givenSize, size, fit);
  const fitted = fitPicture(picture, size, fit);
  const fittedMask = mask && fitMask(mask, size, fit, to);
  return {
    picture: fitted,
    mask: fittedMask,
    overlay:
      fittedMask && keepUnmasked
        ? { original: fitted, mask: fittedMask, area: undefined }
        : undefined,
    report: {
      givenSize,
      size,
      fit: givenSize[0] === size[0] && givenSize[1] === size[1] ? "none" : fit,
      from,
      to,
      before: toImageData(fitted),
    },
  };
}

/** Prepare only the part of a picture around its mask. */
function prepareArea(
  picture: Pixels,
  mask: Grey,
  size: PictureSize,
  { onlyMaskedPadding = DEFAULT_MASKED_PADDING }: Preparation,
): PreparedPicture {
  const area = cropRegion(mask, size, onlyMaskedPadding);
  const { to } = describeFit([area.width, area.height], size, "contain");
  return {
    picture: fitPicture(cutOut(picture, area), size, "contain"),
    mask: fitMask(cutOut(mask, area), size, "contain", to),
    overlay: { original: picture, mask, area },
    report: {
      givenSize: sizeOf(picture),
      size,
      fit: "onlyMasked",
      from: area,
      to,
      before: toImageData(picture),
    },
  };
}

/** Fit a mask as its picture. What the picture does not cover is kept, so that it is black. */
function fitMask(mask: Grey, size: PictureSize, fit: Fit, to: Rectangle): Grey {
  const fitted = fitPicture(mask, size, fit);
  if (to.width === size[0] && to.height === size[1]) return fitted;
  const bounded = makeGrey(size, 0);
  paste(bounded, cutOut(fitted, to), to.left, to.top);
  return bounded;
}

function sizeOf({ width, height }: Pixels): PictureSize {
  return [width, height];
}

/** Copy a picture, so that its caller may change the copy. */
function toImageData({ width, height, data }: Pixels): ImageData {
  return new ImageData(new Uint8ClampedArray(data), width, height);
}
