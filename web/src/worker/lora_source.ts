/** Brings a LoRA's file into memory: from the caller, the browser's cache or a server; it is checked. */

import { MOST_BYTES, parseAdapterBundle } from "../adapters/adapter_bundle";
import type { FetchOptions } from "../api/load_options";
import { BundleFiles } from "../bundle/bundle_files";
import { NO_CACHE, openCache } from "../bundle/cache";
import type { FileCache } from "../bundle/cache";
import type { OnLoaded } from "../bundle/download";
import { downloadText } from "../bundle/download";
import { fileSizes } from "../bundle/kept";
import type { Manifest } from "../bundle/manifest";
import { sha256 } from "../bundle/sha256";
import { makeTransport } from "../bundle/transport";
import type { Transport } from "../bundle/transport";
import { IntegrityError, LoraError, throwIfAborted } from "../util/errors";
import { nameOf } from "../util/secrets";

/** A source as it is sent to the worker: an absolute address, or the file. */
export type SentSource = string | Blob;

/** A file in memory. */
export interface LoraData {
  data: ArrayBuffer;
  sha256: string;
  /** Name of the file for errors. */
  title: string;
  /** Name that the source gives the LoRA. */
  name: string;
  /** The address of its folder without the server's name, which may say more than the file's name. */
  folder: string;
  /** Words that an adapter bundle states; undefined for a file alone. */
  triggerWords: string[] | undefined;
  /** Keep it in the browser's cache under its digest; undefined if that is done, or it is the caller's. */
  keep?: () => Promise<void>;
}

/** How it is fetched. */
export interface LoraRequest {
  /** Address of the model's manifest: headers and cookies are sent to its origin alone. */
  manifestUrl: string;
  manifest: Manifest;
  options: FetchOptions & { cache?: boolean | undefined };
  /** SHA-256 that the file must have. */
  sha256: string | undefined;
  /** What was read of it before; its file alone is wanted then. */
  triggerWords?: string[] | undefined;
  onLoaded: OnLoaded;
  onNotice: (notice: string) => void;
  signal: AbortSignal;
}

/**
 * Read a LoRA's file.
 *
 * @throws FetchError if it cannot be fetched.
 * @throws IntegrityError if it is another file than its digest says.
 * @throws LoraError if an adapter.json cannot be read.
 */
export async function readLoraSource(source: SentSource, request: LoraRequest): Promise<LoraData> {
  if (typeof source !== "string") return readBlob(source, request);
  const transport = transportTo(source, request);
  const { signal, onLoaded, onNotice, triggerWords: known } = request;
  if (known !== undefined) {
    const kept = await readKept(source, request);
    if (kept !== undefined) return { ...kept, triggerWords: known };
  }
  if (!/\.json$/i.test(new URL(source).pathname)) return fetchFile(source, transport, request);
  const text = await downloadText(source, { signal, transport, patient: true });
  const bundle = parseAdapterBundle(new TextDecoder().decode(text), source);
  const { file, name, triggerWords } = bundle;
  const keep = new Map([...fileSizes(request.manifest), [file.sha256, file.bytes]]);
  const files = new BundleFiles(source, await cacheOf(request), keep, onNotice, transport);
  checkDigest(file.file, file.sha256, request.sha256);
  let loaded = 0;
  const onBytes = (count: number): void => onLoaded((loaded += count), file.bytes);
  const data = await files.get(file, onBytes, signal);
  const folder = folderOf(source);
  return { data, sha256: file.sha256, title: file.file, name, folder, triggerWords };
}

/** Headers and cookies may be secrets of the model's server: another origin gets none of them. */
function transportTo(url: string, { manifestUrl, options }: LoraRequest): Transport {
  const isSame = new URL(url).origin === new URL(manifestUrl).origin;
  return makeTransport(isSame ? options : { fetch: options.fetch });
}

async function cacheOf({ options }: LoraRequest): Promise<FileCache> {
  return options.cache === false ? NO_CACHE : openCache();
}

async function readBlob(
  file: Blob,
  { sha256: expected, onLoaded }: LoraRequest,
): Promise<LoraData> {
  const title = "name" in file ? String(file.name) : "the file";
  if (file.size > MOST_BYTES) {
    throw new LoraError(
      `${title} has ${file.size} bytes`,
      `a browser reads files of up to ${MOST_BYTES} bytes at once: take a smaller LoRA`,
    );
  }
  const data = await file.arrayBuffer().catch(() => {
    throw new LoraError(
      `${title} cannot be read`,
      "choose the file again: it was moved or changed",
    );
  });
  onLoaded(data.byteLength, data.byteLength);
  const found = await sha256(data);
  checkDigest(title, found, expected);
  return {
    data,
    sha256: found,
    title,
    name: stem("name" in file ? title : ""),
    folder: "",
    triggerWords: undefined,
  };
}

/** Return the file of an address from the browser's cache, if its digest is known and it is kept. */
async function readKept(url: string, request: LoraRequest): Promise<LoraData | undefined> {
  const { sha256: expected, onLoaded } = request;
  if (expected === undefined) return undefined;
  const cache = await cacheOf(request);
  const kept = await cache.read(expected).catch(() => undefined);
  if (kept === undefined || (await sha256(kept)) !== expected) return undefined;
  onLoaded(kept.byteLength, kept.byteLength);
  return { data: kept, sha256: expected, ...namesOf(url), triggerWords: undefined };
}

async function fetchFile(
  url: string,
  transport: Transport,
  request: LoraRequest,
): Promise<LoraData> {
  const { sha256: expected, signal, onLoaded } = request;
  const kept = await readKept(url, request);
  if (kept !== undefined) return kept;
  throwIfAborted(signal);
  const how = { signal, transport, patient: true, most: MOST_BYTES, onLoaded };
  const data = await downloadText(url, how);
  const found = await sha256(data);
  const names = namesOf(url);
  checkDigest(names.title, found, expected);
  const keep = async (): Promise<void> => {
    const cache = await cacheOf(request);
    // Without room it is fetched again next time.
    await cache.write(found, data).catch(() => undefined);
  };
  return { data, sha256: found, ...names, triggerWords: undefined, keep };
}

function namesOf(url: string): Pick<LoraData, "title" | "name" | "folder"> {
  const last = new URL(url).pathname.split("/").at(-1)!;
  return { title: nameOf(url), name: stem(decodeURIComponentOr(last)), folder: folderOf(url) };
}

function checkDigest(title: string, found: string, expected: string | undefined): void {
  if (expected === undefined || found === expected) return;
  throw new IntegrityError(
    `${title}: sha256 mismatch (expected ${expected.slice(0, 12)}…, got ${found.slice(0, 12)}…)`,
    "it is another file than the one that is meant, or a damaged copy of it",
  );
}

function folderOf(url: string): string {
  return decodeURIComponentOr(new URL(url).pathname.split("/").slice(0, -1).join("/"));
}

/** The name of a file without its ending. */
function stem(name: string): string {
  return name.replace(/\.safetensors$/i, "");
}

function decodeURIComponentOr(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
