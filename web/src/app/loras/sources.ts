/** Files and addresses of LoRAs and textual inversions: their names, and which of the two they are. */

import { isLoraName } from "../../index";

/** A file or an address that is to be added, and what the visitor calls it. */
export interface Source {
  from: File | string;
  title: string;
  /** What it must be; undefined for any file. */
  sha256?: string;
}

/** Names of files of LoRAs; those of Python pickles too, which are refused by name. */
const FILES = /\.(?:safetensors|ckpt|pt|pth|bin)$/i;
/** Larger ones are no LoRAs, and browsers have no room for them in one piece. */
export const LARGEST = 2 ** 31 - 1;
/** So many characters of a file's name are its LoRA's. */
const LONGEST_NAME = 80;
/** A textual inversion's header names one or two tensors: it has a few hundred bytes, and metadata. */
const LARGEST_HEADER = 2 ** 20;
const LENGTH_BYTES = 8;

/** Whether a file's name is that of a LoRA's, or of a textual inversion's. */
export function isAdapterFile({ name }: File): boolean {
  return FILES.test(name);
}

/** Make a LoRA's name of a file's: without its ending, and without what a tag cannot have. */
export function nameOf(file: string): string {
  const stem = file.replace(FILES, "").replaceAll(/[^\p{L}\p{N}._ -]+/gu, " ");
  const name = stem.trim().slice(0, LONGEST_NAME).trim();
  return isLoraName(name) ? name : "LoRA";
}

/** Make a name that no other one has, by a number at its end. */
export function freeName(wanted: string, isTaken: (name: string) => boolean): string {
  let name = wanted;
  for (let count = 2; isTaken(name); count++) name = `${wanted}-${count}`;
  return name;
}

export function addressOf(given: string): URL | undefined {
  try {
    return new URL(given, document.baseURI);
  } catch {
    return undefined;
  }
}

/** The file's name in an address. */
export function lastOf({ pathname }: URL): string {
  const last = pathname.split("/").at(-1)!;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/**
 * Whether a file is a textual inversion rather than a LoRA. Only the names of its tensors are looked
 * at: there is one tensor of any name, or there are SDXL's two. `loadTextualInversion` checks the file.
 */
export async function isInversion(file: Blob): Promise<boolean> {
  try {
    const start = new DataView(await file.slice(0, LENGTH_BYTES).arrayBuffer());
    const length = Number(start.getBigUint64(0, true));
    if (length > LARGEST_HEADER) return false;
    const header = await file.slice(LENGTH_BYTES, LENGTH_BYTES + length).text();
    const names = Object.keys(JSON.parse(header) as object).filter((key) => key !== "__metadata__");
    return names.length === 1 || (names.length === 2 && names.sort().join(" ") === "clip_g clip_l");
  } catch {
    return false;
  }
}
