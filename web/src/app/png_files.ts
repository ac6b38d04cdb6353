/** Pictures as files: what one says of how it was drawn, and a smaller copy for lists. */

import type { FoundSettings } from "../index";
import { isPng, readSettings } from "../index";
import { canvasOf, shrinkCanvas } from "./canvases";
import { LARGEST_FILE } from "./gallery/picture";
import type { GalleryStrings } from "./strings/gallery";

/** Pixels of the longer edge of a smaller copy. */
const SMALL = 256;
const QUALITY = 0.85;

/** Why a file brings no settings; each language has a sentence for it. */
export type FileProblem = keyof GalleryStrings["problems"];

/** Read the settings that a PNG file carries, or say why there are none. */
export async function settingsFrom(file: File): Promise<FoundSettings | FileProblem> {
  if (file.size > LARGEST_FILE) return "tooLarge";
  let data: Uint8Array;
  try {
    data = new Uint8Array(await file.arrayBuffer());
  } catch {
    // A folder, for example, or a file that was deleted meanwhile.
    return "unreadable";
  }
  if (!isPng(data)) return "noPng";
  return (await readSettings(data)) ?? "noSettings";
}

/** Make a smaller copy of a picture as a file; undefined if the picture is small itself. */
export async function shrink(image: ImageData): Promise<Blob | undefined> {
  if (Math.max(image.width, image.height) <= SMALL) return undefined;
  const small = shrinkCanvas(canvasOf(image), SMALL);
  // Browsers that do not write WebP write a PNG.
  const blob = await new Promise<Blob | null>((done) => {
    small.toBlob(done, "image/webp", QUALITY);
  });
  return blob ?? undefined;
}
