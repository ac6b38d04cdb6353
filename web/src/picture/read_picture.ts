/** Reads a picture as `generate` does, for pages that show what is drawn from. */

import type { ImageInput } from "../api/options";
import { requireString } from "../util/option_checks";
import { decodePicture } from "./decode";

/**
 * Decode a picture: upright, on white where it is transparent, in sRGB.
 *
 * @param name what errors call it.
 * @throws OptionError if it is no picture, does not decode, is empty, too large, animated, or stored
 *   as CMYK; or if the page may not read it.
 *
 * @example
 * ```ts
 * const picture = await readPicture(file);
 * canvas.getContext("2d")!.putImageData(picture, 0, 0);
 * ```
 */
export async function readPicture(input: ImageInput, name = "image"): Promise<ImageData> {
  requireString("name", name);
  const { width, height, data } = await decodePicture(name, input, "white");
  return new ImageData(data as Uint8ClampedArray<ArrayBuffer>, width, height);
}
