/** Keeps the start picture and its mask in the browser over a reload; what is read is not trusted. */

import { createStore, del, get, set } from "idb-keyval";

import { LARGEST_FILE } from "../gallery/picture";
import type { PaintedMask } from "../mask/painted_mask";

/** What is kept. */
export interface KeptPicture {
  file: Blob;
  /** Name of its file; "" of a picture that was pasted. */
  name: string;
  /** Bytes of the mask; undefined if nothing is painted. */
  mask: Uint8Array | undefined;
  /** Pixels that are added at the left, the right, the top and the bottom. */
  added: readonly number[];
}

const DATABASE = "wsd-start-picture";
const KEY = "picture";
/** Version of what is kept; other versions are ignored. */
const VERSION = 1;
const LONGEST_NAME = 255;
const SIDES = 4;
/** As the form's fields have it. */
const MOST_ADDED = 4096;

/** Keeps one picture; its methods never reject, and say whether the browser did what they are for. */
export class PictureKeeper {
  // It opens the database at the first call.
  private readonly store = createStore(DATABASE, "picture");
  private turn: Promise<unknown> = Promise.resolve();

  /** Keep a picture in place of the one before, or forget it. */
  write(
    picture: (Omit<KeptPicture, "mask"> & { mask: PaintedMask }) | undefined,
  ): Promise<boolean> {
    return this.inTurn(async () => {
      if (picture === undefined) {
        await del(KEY, this.store);
        return;
      }
      const { file, name, mask, added } = picture;
      const bytes = mask.isEmpty ? undefined : mask.bytes.slice();
      await set(KEY, { version: VERSION, file, name, mask: bytes, added }, this.store);
    });
  }

  /** Read what was kept on an earlier visit; undefined if that is nothing, or damaged. */
  async read(): Promise<KeptPicture | undefined> {
    let found: KeptPicture | undefined;
    await this.inTurn(async () => {
      found = await readKept(await get<unknown>(KEY, this.store));
    });
    return found;
  }

  /** Do one thing after the other: the last of two calls decides what is kept. */
  private inTurn(work: () => Promise<void>): Promise<boolean> {
    const done = this.turn.then(work).then(
      () => true,
      // No store in a private window, for example, or one that is full.
      () => false,
    );
    this.turn = done;
    return done;
  }
}

async function readKept(value: unknown): Promise<KeptPicture | undefined> {
  if (typeof value !== "object" || value === null) return undefined;
  const { version, file, name, mask, added } = value as Record<string, unknown>;
  if (version !== VERSION || !(file instanceof Blob) || file.size > LARGEST_FILE) return undefined;
  if (typeof name !== "string" || name.length > LONGEST_NAME) return undefined;
  // Of a file that the browser lost, the size is known and reading fails.
  await file.slice(0, 1).arrayBuffer();
  const sides = Array.isArray(added) && added.length === SIDES && added.every(isSide) ? added : [];
  return { file, name, mask: mask instanceof Uint8Array ? mask : undefined, added: sides };
}

function isSide(pixels: unknown): pixels is number {
  return Number.isInteger(pixels) && (pixels as number) >= 0 && (pixels as number) <= MOST_ADDED;
}
