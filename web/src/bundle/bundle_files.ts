/** A bundle's files, from the browser's cache or from the server; every file is checked. */

import type { LoadTimes, OnNotice } from "../api/types";
import { download, downloadText, UnreachableError } from "./download";
import type { OnBytes, TextRequest } from "./download";
import { mapInOrder } from "../util/concurrency";
import { IntegrityError, throwIfAborted } from "../util/errors";
import { accepts, digestAs, parseIntegrity } from "./integrity";
import type { Integrity } from "./integrity";
import { makeTransport } from "./transport";
import type { Transport } from "./transport";
import { log } from "../util/log";
import { nameOf } from "../util/secrets";
import { hashFile, readKeptFile } from "./kept_file";
import type { FetchedFile, KeptFile } from "./kept_file";
import { countWorkers, StoreWorkers } from "./store_workers";
import { isTextKey, isTuningKey, keepAddress, keepText, textKey } from "./kept";
import type { FileEntry } from "./manifest";
import { isQuotaError, NO_CACHE, removeParts } from "./cache";
import type { FileCache } from "./cache";

/** Files that are fetched or read at the same time: two more than there are workers at most. */
const PARALLEL = 6;
/** Fetched files that are used already and not written yet. */
const MOST_WRITES = 4;

/** The files of one model of a bundle; keeps what it fetches. */
export class BundleFiles {
  /** How many bytes came from the server, and from what the browser keeps. */
  readonly bytes = { fetched: 0, kept: 0 };
  /** What loading took so far; who loads the model fills in what is not about files. */
  readonly times: LoadTimes = {
    ...{ start: 0, weights: 0, pipelines: 0 },
    ...{ fetch: 0, read: 0, hash: 0, write: 0, upload: 0 },
  };
  /** What is being written, by the bytes. */
  private readonly writes = new Map<ArrayBuffer, Promise<void>>();
  /** They read and write beside this thread while many files are asked for. */
  private workers: StoreWorkers | undefined;
  /** Memory that nobody uses any more, for the next files. */
  private spare: ArrayBuffer[] = [];
  /** Kept files that are read before they are asked for, by their digests. */
  private readonly ahead = new Map<string, Promise<ArrayBuffer | undefined>>();
  /** Whether the browser has no room left; then nothing more is written. */
  private full = false;
  /** Whether a file could not be kept, although there was room. */
  private unkept = false;

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
   * Return a file's bytes, once they are kept. A damaged file is fetched once more, wherever it came
   * from.
   *
   * @param onBytes called with the bytes that have arrived since the last call.
   * @throws IntegrityError if the server's file is damaged.
   * @throws FetchError if the file does not arrive, or this browser has no memory for it.
   * @throws AbortError if the signal is aborted.
   */
  async get(entry: FileEntry, onBytes: OnBytes, signal?: AbortSignal): Promise<ArrayBuffer> {
    const data = await this.getEarly(entry, onBytes, signal);
    await this.writes.get(data);
    return data;
  }

  /**
   * Return files with their bytes, in their order; several are read or fetched at the same time. A
   * fetched one may still be on its way into what the browser keeps: the caller must not change it, and
   * must call {@link BundleFiles.finish} at the end.
   */
  getAll<Entry extends FileEntry>(
    entries: readonly Entry[],
    onBytes: OnBytes,
    signal?: AbortSignal,
  ): AsyncGenerator<Entry & { data: ArrayBuffer }> {
    this.startWorkers(entries.length);
    if (this.workers !== undefined) this.workers.onRuns = undefined; // nothing more is read ahead
    return mapInOrder(entries, PARALLEL, async (entry, ended) => {
      // After a failure nothing is fetched that nobody waits for.
      const either = signal === undefined ? ended : AbortSignal.any([signal, ended]);
      return { ...entry, data: await this.getEarly(entry, onBytes, either) };
    });
  }

  /**
   * Say which files are asked for next, in their order: workers read the first of them, as far as they
   * are kept. Nothing is fetched.
   */
  readAhead(entries: readonly FileEntry[]): void {
    this.startWorkers(entries.length);
    if (this.workers === undefined) return;
    this.workers.onRuns = () => {
      for (const entry of entries.slice(0, PARALLEL)) {
        this.ahead.set(entry.sha256, this.fromCache(entry));
      }
    };
  }

  /** Say that bytes of {@link BundleFiles.getAll} are not needed any more: they may be overwritten. */
  giveBack(data: ArrayBuffer): void {
    if (!this.writes.has(data) && this.spare.length < PARALLEL) this.spare.push(data);
  }

  /** Wait until everything is kept that was fetched, and end the workers. */
  async finish(): Promise<void> {
    this.endWorkers();
    this.ahead.clear();
    this.spare = [];
    await Promise.all(this.writes.values());
  }

  private startWorkers(files: number): void {
    if (this.cache === NO_CACHE || this.workers !== undefined) return;
    const count = countWorkers(files);
    if (count > 0) this.workers = new StoreWorkers(count);
  }

  private endWorkers(): void {
    this.workers?.dispose();
    this.workers = undefined;
  }

  private async getEarly(
    entry: FileEntry,
    onBytes: OnBytes,
    signal: AbortSignal | undefined,
  ): Promise<ArrayBuffer> {
    throwIfAborted(signal);
    const reading = this.ahead.get(entry.sha256) ?? this.fromCache(entry);
    this.ahead.delete(entry.sha256);
    const kept = await reading;
    if (kept !== undefined) {
      log("debug", `${entry.file} is kept in this browser`);
      this.bytes.kept += entry.bytes;
      onBytes(entry.bytes);
      return kept;
    }
    throwIfAborted(signal);
    const data = await this.fromServer(entry, onBytes, signal);
    this.bytes.fetched += entry.bytes;
    return data;
  }

  private async fromCache(entry: FileEntry): Promise<ArrayBuffer | undefined> {
    let found: KeptFile | undefined;
    try {
      found = await this.readKept(entry);
    } catch {
      return undefined; // a file that cannot be read is fetched like one that is not there
    }
    if (found === undefined) return undefined;
    const { data, digest, read, hash } = found;
    this.times.read += read;
    this.times.hash += hash;
    if (data.byteLength === entry.bytes && digest === entry.sha256) return data;
    this.notice(`${entry.file} was damaged in the browser's cache and is fetched again.`);
    await this.cache.remove(entry.sha256);
    return undefined;
  }

  /** Read a file in another worker if one runs, else here. */
  private async readKept({ sha256: key, bytes }: FileEntry): Promise<KeptFile | undefined> {
    const into = this.takeSpare(bytes);
    const elsewhere = this.workers?.read(key, into);
    if (elsewhere === undefined) return readKeptFile(this.cache, key, into);
    // A worker may have ended, or its browser may not let it read.
    return elsewhere.catch(() => readKeptFile(this.cache, key));
  }

  /** Memory of so many bytes that is not used any more, if there is some. */
  private takeSpare(bytes: number): ArrayBuffer | undefined {
    const fitting = this.spare.findIndex(({ byteLength }) => byteLength === bytes);
    return fitting < 0 ? undefined : this.spare.splice(fitting, 1)[0];
  }

  private async fromServer(
    entry: FileEntry,
    onBytes: OnBytes,
    signal: AbortSignal | undefined,
  ): Promise<ArrayBuffer> {
    const url = besideAddress(entry.file, this.base);
    const { transport } = this;
    let found = "";
    for (const again of [false, true]) {
      const began = performance.now();
      const into = this.takeSpare(entry.bytes);
      const how = { signal, bypass: this.bypassFor(again), transport, into };
      const fetched = await download(url, entry.bytes, onBytes, how);
      this.times.fetch += performance.now() - began;
      const checked = await this.check(entry, fetched);
      if (checked === undefined) {
        // The worker that had it has ended: it is fetched once more, and checked here.
        this.endWorkers();
        throwIfAborted(signal);
        onBytes(-entry.bytes);
        return this.fromServer(entry, onBytes, signal);
      }
      const { data, digest, kept } = checked;
      if (digest === entry.sha256) {
        if (!kept) await this.startWrite(entry, data);
        return data;
      }
      found = digest;
      onBytes(-entry.bytes);
      if (!again) this.notice(`${entry.file} arrived damaged and is fetched again.`);
    }
    throw new IntegrityError(
      `${entry.file}: sha256 mismatch (expected ${entry.sha256.slice(0, 12)}…, ` +
        `got ${found.slice(0, 12)}…), twice`,
      "the server's copy is damaged: deploy the bundle anew",
    );
  }

  /**
   * How a file is fetched past the browser's HTTP cache. What is kept here would be kept there a second
   * time, and writing it takes a quarter of the time of a fast download. Where files cannot be kept, or
   * a part of the model is kept and others are not, as without room, that cache may have them.
   *
   * @param again whether it arrived damaged, perhaps from that cache.
   */
  private bypassFor(again: boolean): "no-store" | "reload" | undefined {
    const isKept = this.cache !== NO_CACHE && !this.full && !this.unkept;
    if (isKept && this.bytes.kept === 0) return "no-store";
    return again ? "reload" : undefined;
  }

  /**
   * Compute a fetched file's digest: in another worker if one runs, which also keeps it, else here.
   *
   * @returns undefined if the file is lost with its worker.
   */
  private async check(
    { sha256: key }: FileEntry,
    fetched: ArrayBuffer,
  ): Promise<FetchedFile | undefined> {
    const elsewhere = this.full ? undefined : this.workers?.keep(key, fetched);
    const checked =
      elsewhere === undefined
        ? { ...(await hashFile(fetched)), kept: false, write: 0 }
        : await elsewhere.catch(() => undefined);
    this.times.hash += checked?.hash ?? 0;
    this.times.write += checked?.write ?? 0;
    return checked;
  }

  /** Begin to keep a file, once few others are being written. */
  private async startWrite(entry: FileEntry, data: ArrayBuffer): Promise<void> {
    while (this.writes.size >= MOST_WRITES) await Promise.race(this.writes.values());
    const began = performance.now();
    const write = this.toCache(entry, data)
      .catch(() => undefined) // a file that cannot be kept is used all the same
      .then(() => {
        this.times.write += performance.now() - began;
        this.writes.delete(data);
      });
    this.writes.set(data, write);
  }

  private async toCache(entry: FileEntry, data: ArrayBuffer): Promise<void> {
    if (this.full) return;
    try {
      await this.cache.write(entry.sha256, data);
    } catch (error) {
      if (!isQuotaError(error)) {
        this.unkept = true; // another tab may be writing the same file
        return;
      }
      if (await this.makeRoom()) return this.toCache(entry, data);
      this.full = true;
      this.notice(
        "The browser has no room to keep the model; it will be downloaded again next time.",
      );
    }
  }

  /** Remove parts of files, and files of other models. @returns whether any is gone; another tab may hold them. */
  private async makeRoom(): Promise<boolean> {
    if (await removeParts()) return true;
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
  for (const bypass of [undefined, "reload"] as const) {
    const data = await downloadText(url, { ...request, bypass });
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
