/** Reads files that the browser keeps and keeps those that were fetched; computes their digests. */

import type { FileCache } from "./cache";
import { sha256 } from "./sha256";

/** A file and its digest, which whoever asked for it compares. */
interface HashedFile {
  data: ArrayBuffer;
  /** SHA-256 in lower-case hexadecimal. */
  digest: string;
  /** Milliseconds until the digest was there, in which files may wait for each other. */
  hash: number;
}

/** A file that was read. */
export interface KeptFile extends HashedFile {
  /** Milliseconds that reading took. */
  read: number;
}

/** A file that was fetched. */
export interface FetchedFile extends HashedFile {
  /** Whether it is kept; not if there is no room, or if it is another file. */
  kept: boolean;
  /** Milliseconds that writing took. */
  write: number;
}

/**
 * Read a kept file; undefined if it is not kept.
 *
 * @param into memory that may be taken for it; see {@link FileCache.read}.
 */
export async function readKeptFile(
  cache: FileCache,
  key: string,
  into?: ArrayBuffer,
): Promise<KeptFile | undefined> {
  const began = performance.now();
  const data = await cache.read(key, into);
  if (data === undefined) return undefined;
  const read = performance.now() - began;
  return { ...(await hashFile(data)), read };
}

/** Compute a fetched file's digest, and keep it if that is its key. */
export async function keepFetchedFile(
  cache: FileCache,
  key: string,
  data: ArrayBuffer,
): Promise<FetchedFile> {
  const hashed = await hashFile(data);
  const began = performance.now();
  let kept = hashed.digest === key;
  try {
    if (kept) await cache.write(key, data);
  } catch {
    kept = false;
  }
  return { ...hashed, kept, write: performance.now() - began };
}

/** Compute the digest of a file. */
export async function hashFile(data: ArrayBuffer): Promise<HashedFile> {
  const began = performance.now();
  const digest = await sha256(data);
  return { data, digest, hash: performance.now() - began };
}
