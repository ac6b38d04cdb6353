/** Packs pictures into one ZIP file. */

import { downloadZip } from "client-zip";

import type { Collection } from "./collection";
import type { Picture } from "./picture";

/** A file of a ZIP, as client-zip takes it. */
interface Entry {
  name: string;
  lastModified: Date;
  input: Blob;
}

/** What was packed. */
export interface Packed {
  zip: Blob;
  /** How many pictures are in it; the others are damaged. */
  count: number;
}

/**
 * Pack pictures; each file is read when its turn comes.
 *
 * @param progress called with the number of the picture that is being packed, from 1.
 */
export async function packPictures(
  pictures: readonly Picture[],
  read: Collection["read"],
  progress: (done: number) => void,
): Promise<Packed> {
  const taken = new Set<string>();
  let count = 0;
  async function* entries(): AsyncGenerator<Entry> {
    for (const [index, { id, name, time }] of pictures.entries()) {
      progress(index + 1);
      const files = await read(id);
      if (files === undefined) continue;
      count += 1;
      yield { name: otherName(name, taken), lastModified: new Date(time), input: files.png };
    }
  }
  return { zip: await downloadZip(entries()).blob(), count };
}

/** Return a name that is not taken: `cat.png`, then `cat-2.png`; systems ignore its case. */
function otherName(name: string, taken: Set<string>): string {
  let chosen = name;
  for (let count = 2; taken.has(chosen.toLowerCase()); count++) {
    chosen = name.replace(/\.png$/, `-${count}.png`);
  }
  taken.add(chosen.toLowerCase());
  return chosen;
}

/** The name of a ZIP of pictures: `pictures-2026-11-26.zip`. */
export function zipName(date: Date): string {
  return `pictures-${date.toISOString().slice(0, 10)}.zip`;
}

/** Save a file as if the visitor had followed a link to it. */
export function saveFile(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, KEPT_MS);
}

const KEPT_MS = 60_000;
