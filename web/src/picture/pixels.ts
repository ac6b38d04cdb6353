/** Pictures as bytes: cut out, laid on a larger canvas, put together. Pure functions. */

import type { PictureSize, Rectangle } from "../api/types";

/** An opaque picture in sRGB. */
export interface Pixels {
  width: number;
  height: number;
  /** Red, green, blue and 255 of each pixel, row by row. */
  data: Uint8ClampedArray;
}

/** A picture of one channel, such as a mask. */
export interface Grey {
  width: number;
  height: number;
  /** One byte for each pixel, row by row. */
  data: Uint8ClampedArray;
}

/** Bytes of a pixel. */
const RGBA = 4;

/** Return how many bytes a pixel of a picture has: 4, or 1 of a mask. */
function bytesOf({ width, height, data }: Pixels | Grey): number {
  return data.length / (width * height);
}

/**
 * Copy a rectangle of a picture. What lies beyond the picture repeats its edge.
 *
 * @param area whole pixels; it may begin before the picture and end after it.
 */
export function cutOut<Picture extends Pixels | Grey>(picture: Picture, area: Rectangle): Picture {
  const { left, top, width, height } = area;
  const bytes = bytesOf(picture);
  const data = new Uint8ClampedArray(width * height * bytes);
  const [first, end] = [Math.max(0, left), Math.min(picture.width, left + width)];
  for (let row = 0; row < height; row++) {
    const line = Math.min(picture.height - 1, Math.max(0, top + row)) * picture.width;
    const target = row * width;
    const inside = picture.data.subarray((line + first) * bytes, (line + end) * bytes);
    if (first < end) data.set(inside, (target + first - left) * bytes);
    for (let column = 0; column < width; column++) {
      const from = left + column;
      if (from >= first && from < end) continue;
      const nearest = line + Math.min(picture.width - 1, Math.max(0, from));
      for (let byte = 0; byte < bytes; byte++) {
        data[(target + column) * bytes + byte] = picture.data[nearest * bytes + byte]!;
      }
    }
  }
  return { width, height, data } as Picture;
}

/** Copy a picture into another one, which is changed; what lies beyond that one is left out. */
export function paste(
  into: Pixels | Grey,
  picture: Pixels | Grey,
  left: number,
  top: number,
): void {
  const bytes = bytesOf(into);
  const [first, end] = [Math.max(0, -left), Math.min(picture.width, into.width - left)];
  if (first >= end) return;
  for (let row = Math.max(0, -top); row < Math.min(picture.height, into.height - top); row++) {
    const line = picture.data.subarray(
      (row * picture.width + first) * bytes,
      (row * picture.width + end) * bytes,
    );
    into.data.set(line, ((top + row) * into.width + left + first) * bytes);
  }
}

/** Make a mask of one value. */
export function makeGrey([width, height]: PictureSize, value: number): Grey {
  return { width, height, data: new Uint8ClampedArray(width * height).fill(value) };
}

/**
 * Return a picture's brightness, as Pillow's `convert("L")` computes it (ITU-R 601-2).
 *
 * @see src/libImaging/Convert.c, the macro L24.
 */
export function toGrey({ width, height, data }: Pixels): Grey {
  const grey = makeGrey([width, height], 0);
  for (let pixel = 0; pixel < grey.data.length; pixel++) {
    const at = RGBA * pixel;
    const sum = 19595 * data[at]! + 38470 * data[at + 1]! + 7471 * data[at + 2]!;
    grey.data[pixel] = (sum + 0x8000) >> 16;
  }
  return grey;
}

/** Return the smallest rectangle with all pixels that are not black; undefined if all are. */
export function brightExtent({ width, height, data }: Grey): Rectangle | undefined {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let row = 0; row < height; row++) {
    const line = data.subarray(row * width, (row + 1) * width);
    const first = line.findIndex((value) => value !== 0);
    if (first < 0) continue;
    let end = width;
    while (line[end - 1] === 0) end -= 1;
    left = Math.min(left, first);
    right = Math.max(right, end);
    top = Math.min(top, row);
    bottom = row + 1;
  }
  if (right === 0) return undefined;
  return { left, top, width: right - left, height: bottom - top };
}
