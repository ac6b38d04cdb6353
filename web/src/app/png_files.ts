/** Pictures as files that carry their settings. */

import type { FoundSettings, Settings } from "../index";
import { formatSettings, isPng, readSettings, writeText } from "../index";

/** A picture has a few megabytes; a file of gigabytes must not fill the memory. */
const LARGEST_FILE = 256 * 2 ** 20;

/** Make a PNG file of a canvas, with the settings in it. */
export async function pictureFile(
  canvas: HTMLCanvasElement,
  settings: Settings,
  index: number,
): Promise<File> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  const png = new Uint8Array(await blob!.arrayBuffer());
  const name = `${settings.model}-${settings.seed.toString()}-${index}.png`;
  return new File([writeText(png, formatSettings(settings, index))], name, { type: "image/png" });
}

/**
 * Read the settings that a PNG file carries.
 *
 * @returns the settings, or a sentence that says why there are none.
 */
export async function settingsFrom(file: File): Promise<FoundSettings | string> {
  if (file.size > LARGEST_FILE) return `${file.name} is larger than any picture.`;
  const data = new Uint8Array(await file.arrayBuffer());
  if (!isPng(data)) return `${file.name} is no PNG; only PNGs are read for settings.`;
  return (await readSettings(data)) ?? `${file.name} holds no settings.`;
}
