/** A file cache in memory, for tests. */

import type { FileCache } from "../src/bundle/cache";

/** A cache with room for a number of files. */
export class MemoryCache implements FileCache {
  readonly kept = new Map<string, ArrayBuffer>();

  constructor(private readonly room = Infinity) {}

  read(key: string): Promise<ArrayBuffer | undefined> {
    return Promise.resolve(this.kept.get(key)?.slice(0)); // what is read belongs to the reader
  }

  write(key: string, data: ArrayBuffer): Promise<void> {
    if (this.kept.size >= this.room)
      return Promise.reject(new DOMException("full", "QuotaExceededError"));
    this.kept.set(key, data.slice(0));
    return Promise.resolve();
  }

  remove(key: string): Promise<void> {
    this.kept.delete(key);
    return Promise.resolve();
  }

  keys(): Promise<string[]> {
    return Promise.resolve([...this.kept.keys()]);
  }
}
