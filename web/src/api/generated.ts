/** Turns what a worker sends of one request into what the caller gets. */

import { formatSettings } from "../settings/infotext";
import { encodePng } from "../settings/picture_file";
import { OptionError } from "../util/errors";
import { show } from "../util/option_checks";
import type { OutputName, OutputTypes } from "./options";
import type { GenerationResult, Generated } from "./types";

/** Return what of a result can be moved to another thread rather than copied. */
export function transferablesOf({ latents, images }: GenerationResult): Transferable[] {
  const pixels = images.filter((image) => image instanceof ImageData);
  return [latents.buffer, ...pixels.map(({ data }) => data.buffer)];
}

/** Replace the pixels of a result by PNG files that carry their settings. */
export async function toBlobs(
  result: GenerationResult<ImageData>,
): Promise<GenerationResult<Blob>> {
  const { images, imageSettings } = result;
  const blobs = await Promise.all(
    images.map((image, index) => encodePng(image, formatSettings(imageSettings[index]!))),
  );
  return { ...result, image: blobs[0]!, images: blobs };
}

/**
 * Make the result of a call: pictures in the form that was asked for, and `toBlob`.
 *
 * @param result its pictures are files already if `output` is "blob", pixels if not.
 */
export async function makeGenerated<Output extends OutputName>(
  result: GenerationResult,
  output: Output,
): Promise<Generated<Output>> {
  const { images, imageSettings } = result;
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
  const generated = { ...result, image: typed[0]!, images: typed };
  // Not enumerable: a function cannot be posted to a worker or stored, and the others can.
  return Object.defineProperty(generated, "toBlob", { value: toBlob }) as Generated<Output>;
}
