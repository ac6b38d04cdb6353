/**
 * Keeps files in the browser, by the digest of their content.
 *
 * They are kept in the origin private file system if it can be written to, else in the Cache
 * API, else not at all. What is read back may be damaged, so the reader checks the digest.
 */

/** Files by keys, kept from one visit to the next. */
export interface FileCache {
  /** Return what is kept under a key; undefined if nothing is. */
  read(key: string): Promise<ArrayBuffer | undefined>;
  /**
   * Keep bytes; a reader sees all of them or none.
   *
   * @throws DOMException named `QuotaExceededError` if there is no room.
   */
  write(key: string, data: ArrayBuffer): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
}

const FOLDER = "wsd";

class OpfsCache implements FileCache {
  constructor(private readonly folder: FileSystemDirectoryHandle) {}

  async read(key: string): Promise<ArrayBuffer | undefined> {
    try {
      const handle = await this.folder.getFileHandle(key);
      return await (await handle.getFile()).arrayBuffer();
    } catch (error) {
      if (isNamed(error, "NotFoundError")) return undefined;
      throw error;
    }
  }

  async write(key: string, data: ArrayBuffer): Promise<void> {
    const handle = await this.folder.getFileHandle(key, { create: true });
    // The browser writes to a temporary file, which replaces this one when it is closed.
    const writable = await handle.createWritable();
    try {
      await writable.write(data);
      await writable.close();
    } catch (error) {
      await writable.abort().catch(() => undefined);
      await this.remove(key);
      throw error;
    }
  }

  async remove(key: string): Promise<void> {
    await this.folder.removeEntry(key).catch(() => undefined);
  }

  async keys(): Promise<string[]> {
    const found: string[] = [];
    for await (const key of this.folder.keys()) found.push(key);
    return found;
  }
}

class CacheApiCache implements FileCache {
  constructor(private readonly cache: Cache) {}

  async read(key: string): Promise<ArrayBuffer | undefined> {
    return (await this.cache.match(address(key)))?.arrayBuffer();
  }

  async write(key: string, data: ArrayBuffer): Promise<void> {
    await this.cache.put(address(key), new Response(data));
  }

  async remove(key: string): Promise<void> {
    await this.cache.delete(address(key));
  }

  async keys(): Promise<string[]> {
    const requests = await this.cache.keys();
    return requests.map(({ url }) => url.slice(url.lastIndexOf("/") + 1));
  }
}

/** Keeps nothing, for Node.js and for browsers that forbid it. */
export const NO_CACHE: FileCache = {
  read: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  keys: () => Promise.resolve([]),
};

/** Open the best cache that this browser has. */
export async function openCache(): Promise<FileCache> {
  // Older versions of Safari have this file system but not `createWritable`.
  if ("FileSystemFileHandle" in globalThis && "createWritable" in FileSystemFileHandle.prototype) {
    try {
      const root = await navigator.storage.getDirectory();
      return new OpfsCache(await root.getDirectoryHandle(FOLDER, { create: true }));
    } catch {
      // Private windows of some browsers refuse; the Cache API may still work.
    }
  }
  try {
    return new CacheApiCache(await caches.open(FOLDER));
  } catch {
    return NO_CACHE;
  }
}

/** Whether an error says that the browser has no room. */
export function isQuotaError(error: unknown): boolean {
  return isNamed(error, "QuotaExceededError");
}

/** Make an address for a key: the Cache API keeps by address. Nothing is ever fetched from it. */
function address(key: string): string {
  return new URL(`/wsd-store/${key}`, globalThis.location.origin).href;
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
