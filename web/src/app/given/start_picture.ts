/** The picture that drawing begins with: its file, its pixels for the eyes, and the mask on it. */

import type { PictureSize } from "../../index";
import { readPicture } from "../../index";
import { canvasOf, shrinkCanvas } from "../canvases";
import { PAINTED, PaintedMask } from "../mask/painted_mask";
import type { Sentence } from "../strings";

/** Pixels of the longer side of what is shown and painted on; more would only be slow. */
const LONGEST_SHOWN = 2048;

/** A picture to begin with. */
export interface StartPicture {
  file: Blob;
  /** What the visitor calls it, in the language of the page. */
  name: Sentence;
  /** Width and height, upright. */
  size: PictureSize;
  /** The picture, at most {@link LONGEST_SHOWN} pixels wide and high. */
  shown: HTMLCanvasElement;
  /** As large as what is shown. */
  mask: PaintedMask;
}

/**
 * Read a file as a picture to begin with.
 *
 * @throws OptionError if it is no picture that can be drawn from.
 */
export async function openPicture(file: Blob, name: Sentence): Promise<StartPicture> {
  const pixels = await readPicture(file);
  const size = [pixels.width, pixels.height] as const;
  const whole = canvasOf(pixels);
  const isSmall = Math.max(...size) <= LONGEST_SHOWN;
  const shown = isSmall ? whole : shrinkCanvas(whole, LONGEST_SHOWN);
  return { file, name, size, shown, mask: new PaintedMask(shown.width, shown.height) };
}

/**
 * Return a mask as a picture of a size, white where it is painted.
 *
 * @param size may have more pixels than the mask; each takes the nearest one of the mask.
 */
export function maskPicture(mask: PaintedMask, [width, height]: PictureSize): ImageData {
  const made = new ImageData(width, height);
  const words = new Uint32Array(made.data.buffer);
  // Opaque white and black are the same words on every machine that runs browsers (little-endian).
  const [white, black] = [0xffffffff, 0xff000000];
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / height) * mask.width;
    for (let x = 0; x < width; x++) {
      const column = Math.floor(((x + 0.5) * mask.width) / width);
      words[y * width + x] = mask.bytes[row + column] === PAINTED ? white : black;
    }
  }
  return made;
}
