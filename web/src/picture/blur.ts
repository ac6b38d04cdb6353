/** Blurs pictures as Pillow's `ImageFilter.GaussianBlur` does, byte for byte. */

import { brightExtent, cutOut, makeGrey, paste } from "./pixels";
import type { Grey, Pixels } from "./pixels";

/** A Gaussian is approximated by so many box blurs, one after another. */
const PASSES = 3;

/**
 * Blur a picture; each channel by itself, and what lies beyond the edge repeats it.
 *
 * @param radius standard deviation in pixels; 0 changes nothing.
 * @see Pillow's src/libImaging/BoxBlur.c; Gwosdek et al., "Theoretical Foundations of Gaussian
 *   Convolution by Extended Box Filtering" (2011), for the box's radius.
 */
export function blurGaussian<Picture extends Pixels | Grey>(
  picture: Picture,
  radius: number,
): Picture {
  const { width, height } = picture;
  const data = new Uint8ClampedArray(picture.data);
  const box = boxRadius(radius);
  if (box === 0) return { width, height, data } as Picture;
  const bytes = data.length / (width * height);
  for (let byte = 0; byte < bytes; byte++) {
    for (let row = 0; row < height; row++) {
      blurLine(data, row * width * bytes + byte, bytes, width, box);
    }
    for (let column = 0; column < width; column++) {
      blurLine(data, column * bytes + byte, width * bytes, height, box);
    }
  }
  return { width, height, data } as Picture;
}

/** Return the radius of the box whose repeated blur has a Gaussian's standard deviation. */
function boxRadius(radius: number): number {
  // Pillow computes in float32.
  const f = Math.fround;
  const variance = f(f(f(radius) * f(radius)) / PASSES);
  const length = f(Math.sqrt(12 * variance + 1));
  const whole = f(Math.floor((length - 1) / 2));
  let rest = f((2 * whole + 1) * f(whole * (whole + 1) - 3 * variance));
  rest = f(rest / f(6 * f(variance - (whole + 1) * (whole + 1))));
  return f(whole + rest);
}

/** Blur one line in place, {@link PASSES} times. */
function blurLine(
  data: Uint8ClampedArray,
  start: number,
  step: number,
  length: number,
  boxRadius: number,
): void {
  const radius = Math.trunc(boxRadius);
  // Fixed-point weights: of each pixel inside of the box, and of the two that it covers in part.
  const whole = Math.trunc(Math.fround(2 ** 24 / Math.fround(boxRadius * 2 + 1)));
  const part = Math.trunc((2 ** 24 - (radius * 2 + 1) * whole) / 2);
  // The line with its ends repeated, as far as the box reaches beyond them.
  const reach = radius + 1;
  const line = new Uint8Array(length + 2 * reach);
  for (let pass = 0; pass < PASSES; pass++) {
    for (let x = 0; x < length; x++) line[reach + x] = data[start + x * step]!;
    line.fill(line[reach]!, 0, reach);
    line.fill(line[reach + length - 1]!, reach + length);
    let sum = 0;
    for (let x = 0; x < 2 * radius + 1; x++) sum += line[x]!;
    for (let x = 0; x < length; x++) {
      const before = line[x]!;
      sum += line[x + 2 * radius + 1]! - before;
      const weighed = sum * whole + (before + line[x + 2 * reach]!) * part;
      data[start + x * step] = Math.floor((weighed + 2 ** 23) / 2 ** 24);
    }
  }
}

/**
 * Blur a mask. Only what lies near its bright parts is computed: far from them it stays black.
 *
 * @param radius as of {@link blurGaussian}, which gives the same bytes.
 */
export function blurMask(mask: Grey, radius: number): Grey {
  const box = boxRadius(radius);
  if (box === 0) return mask;
  const extent = brightExtent(mask);
  if (extent === undefined) return mask;
  const reach = PASSES * (Math.ceil(box) + 1);
  const left = Math.max(0, extent.left - reach);
  const top = Math.max(0, extent.top - reach);
  const width = Math.min(mask.width, extent.left + extent.width + reach) - left;
  const height = Math.min(mask.height, extent.top + extent.height + reach) - top;
  const blurred = makeGrey([mask.width, mask.height], 0);
  paste(blurred, blurGaussian(cutOut(mask, { left, top, width, height }), radius), left, top);
  return blurred;
}
