/** Turns what a worker sends of one request into what the caller gets. */

import { formatSettings } from "../settings/infotext";
import { encodePng } from "../settings/picture_file";
import { OptionError } from "../util/errors";
import { show } from "../util/option_checks";
import type { OutputName, OutputTypes } from "./options";
import type { Drawn, Generated } from "./types";

/** Return what of a result can be moved to another thread rather than copied. */
export function transferablesOf({ latents, images }: Drawn): Transferable[] {
  const pixels = images.filter((image) => image instanceof ImageData);
  return [latents.buffer, ...pixels.map(({ data }) => data.buffer)];
}

/** Replace the pixels of a result by PNG files that carry their settings. */
export async function toBlobs(drawn: Drawn<ImageData>): Promise<Drawn<Blob>> {
  const { images, imageSettings } = drawn;
  const blobs = await Promise.all(
    images.map((image, index) => encodePng(image, formatSettings(imageSettings[index]!))),
  );
  return { ...drawn, image: blobs[0]!, images: blobs };
}

/**
 * Make the result of a call: pictures in the form that was asked for, and `toBlob`.
 *
 * @param drawn its pictures are files already if `output` is "blob", pixels if not.
 */
export async function makeGenerated<Output extends OutputName>(
  drawn: Drawn,
  output: Output,
): Promise<Generated<Output>> {
  const { images, imageSettings } = drawn;
  const pictures =
    output === "imageBitmap"
      ? await Promise.all(images.map(async (image) => createImageBitmap(image)))
      : images;
  // An arrow function, so that it works on its own: const { toBlob } = await generate(…).
  const toBlob = async (index = 0): Promise<Blob> => {
    const [image, settings] = [images[index], imageSettings[index]];
    if (!Number.isInteger(index) || image === undefined || settings === undefined) {
      throw new OptionError(
        `there is no picture ${show(index)}`,
        `the result has ${images.length}; their indices start at 0`,
      );
    }
    return image instanceof Blob ? image : encodePng(image, formatSettings(settings));
  };
  const typed = pictures as OutputTypes[Output][];
  return { ...drawn, image: typed[0]!, images: typed, toBlob };
}
