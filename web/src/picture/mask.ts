/** Masks: which part of a picture is drawn anew, and what it begins with. */

import type { PictureSize, Rectangle } from "../api/types";
import { blurGaussian } from "./blur";
import { brightExtent } from "./pixels";
import type { Grey, Pixels } from "./pixels";

/**
 * Return the part of a picture that is drawn where only the masked part is: all that is not black in
 * the mask, with some pixels around it, and made as wide and high as the drawn size is, as far as
 * the picture reaches.
 *
 * @param mask with at least one pixel that is not black.
 * @param size width and height that are drawn.
 * @param padding pixels around the masked part.
 * @see diffusers' VaeImageProcessor.get_crop_region
 */
export function cropRegion(mask: Grey, [width, height]: PictureSize, padding: number): Rectangle {
  const extent = brightExtent(mask)!;
  let [x1, x2] = pad(extent.left, extent.left + extent.width, padding, mask.width);
  let [y1, y2] = pad(extent.top, extent.top + extent.height, padding, mask.height);
  const ratio = width / height;
  if ((x2 - x1) / (y2 - y1) > ratio) {
    [y1, y2] = grow(y1, y2, Math.trunc((x2 - x1) / ratio - (y2 - y1)), mask.height);
  } else {
    [x1, x2] = grow(x1, x2, Math.trunc((y2 - y1) * ratio - (x2 - x1)), mask.width);
  }
  return { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
}

function pad(first: number, end: number, padding: number, length: number): [number, number] {
  return [Math.max(0, first - padding), Math.min(length, end + padding)];
}

/** Lengthen a stretch on both sides, and move it where it would reach beyond the picture. */
function grow(first: number, end: number, by: number, length: number): [number, number] {
  let [from, to] = [first - Math.floor(by / 2), end + by - Math.floor(by / 2)];
  if (to >= length) [from, to] = [from - (to - length), length];
  if (from < 0) [from, to] = [0, to - from];
  return [from, Math.min(to, length)];
}

/** Blurs of the colours around a masked part: radius in pixels, and how often each is laid on. */
const FILL_BLURS = [
  [256, 1],
  [64, 1],
  [16, 2],
  [4, 4],
  [2, 2],
  [0, 1],
] as const;

/**
 * Fill the masked part of a picture with the colours around it: what is far from them becomes
 * smooth, and what is near continues them.
 *
 * @param mask of the picture's size; the brighter, the more is filled.
 * @returns another picture; where the mask is black, it has the same bytes.
 * @see the function fill of AUTOMATIC1111's web UI (modules/masking.py)
 */
export function fillMasked(picture: Pixels, mask: Grey): Pixels {
  const { width, height, data } = picture;
  // The colours that are kept, premultiplied by how much they are.
  const kept = { width, height, data: new Uint8ClampedArray(data.length) };
  for (let pixel = 0; pixel < mask.data.length; pixel++) {
    const share = 255 - mask.data[pixel]!;
    for (let channel = 0; channel < 3; channel++) {
      kept.data[4 * pixel + channel] = (data[4 * pixel + channel]! * share) / 255;
    }
    kept.data[4 * pixel + 3] = share;
  }
  // Layers are laid over each other: those of small radius last, where they have colours.
  const sum = new Float32Array(3 * width * height);
  const cover = new Float32Array(width * height);
  for (const [radius, times] of FILL_BLURS) {
    const layer = blurGaussian(kept, radius).data;
    for (let pixel = 0; pixel < cover.length; pixel++) {
      const alpha = layer[4 * pixel + 3]! / 255;
      // Laying one layer on several times leaves so much of what is below.
      const below = (1 - alpha) ** times;
      const share = alpha === 0 ? 0 : (1 - below) / alpha;
      for (let channel = 0; channel < 3; channel++) {
        const at = 3 * pixel + channel;
        sum[at] = sum[at]! * below + layer[4 * pixel + channel]! * share;
      }
      cover[pixel] = cover[pixel]! * below + (1 - below);
    }
  }
  const filled = new Uint8ClampedArray(data);
  for (let pixel = 0; pixel < cover.length; pixel++) {
    // Further than any blur reaches, the picture stays.
    if (mask.data[pixel] === 0 || cover[pixel]! < 1e-6) continue;
    for (let channel = 0; channel < 3; channel++) {
      filled[4 * pixel + channel] = sum[3 * pixel + channel]! / cover[pixel]!;
    }
  }
  return { width, height, data: filled };
}
