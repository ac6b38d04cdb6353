/**
 * Keeps files in the browser, by the digest of their content.
 *
 * They are kept in the origin private file system if it can be written to, else in the Cache
 * API, else not at all. What is read back may be damaged, so the reader checks the digest.
 */

/** Files by keys, kept from one visit to the next. */
export interface FileCache {
  /**
   * Return what is kept under a key; undefined if nothing is.
   *
   * @param into memory that may be taken for it if it has the right size; new memory, which the system
   *   must clear, takes about as long as reading.
   */
  read(key: string, into?: ArrayBuffer): Promise<ArrayBuffer | undefined>;
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

/** Where files are written before they get their names: a reader sees all of them or none. */
const PARTS = "wsd-parts";

/** A file that is open; TypeScript's types for pages lack it, because only workers have it. */
interface SyncAccess {
  getSize(): number;
  read(into: Uint8Array, options: { at: number }): number;
  write(data: ArrayBuffer, options: { at: number }): number;
  truncate(size: number): void;
  close(): void;
}

/** A handle of a file as workers have it. */
interface WorkerFile {
  createSyncAccessHandle?: (options?: { mode: "read-only" }) => Promise<SyncAccess>;
  /** Older browsers lack it. */
  move?: (folder: FileSystemDirectoryHandle, name: string) => Promise<void>;
}

/**
 * Read a file by a handle of the file system itself: twice as fast as a `File`, whose bytes pass
 * through another process. Only workers have such handles.
 *
 * @returns undefined where there is none; in browsers without the mode `read-only` another tab may
 *   be reading the file.
 */
async function readInPlace(
  file: FileSystemFileHandle,
  into: ArrayBuffer | undefined,
): Promise<ArrayBuffer | undefined> {
  let access: SyncAccess;
  try {
    const found = await (file as WorkerFile).createSyncAccessHandle?.({ mode: "read-only" });
    if (found === undefined) return undefined;
    access = found;
  } catch {
    return undefined;
  }
  try {
    const size = access.getSize();
    const bytes = new Uint8Array(into?.byteLength === size ? into : new ArrayBuffer(size));
    const count = access.read(bytes, { at: 0 });
    return count === size ? bytes.buffer : undefined;
  } finally {
    access.close();
  }
}

/**
 * Write a file by a handle of the file system itself, in another folder, and move it to its own: three
 * times as fast as a `FileSystemWritableFileStream`, whose bytes pass through another process.
 *
 * @returns whether that is possible; only workers have such handles.
 * @throws DOMException named `QuotaExceededError` if there is no room, and others if the file is open
 *   elsewhere.
 */
async function writeInPlace(
  folder: FileSystemDirectoryHandle,
  key: string,
  data: ArrayBuffer,
): Promise<boolean> {
  const able = FileSystemFileHandle.prototype as WorkerFile;
  if (able.createSyncAccessHandle === undefined || able.move === undefined) return false;
  const root = await navigator.storage.getDirectory();
  const parts = await root.getDirectoryHandle(PARTS, { create: true });
  const part = (await parts.getFileHandle(key, { create: true })) as WorkerFile;
  try {
    const access = (await part.createSyncAccessHandle?.())!;
    try {
      access.truncate(0); // an earlier visit may have ended while it wrote
      if (access.write(data, { at: 0 }) < data.byteLength) {
        throw new DOMException("only a part was written", "QuotaExceededError");
      }
    } finally {
      access.close();
    }
    await part.move?.(folder, key);
    return true;
  } catch (error) {
    await parts.removeEntry(key).catch(() => undefined);
    throw error;
  }
}

class OpfsCache implements FileCache {
  constructor(private readonly folder: FileSystemDirectoryHandle) {}

  async read(key: string, into?: ArrayBuffer): Promise<ArrayBuffer | undefined> {
    try {
      const handle = await this.folder.getFileHandle(key);
      return (await readInPlace(handle, into)) ?? (await (await handle.getFile()).arrayBuffer());
    } catch (error) {
      if (isNamed(error, "NotFoundError")) return undefined;
      throw error;
    }
  }

  async write(key: string, data: ArrayBuffer): Promise<void> {
    try {
      if (await writeInPlace(this.folder, key, data)) return;
    } catch (error) {
      if (isQuotaError(error)) throw error;
    }
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
  return (await openOpfs()) ?? (await openCacheApi()) ?? NO_CACHE;
}

/** Remove all that is kept, also what was kept elsewhere before the browser was updated. */
export async function clearCaches(): Promise<void> {
  for (const cache of [await openOpfs(), await openCacheApi()]) {
    // One by one: the folder itself stays for other tabs, which may be writing to it.
    for (const key of (await cache?.keys()) ?? []) await cache?.remove(key);
  }
  await removeParts();
}

/**
 * Remove what was being written when an earlier visit ended.
 *
 * @returns whether anything is gone; what another tab writes stays.
 */
export async function removeParts(): Promise<boolean> {
  let isGone = false;
  try {
    const root = await navigator.storage.getDirectory();
    const parts = await root.getDirectoryHandle(PARTS);
    for await (const name of parts.keys()) {
      isGone = await parts.removeEntry(name).then(
        () => true,
        () => isGone, // another tab writes to it
      );
    }
  } catch {
    // There are none, or this browser has no such file system.
  }
  return isGone;
}

async function openOpfs(): Promise<FileCache | undefined> {
  // Older versions of Safari have this file system but not `createWritable`.
  if (
    !("FileSystemFileHandle" in globalThis) ||
    !("createWritable" in FileSystemFileHandle.prototype)
  ) {
    return undefined;
  }
  try {
    const root = await navigator.storage.getDirectory();
    return new OpfsCache(await root.getDirectoryHandle(FOLDER, { create: true }));
  } catch {
    return undefined; // private windows of some browsers refuse
  }
}

async function openCacheApi(): Promise<FileCache | undefined> {
  try {
    return new CacheApiCache(await caches.open(FOLDER));
  } catch {
    return undefined;
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
