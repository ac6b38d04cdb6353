/** The pictures of the gallery: in the browser's store, and beside it where that takes none. */

import type { Picture, PictureFiles } from "./picture";
import type { PictureStore } from "./store";
import { newestFirst } from "./store";

/** Why pictures are not kept: this browser has no store, it is full, or it refused. */
export type StoreProblem = "none" | "full" | "refused";

interface Held {
  picture: Picture;
  files: PictureFiles;
}

/** The name by which the tabs of a browser tell each other that the store has changed. */
const CHANNEL = "wsd-pictures";

/**
 * Keeps the gallery's pictures, and tells other tabs. A picture that the store does not take is
 * held in memory, so that none is lost while the page is open.
 *
 * Changes are made one after the other, in the order of the calls.
 */
export class Collection {
  private kept: Picture[] = [];
  /** Pictures that are in memory alone. */
  private readonly unsaved = new Map<string, Held>();
  private last: Held | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  private readonly channel: BroadcastChannel | undefined;
  /** Why the pictures that are in memory alone are not kept. */
  trouble: StoreProblem | undefined;
  /** How many records of the store cannot be read. */
  damaged = 0;

  /**
   * @param store undefined where the browser has none.
   * @param changed called after every change, also one of another tab.
   */
  constructor(
    private readonly store: PictureStore | undefined,
    private readonly changed: () => void,
  ) {
    if (store === undefined) this.trouble = "none";
    if (typeof BroadcastChannel === "undefined") return;
    this.channel = new BroadcastChannel(CHANNEL);
    // What the message says does not matter: the store is read.
    this.channel.onmessage = () => void this.refresh();
  }

  /** All pictures, the newest first. */
  get pictures(): Picture[] {
    const unsaved = [...this.unsaved.values()].map(({ picture }) => picture);
    return newestFirst([...this.kept.filter(({ id }) => !this.unsaved.has(id)), ...unsaved]);
  }

  /** How many pictures are in memory alone. */
  get unkept(): number {
    return this.unsaved.size;
  }

  /** The picture that {@link undo} brings back. */
  get deleted(): Picture | undefined {
    return this.last?.picture;
  }

  /** Stop listening to other tabs. */
  close(): void {
    this.channel?.close();
  }

  /** Read the store's list anew; where that fails, the list stays as it is. */
  refresh(): Promise<void> {
    return this.inTurn(async () => {
      await this.relist();
      const before = this.unkept;
      // Another tab may have made room.
      if (this.trouble === "full") await this.keepUnsaved();
      if (this.unkept < before) await this.tell();
      this.changed();
    });
  }

  /** Return a picture's files; undefined if they are gone or damaged. */
  async read(id: string): Promise<PictureFiles | undefined> {
    const held = this.unsaved.get(id);
    if (held !== undefined) return held.files;
    return this.store?.read(id).catch(() => undefined);
  }

  /**
   * Add a picture, which is listed at once. The promise resolves when the store has answered; where
   * it does not take the picture, {@link trouble} says why.
   */
  add(picture: Picture, files: PictureFiles): Promise<void> {
    const held = { picture, files };
    this.unsaved.set(picture.id, held);
    this.changed();
    return this.change(async () => {
      // Where there is room again, for those before it too.
      if (await this.keep(held)) await this.keepUnsaved();
    });
  }

  /** Delete a picture, which {@link undo} brings back until the next one is deleted. */
  remove(id: string): Promise<void> {
    return this.change(async () => {
      if (!this.pictures.some((each) => each.id === id)) return;
      const held = await this.hold(id);
      await this.store?.remove(id);
      this.unsaved.delete(id);
      // A picture that another tab deleted a moment ago can be brought back there.
      if (held !== undefined) this.last = held;
      await this.keepUnsaved();
    });
  }

  /** Bring back the picture that was deleted last. */
  undo(): Promise<void> {
    return this.change(async () => {
      const held = this.last;
      this.last = undefined;
      if (held !== undefined) await this.keep(held);
    });
  }

  /** Delete all pictures, for good. */
  removeAll(): Promise<void> {
    return this.change(async () => {
      await this.store?.clear();
      this.unsaved.clear();
      this.last = undefined;
      if (this.store !== undefined) this.trouble = undefined;
    });
  }

  /** The oldest pictures of the store that are as large together as those that it did not take. */
  oldest(): Picture[] {
    if (this.trouble !== "full") return [];
    const needed = [...this.unsaved.values()].reduce((sum, held) => sum + held.picture.bytes, 0);
    const found: Picture[] = [];
    let freed = 0;
    for (const picture of newestFirst(this.kept).reverse()) {
      if (freed >= needed) break;
      if (this.unsaved.has(picture.id)) continue;
      found.push(picture);
      freed += picture.bytes;
    }
    return found;
  }

  /** Delete pictures of the store for good, and keep in their place those that are in memory. */
  makeRoom(pictures: Picture[]): Promise<void> {
    return this.change(async () => {
      for (const { id } of pictures) await this.store?.remove(id);
      await this.keepUnsaved();
    });
  }

  /** Return a copy of a picture that stays when the store forgets it. */
  private async hold(id: string): Promise<Held | undefined> {
    const picture = this.pictures.find((each) => each.id === id);
    const files = picture && (await this.read(id));
    if (files === undefined) return undefined;
    try {
      const [png, thumbnail] = await Promise.all([files.png, files.thumbnail].map(copyBlob));
      return { picture: picture!, files: { png: png!, thumbnail: thumbnail! } };
    } catch {
      return undefined;
    }
  }

  private async keep(held: Held): Promise<boolean> {
    const { picture, files } = held;
    this.unsaved.set(picture.id, held);
    this.changed();
    if (this.store === undefined) return false;
    try {
      await this.store.put(picture, files);
    } catch (error) {
      const full = error instanceof Error && error.name === "QuotaExceededError";
      this.trouble = full ? "full" : "refused";
      return false;
    }
    this.unsaved.delete(picture.id);
    // Until the list is read again.
    this.kept = [...this.kept.filter(({ id }) => id !== picture.id), picture];
    if (this.unsaved.size === 0) this.trouble = undefined;
    return true;
  }

  /** Try again to keep what is in memory alone; the first that is refused ends it. */
  private async keepUnsaved(): Promise<void> {
    for (const held of [...this.unsaved.values()]) {
      if (!(await this.keep(held))) return;
    }
    if (this.store !== undefined) this.trouble = undefined;
  }

  private async relist(): Promise<void> {
    if (this.store === undefined) return;
    try {
      const { pictures, damaged } = await this.store.list();
      this.kept = pictures;
      this.damaged = damaged;
      if (this.trouble === "refused" && this.unkept === 0) this.trouble = undefined;
    } catch {
      this.trouble ??= "refused";
    }
  }

  /** Change the store, and tell of it, whether that succeeds or not. */
  private change(work: () => Promise<void>): Promise<void> {
    return this.inTurn(() => work().finally(() => this.tell()));
  }

  /** Show what the store holds now, here and in other tabs. */
  private async tell(): Promise<void> {
    await this.relist();
    this.channel?.postMessage("changed");
    this.changed();
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }
}

async function copyBlob(blob: Blob): Promise<Blob> {
  return new Blob([await blob.arrayBuffer()], { type: blob.type });
}
