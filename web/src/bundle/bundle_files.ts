/** A bundle's files, from the browser's cache or from the server; every file is checked. */

import type { OnNotice } from "../api/types";
import { download, downloadText, UnreachableError } from "./download";
import type { OnBytes, TextRequest } from "./download";
import { IntegrityError, throwIfAborted } from "../util/errors";
import { accepts, digestAs, parseIntegrity } from "./integrity";
import type { Integrity } from "./integrity";
import { makeTransport } from "./transport";
import type { Transport } from "./transport";
import { log } from "../util/log";
import { nameOf } from "../util/secrets";
import { sha256 } from "./sha256";
import { isTextKey, isTuningKey, keepAddress, keepText, textKey } from "./kept";
import type { FileEntry } from "./manifest";
import { isQuotaError } from "./cache";
import type { FileCache } from "./cache";

/** The files of one model of a bundle; keeps what it fetches. */
export class BundleFiles {
  /** How many bytes came from the server, and from what the browser keeps. */
  readonly bytes = { fetched: 0, kept: 0 };
  /** Whether the browser has no room left; then nothing more is written. */
  private full = false;

  /**
   * @param base address of the manifest; files lie beside it, and are asked for with its query.
   * @param keep digests of files that must stay when room is made.
   * @param notice called with a sentence for the user when a file is damaged or cannot be kept.
   * @param transport how files are asked for.
   */
  constructor(
    private readonly base: string,
    readonly cache: FileCache,
    private readonly keep: ReadonlyMap<string, unknown>,
    private readonly notice: OnNotice,
    private readonly transport: Transport = makeTransport(),
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
      log("debug", `${entry.file} is kept in this browser`);
      this.bytes.kept += entry.bytes;
      onBytes(entry.bytes);
      return kept;
    }
    throwIfAborted(signal);
    const data = await this.fromServer(entry, onBytes, signal);
    this.bytes.fetched += entry.bytes;
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
    const url = besideAddress(entry.file, this.base);
    const { transport } = this;
    let found = "";
    for (const reload of [false, true]) {
      const data = await download(url, entry.bytes, onBytes, { signal, reload, transport });
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
    const others = keys.filter(
      (key) => !this.keep.has(key) && !isTextKey(key) && !isTuningKey(key),
    );
    for (const key of others) await this.cache.remove(key);
    const left = new Set(await this.cache.keys());
    return others.some((key) => !left.has(key));
  }
}

/** The digest that a text file must have, and the signal that cancels fetching it. */
export interface TextOptions {
  /** Its digest, as SRI.json has it; unless given, whatever the server sends is taken. */
  integrity?: string | undefined;
  signal?: AbortSignal | undefined;
  /** How it is asked for. */
  transport?: Transport | undefined;
}

/**
 * Return the address of a file beside another one. The query is carried on, because it may be the
 * signature or the token by which a server gives out the files of a folder.
 */
export function besideAddress(file: string, base: string): string {
  const url = new URL(file, base);
  url.search = new URL(base).search;
  return url.href;
}

/**
 * Fetch a small text file and parse it; if the server cannot be reached, as it was last fetched. What
 * comes from the server or from the cache is compared with its digest, where that is known. Only a
 * text that was parsed is kept, so an answer that is cut or of something else replaces nothing.
 *
 * @param parse gets the text and its address; throws if it is not what it must be.
 * @throws FetchError if it is neither fetched nor kept.
 * @throws IntegrityError if it is another file than the digest says, or another version of it.
 */
export async function fetchParsed<Parsed>(
  url: string,
  cache: FileCache,
  parse: (text: string, url: string) => Parsed,
  { integrity, signal, transport }: TextOptions = {},
): Promise<Parsed> {
  const expected = integrity === undefined ? undefined : parseIntegrity(integrity);
  const read = (data: ArrayBuffer): Parsed => parse(new TextDecoder().decode(data), url);
  const kept = await cache.read(await textKey(url)).catch(() => undefined);
  if (kept !== undefined && expected !== undefined && (await matches(expected, kept))) {
    await keepAddress(url, cache);
    return read(kept); // the server has nothing newer to say
  }
  // What is kept can be used at once where nothing says which version is wanted.
  const request = { signal, transport, patient: kept === undefined || expected !== undefined };
  let data: ArrayBuffer;
  try {
    data =
      expected === undefined
        ? await downloadText(url, request)
        : await downloadChecked(url, expected, request);
  } catch (error) {
    if (kept === undefined || !(error instanceof UnreachableError)) throw error;
    if (expected === undefined) return readOr(error, () => read(kept));
    throw new IntegrityError(
      `${nameOf(url)}: this browser keeps another version than the one that is asked for, ` +
        "and the server cannot be reached",
      "connect to the network: what is kept may be older, or damaged, and is not used",
      { cause: error },
    );
  }
  const parsed = read(data);
  await keepText(url, data, cache);
  return parsed;
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
    `${nameOf(url)}: integrity mismatch ` +
      `(expected ${wanted.slice(0, 20)}…, got ${found.slice(0, 20)}…)`,
    "the page and this file are of two versions of the bundle, or the file was altered: " +
      "reload the page; if that does not help, deploy the bundle as a whole",
  );
}

/** @throws the first error, if a kept text cannot be read either. */
function readOr<Parsed>(error: UnreachableError, read: () => Parsed): Parsed {
  try {
    return read();
  } catch {
    throw error;
  }
}

async function matches(expected: Integrity, data: ArrayBuffer): Promise<boolean> {
  return accepts(expected, await digestAs(expected, data));
}
