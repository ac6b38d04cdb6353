/**
 * Files kept in the browser, by the digest of what is in them.
 *
 * The origin private file system where it can be written to, else the Cache API, else
 * nothing. What is read back may be anything: whoever reads it checks the digest.
 */

export interface FileCache {
  /** What is kept under a key, or undefined. */
  read(key: string): Promise<ArrayBuffer | undefined>;
  /** Keep bytes; a reader sees all of them or none. `QuotaExceededError` where no room is. */
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
    // Goes to a file of its own, which takes the other's place when it is closed.
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

/** Keeps nothing: Node.js, and browsers that forbid it. */
export const NO_CACHE: FileCache = {
  read: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  keys: () => Promise.resolve([]),
};

/** Open the best store that this browser has. */
export async function openCache(): Promise<FileCache> {
  // Old Safari has the folder but cannot write to it this way.
  if ("FileSystemFileHandle" in globalThis && "createWritable" in FileSystemFileHandle.prototype) {
    try {
      const root = await navigator.storage.getDirectory();
      return new OpfsCache(await root.getDirectoryHandle(FOLDER, { create: true }));
    } catch {
      // Private windows of some browsers refuse; the next may not.
    }
  }
  try {
    return new CacheApiCache(await caches.open(FOLDER));
  } catch {
    return NO_CACHE;
  }
}

export function isQuotaError(error: unknown): boolean {
  return isNamed(error, "QuotaExceededError");
}

/** The Cache API keeps by address; nobody fetches this one. */
function address(key: string): string {
  return new URL(`/wsd-store/${key}`, globalThis.location.origin).href;
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
