/**
 * A finished picture as the gallery keeps it, and the readers of what a browser's store holds.
 *
 * Pages of other people can share the store (they share an origin with this page), and a browser
 * can damage it, so nothing in it is trusted: values have types and bounds, and a file is shown
 * only if it is a PNG.
 */

import { isPng } from "../../index";

/** What is known of a picture without its files. */
export interface Picture {
  /** 32 hexadecimal digits. */
  id: string;
  /** Milliseconds since 1970; the gallery is sorted by it. */
  time: number;
  /** Name of the file when it is saved. */
  name: string;
  /** The settings, as the PNG carries them. */
  text: string;
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
  /** Bytes of both files. */
  bytes: number;
}

/** The files of a picture. */
export interface PictureFiles {
  /** A PNG that carries its settings. */
  png: Blob;
  /** A smaller copy for the list. */
  thumbnail: Blob;
}

/** A picture has a few megabytes; a file of gigabytes must not fill the memory. */
export const LARGEST_FILE = 256 * 2 ** 20;
const LARGEST_THUMBNAIL = 2 ** 20;
const LARGEST_SIDE = 32768;
const LONGEST_TEXT = 200_000;
const LONGEST_NAME = 120;
/** The latest time that a Date can hold. */
const LATEST = 8.64e15;
const THUMBNAIL_TYPES = ["image/png", "image/webp", "image/jpeg"];
const SIGNATURE_LENGTH = 8;

/** Make an identifier that no other tab makes. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return a name that is safe as a file's, in a folder and in a ZIP; it ends in .png. */
export function safeName(name: string): string {
  const stem = name.replace(/\.png$/i, "").replaceAll(/[^\w.-]+/g, "_");
  return `${stem.replace(/^[._]+/, "").slice(0, LONGEST_NAME) || "picture"}.png`;
}

/** Read a store's value as a picture; undefined if it is none. */
export function readPicture(value: unknown): Picture | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, time, name, text, width, height, bytes } = value as Record<keyof Picture, unknown>;
  const good =
    typeof id === "string" &&
    /^[0-9a-f]{32}$/.test(id) &&
    isWithin(time, LATEST) &&
    typeof name === "string" &&
    typeof text === "string" &&
    text.length <= LONGEST_TEXT &&
    isWithin(width, LARGEST_SIDE) &&
    isWithin(height, LARGEST_SIDE) &&
    isWithin(bytes, LARGEST_FILE + LARGEST_THUMBNAIL);
  return good ? { id, time, name: safeName(name), text, width, height, bytes } : undefined;
}

function isWithin(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= most;
}

/**
 * Read a store's value as a picture's files; undefined if they are damaged, or none.
 *
 * The types of the returned blobs are those of pictures, whatever the store says: a browser that
 * opens a blob as a web page would run it in this page's origin.
 */
export async function readFiles(value: unknown): Promise<PictureFiles | undefined> {
  if (typeof value !== "object" || value === null) return undefined;
  const { png, thumbnail } = value as Record<keyof PictureFiles, unknown>;
  if (!(png instanceof Blob) || png.size > LARGEST_FILE) return undefined;
  try {
    // Of a file that the browser lost, the size is known and reading fails.
    const start = await png.slice(0, SIGNATURE_LENGTH).arrayBuffer();
    if (!isPng(new Uint8Array(start))) return undefined;
  } catch {
    return undefined;
  }
  const picture = png.slice(0, png.size, "image/png");
  const small =
    thumbnail instanceof Blob &&
    thumbnail.size <= LARGEST_THUMBNAIL &&
    THUMBNAIL_TYPES.includes(thumbnail.type);
  return { png: picture, thumbnail: small ? thumbnail : picture };
}
