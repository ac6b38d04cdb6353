/** Pictures as files that carry their settings. */

import type { Settings } from "../index";
import { formatSettings, parseSettings, readText, writeText } from "../index";

/** Make a PNG file of a canvas, with the settings in it. */
export async function pictureFile(
  canvas: HTMLCanvasElement,
  settings: Settings,
  index: number,
): Promise<File> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  const png = new Uint8Array(await blob!.arrayBuffer());
  const name = `${settings.model}-${settings.seed.toString()}-${index}.png`;
  return new File([writeText(png, formatSettings(settings))], name, { type: "image/png" });
}

/** Read the settings that a PNG file carries; undefined if it has none. */
export async function settingsFrom(file: File): Promise<Partial<Settings> | undefined> {
  const text = readText(new Uint8Array(await file.arrayBuffer()));
  return text === undefined ? undefined : parseSettings(text);
}
