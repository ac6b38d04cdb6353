/** Where pictures are kept: in the browser's IndexedDB, or in memory until the page is left. */

import { createStore, get, getMany, keys } from "idb-keyval";

import type { Picture, PictureFiles } from "./picture";
import { readFiles, readPicture } from "./picture";

/** What a store holds. */
export interface Listing {
  /** The newest first. */
  pictures: Picture[];
  /** How many of its records cannot be read. */
  damaged: number;
}

/** Keeps pictures by their ids; every method rejects where the browser refuses. */
export interface PictureStore {
  list(): Promise<Listing>;
  /** Return a picture's files; undefined if there are none, or they are damaged. */
  read(id: string): Promise<PictureFiles | undefined>;
  /** Keep a picture; what the store holds under its id is replaced. */
  put(picture: Picture, files: PictureFiles): Promise<void>;
  /** Remove a picture; nothing happens if it is not there. */
  remove(id: string): Promise<void>;
  /** Remove all, also what cannot be read. */
  clear(): Promise<void>;
}

const DATABASE = "wsd-pictures";
/** Some browsers never answer when a store is opened; nobody waits longer than so many ms. */
const STORE_TIMEOUT_MS = 10_000;

/** A picture and its files have a key each, so that the list is read without the files. */
const PICTURE = "picture/";
const FILES = "files/";

/** Sort pictures, the newest first; of the same time, those of the larger id. */
export function newestFirst(pictures: Iterable<Picture>): Picture[] {
  return [...pictures].sort((one, other) => other.time - one.time || (one.id < other.id ? 1 : -1));
}

/** Keeps pictures in IndexedDB. */
export class LastingStore implements PictureStore {
  // It opens the database at the first call, and again if the browser closed it.
  private readonly use = createStore(DATABASE, "pictures");

  async list(): Promise<Listing> {
    const found = (await inTime(keys(this.use))).filter(
      (key) => typeof key === "string" && key.startsWith(PICTURE),
    );
    const values = await getMany<unknown>(found, this.use);
    // Another tab may have deleted some between the two calls.
    const present = values.filter((value) => value !== undefined);
    const pictures = present.map(readPicture).filter((picture) => picture !== undefined);
    return { pictures: newestFirst(pictures), damaged: present.length - pictures.length };
  }

  async read(id: string): Promise<PictureFiles | undefined> {
    return readFiles(await get<unknown>(FILES + id, this.use));
  }

  put(picture: Picture, files: PictureFiles): Promise<void> {
    return this.change((store) => {
      store.put(picture, PICTURE + picture.id);
      store.put(files, FILES + picture.id);
    });
  }

  remove(id: string): Promise<void> {
    return this.change((store) => {
      for (const kind of [PICTURE, FILES]) store.delete(kind + id);
    });
  }

  clear(): Promise<void> {
    return this.change((store) => store.clear());
  }

  /** Change the store in one transaction: all of it happens, or nothing. */
  private change(work: (store: IDBObjectStore) => void): Promise<void> {
    const done = this.use("readwrite", (store) => {
      const { transaction } = store;
      const finished = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        // Only now it is known why: a full store, for example.
        transaction.onabort = () => {
          reject(transaction.error ?? new Error("the browser did not keep the picture"));
        };
      });
      work(store);
      return finished;
    });
    return inTime(done);
  }
}

/** Reject if a promise is not settled in time. */
export function inTime<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error("the browser's store does not answer"));
    }, STORE_TIMEOUT_MS);
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
    });
  });
}
