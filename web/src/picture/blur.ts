/** Blurs pictures as Pillow's `ImageFilter.GaussianBlur` does, byte for byte. */

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
  const line = new Uint8Array(length);
  const at = (index: number): number => line[Math.min(length - 1, Math.max(0, index))]!;
  for (let pass = 0; pass < PASSES; pass++) {
    for (let x = 0; x < length; x++) line[x] = data[start + x * step]!;
    let sum = 0;
    for (let x = -radius - 1; x < radius; x++) sum += at(x);
    for (let x = 0; x < length; x++) {
      sum += at(x + radius) - at(x - radius - 1);
      const weighed = sum * whole + (at(x - radius - 1) + at(x + radius + 1)) * part;
      data[start + x * step] = Math.floor((weighed + 2 ** 23) / 2 ** 24);
    }
  }
}
