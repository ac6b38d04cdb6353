/** A bundle's files, from the browser's cache or from the server; every file is checked. */

import type { OnNotice } from "../api/types";
import { download, downloadText, UnreachableError } from "./download";
import type { OnBytes, TextRequest } from "./download";
import { IntegrityError, throwIfAborted } from "../api/errors";
import { accepts, digestAs, parseIntegrity } from "./integrity";
import type { Integrity } from "./integrity";
import { sha256 } from "./sha256";
import type { FileEntry, Manifest } from "./manifest";
import { filesOf, parseManifest } from "./manifest";
import { isQuotaError } from "./cache";
import type { FileCache } from "./cache";

/** Keys of manifests and lists of models start with this; other keys are digests of files. */
const TEXT = "text-";

/** The files of one model of a bundle; keeps what it fetches. */
export class BundleFiles {
  /** Whether the browser has no room left; then nothing more is written. */
  private full = false;

  /**
   * @param base address of the manifest; files lie beside it.
   * @param keep digests of files that must stay when room is made.
   * @param notice called with a sentence for the user when a file is damaged or cannot be kept.
   */
  constructor(
    private readonly base: string,
    private readonly cache: FileCache,
    private readonly keep: ReadonlyMap<string, unknown>,
    private readonly notice: OnNotice,
  ) {}

  /**
   * Return a file's bytes. A damaged file is fetched once more, wherever it came from.
   *
   * @param onBytes called with the bytes that have arrived since the last call.
   * @throws IntegrityError if the server's file is damaged.
   * @throws FetchError if it cannot be fetched.
   * @throws AbortError if the signal is aborted.
   */
  async get(entry: FileEntry, onBytes: OnBytes, signal?: AbortSignal): Promise<ArrayBuffer> {
    const kept = await this.fromCache(entry);
    if (kept !== undefined) {
      onBytes(entry.bytes);
      return kept;
    }
    throwIfAborted(signal);
    const data = await this.fromServer(entry, onBytes, signal);
    await this.toCache(entry, data);
    return data;
  }

  private async fromCache(entry: FileEntry): Promise<ArrayBuffer | undefined> {
    let data: ArrayBuffer | undefined;
    try {
      data = await this.cache.read(entry.sha256);
    } catch {
      return undefined; // a file that cannot be read is fetched like one that is not there
    }
    if (data === undefined) return undefined;
    if (data.byteLength === entry.bytes && (await sha256(data)) === entry.sha256) return data;
    this.notice(`${entry.file} was damaged in the browser's cache and is fetched again.`);
    await this.cache.remove(entry.sha256);
    return undefined;
  }

  private async fromServer(
    entry: FileEntry,
    onBytes: OnBytes,
    signal?: AbortSignal,
  ): Promise<ArrayBuffer> {
    const url = new URL(entry.file, this.base).href;
    let found = "";
    for (const reload of [false, true]) {
      const data = await download(url, entry.bytes, onBytes, signal, reload);
      found = await sha256(data);
      if (found === entry.sha256) return data;
      onBytes(-entry.bytes);
      if (!reload) this.notice(`${entry.file} arrived damaged and is fetched again.`);
    }
    throw new IntegrityError(
      `${entry.file}: sha256 mismatch (expected ${entry.sha256.slice(0, 12)}…, ` +
        `got ${found.slice(0, 12)}…), twice`,
      "the server's copy is damaged: deploy the bundle anew",
    );
  }

  private async toCache(entry: FileEntry, data: ArrayBuffer): Promise<void> {
    if (this.full) return;
    try {
      await this.cache.write(entry.sha256, data);
    } catch (error) {
      if (!isQuotaError(error)) return; // another tab may be writing the same file
      if (await this.makeRoom()) return this.toCache(entry, data);
      this.full = true;
      this.notice(
        "The browser has no room to keep the model; it will be downloaded again next time.",
      );
    }
  }

  /** Remove files of other models. @returns whether any is gone; another tab may hold them. */
  private async makeRoom(): Promise<boolean> {
    const keys = await this.cache.keys();
    const others = keys.filter((key) => !this.keep.has(key) && !key.startsWith(TEXT));
    for (const key of others) await this.cache.remove(key);
    const left = new Set(await this.cache.keys());
    return others.some((key) => !left.has(key));
  }
}

/** Map the digest of each file that a manifest names to its bytes; several names may share one. */
export function fileSizes(manifest: Manifest): Map<string, number> {
  return new Map(filesOf(manifest).map(({ sha256, bytes }) => [sha256, bytes]));
}

/** What a text file must be, and what ends fetching it. */
export interface TextOptions {
  /** Its digest, as SRI.json has it; unless given, whatever the server sends is taken. */
  integrity?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Fetch a small text file; if the server cannot be reached, return it as last fetched. What comes
 * from the server or from the cache is compared with its digest, where that is known.
 *
 * @throws FetchError if it is neither fetched nor kept.
 * @throws IntegrityError if it is another file than the digest says, or another version of it.
 */
export async function fetchText(
  url: string,
  cache: FileCache,
  { integrity, signal }: TextOptions = {},
): Promise<string> {
  const expected = integrity === undefined ? undefined : parseIntegrity(integrity);
  const key = await textKey(url);
  const kept = await cache.read(key).catch(() => undefined);
  if (kept !== undefined && expected !== undefined && (await matches(expected, kept))) {
    return decode(kept); // the server has nothing newer to say
  }
  // What is kept can be used at once where nothing says which version is wanted.
  const request = { signal, patient: kept === undefined || expected !== undefined };
  let data: ArrayBuffer;
  try {
    data =
      expected === undefined
        ? await downloadText(url, request)
        : await downloadChecked(url, expected, request);
  } catch (error) {
    if (kept === undefined || !(error instanceof UnreachableError)) throw error;
    if (expected === undefined) return decode(kept);
    throw new IntegrityError(
      `${url}: this browser keeps another version than the one that is asked for, ` +
        "and the server cannot be reached",
      "connect to the network: what is kept may be older, or damaged, and is not used",
      { cause: error },
    );
  }
  await cache.write(key, data).catch(() => undefined);
  return decode(data);
}

/** Fetch a text file, and once more past the HTTP cache if it is not what it must be. */
async function downloadChecked(
  url: string,
  expected: Integrity,
  request: TextRequest,
): Promise<ArrayBuffer> {
  let found = "";
  for (const reload of [false, true]) {
    const data = await downloadText(url, { ...request, reload });
    found = await digestAs(expected, data);
    if (accepts(expected, found)) return data;
  }
  const wanted = `${expected.algorithm}-${expected.digests[0]!}`;
  throw new IntegrityError(
    `${url}: integrity mismatch (expected ${wanted.slice(0, 20)}…, got ${found.slice(0, 20)}…)`,
    "the page and this file are of two versions of the bundle, or the file was altered: " +
      "reload the page; if that does not help, deploy the bundle as a whole",
  );
}

async function matches(expected: Integrity, data: ArrayBuffer): Promise<boolean> {
  return accepts(expected, await digestAs(expected, data));
}

function decode(data: ArrayBuffer): string {
  return new TextDecoder().decode(data);
}

/** Remove a manifest and its files from the cache, except files that another manifest names. */
export async function forget(url: string, manifest: Manifest, cache: FileCache): Promise<void> {
  await cache.remove(await textKey(url));
  const shared = await namedFiles(cache);
  for (const key of fileSizes(manifest).keys()) {
    if (!shared.has(key)) await cache.remove(key);
  }
}

/** List the digests of the files that the kept manifests name. */
async function namedFiles(cache: FileCache): Promise<Set<string>> {
  const named = new Set<string>();
  for (const key of await cache.keys()) {
    const data = key.startsWith(TEXT) ? await cache.read(key) : undefined;
    if (data === undefined) continue;
    try {
      for (const file of fileSizes(parseManifest(decode(data), key)).keys()) named.add(file);
    } catch {
      // A list of models, or a manifest of another version; it names no files.
    }
  }
  return named;
}

async function textKey(url: string): Promise<string> {
  return TEXT + (await sha256(new TextEncoder().encode(url).buffer));
}
