/** Reads files that the browser keeps, and computes their digests. */

import type { FileCache } from "./cache";
import { sha256 } from "./sha256";

/** A file that was read; whoever asked for it compares the digest. */
export interface KeptFile {
  data: ArrayBuffer;
  /** SHA-256 in lower-case hexadecimal. */
  digest: string;
  /** Milliseconds that reading took. */
  read: number;
  /** Milliseconds until the digest was there: files wait for each other in some browsers. */
  hash: number;
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
  const read = performance.now();
  const digest = await sha256(data);
  return { data, digest, read: read - began, hash: performance.now() - read };
}
