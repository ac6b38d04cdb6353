/** Puts back what a mask keeps of a picture. It runs in the worker, before files are written. */

import type { Rectangle } from "../api/types";
import { fitPicture } from "./fit";
import type { Grey, Pixels } from "./pixels";
import { paste } from "./pixels";

/** What is laid over a drawn picture. */
export interface Overlay {
  /** The picture that was given. */
  original: Pixels;
  /** Where it is black, the original's bytes stay; it has the original's size. */
  mask: Grey;
  /** The part of the original that was drawn; undefined if all of it was, in its own size. */
  area: Rectangle | undefined;
}

/**
 * Return the picture that was given with what was drawn in it where the mask is white. Where the
 * mask is grey, the two are mixed; where it is black, the given picture stays to the byte.
 *
 * @param drawn of the original's size, or what was drawn of the overlay's area.
 * @see diffusers' VaeImageProcessor.apply_overlay
 */
export function layOver(drawn: Pixels, { original, mask, area }: Overlay): ImageData {
  const { width, height } = original;
  const result = new ImageData(new Uint8ClampedArray(original.data), width, height);
  const placed = { width, height, data: new Uint8ClampedArray(original.data) };
  if (area === undefined) paste(placed, drawn, 0, 0);
  else {
    const fitted = fitPicture(drawn, [area.width, area.height], "cover");
    paste(placed, fitted, area.left, area.top);
  }
  for (let pixel = 0; pixel < mask.data.length; pixel++) {
    const share = mask.data[pixel]!;
    if (share === 0) continue;
    for (let at = 4 * pixel; at < 4 * pixel + 3; at++) {
      const mixed = placed.data[at]! * share + original.data[at]! * (255 - share);
      result.data[at] = Math.floor((mixed + 127) / 255);
    }
  }
  return result;
}
