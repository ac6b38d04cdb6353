/** What the browser keeps of bundles: manifests and lists of models, and the files they name. */

import type { FileCache } from "./cache";
import type { FileEntry, Manifest } from "./manifest";
import { drawingFiles, filesOf, parseManifest } from "./manifest";
import { sha256 } from "./sha256";
import { unsignedAddress } from "./signed_addresses";

/** Keys of manifests and lists of models start with this; other keys are digests of files. */
const TEXT = "text-";
/** Stands in a text's key before the digest of its address's query. */
const QUERY = "_";
/** Keys of what `tune` found start with this, and go on with the digest of a table of variants. */
const TUNING = "tune-";
/** A text's address is kept under its key with this ending. */
const ADDRESS = ".address";

/** A manifest that the browser keeps. */
export interface KeptManifest {
  /** Its address without a signature; undefined if a version of WSD kept it that wrote none. */
  url: string | undefined;
  manifest: Manifest;
}

/** Whether a key is that of a manifest or a list of models, or of its address. */
export function isTextKey(key: string): boolean {
  return key.startsWith(TEXT);
}

/** Whether a key is that of what `tune` found; of a table of variants, if its digest is given. */
export function isTuningKey(key: string, table = ""): boolean {
  return key.startsWith(TUNING + table);
}

/**
 * Return the key of what `tune` found of a model on a GPU: it has the digest of the table of variants,
 * which models of one library share, and that of the GPU's names.
 *
 * @returns undefined if the model has no table.
 */
export async function tuningKey(
  { kernels }: Manifest,
  gpu: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  return kernels && `${TUNING}${kernels.sha256}-${await digestOf(JSON.stringify(gpu))}`;
}

/**
 * Return the key of a manifest or a list of models: digests of its address without query, and of the
 * query if there is one. A signature does not count, because it is another one at each visit.
 */
export async function textKey(url: string): Promise<string> {
  const address = new URL(unsignedAddress(url));
  const { search } = address;
  address.search = "";
  const key = TEXT + (await digestOf(address.href));
  return search === "" ? key : `${key}${QUERY}${await digestOf(search)}`;
}

/** Keep a manifest or a list of models, and where it is from; nothing happens without room. */
export async function keepText(url: string, data: ArrayBuffer, cache: FileCache): Promise<void> {
  const key = await textKey(url);
  await removeCopies(key, data, cache);
  await cache.write(key, data).catch(() => undefined);
  await keepAddress(url, cache);
}

/**
 * Remove the same text under other queries of its address. A signature that is not known as one would
 * keep another copy at each visit, and files that a copy names could never be removed. So of two
 * addresses of the same model, such as `?v=1` and `?v=2`, only the last one loads without the network.
 */
async function removeCopies(key: string, data: ArrayBuffer, cache: FileCache): Promise<void> {
  const [path, query] = key.split(QUERY);
  if (query === undefined) return;
  const digest = await sha256(data);
  for (const other of await cache.keys()) {
    if (!other.startsWith(`${path!}${QUERY}`) || other === key || other.endsWith(ADDRESS)) continue;
    const text = await cache.read(other).catch(() => undefined);
    if (text === undefined || (await sha256(text)) !== digest) continue;
    await cache.remove(other);
    await cache.remove(other + ADDRESS);
  }
}

/** Keep where a text is from, unless that is kept. */
export async function keepAddress(url: string, cache: FileCache): Promise<void> {
  const key = (await textKey(url)) + ADDRESS;
  if ((await cache.read(key).catch(() => undefined)) !== undefined) return;
  const address = new TextEncoder().encode(unsignedAddress(url));
  await cache.write(key, address.buffer).catch(() => undefined);
}

/** Return the kept manifest of an address; undefined if none is kept, or one that cannot be read. */
export async function keptManifest(url: string, cache: FileCache): Promise<Manifest | undefined> {
  return readManifest(await textKey(url), cache);
}

/** List the kept manifests. */
export async function keptManifests(cache: FileCache): Promise<KeptManifest[]> {
  const found: KeptManifest[] = [];
  for (const key of await cache.keys()) {
    if (!isTextKey(key) || key.endsWith(ADDRESS)) continue;
    const manifest = await readManifest(key, cache);
    if (manifest === undefined) continue;
    const address = await cache.read(key + ADDRESS).catch(() => undefined);
    found.push({ url: address && new TextDecoder().decode(address), manifest });
  }
  return found;
}

async function readManifest(key: string, cache: FileCache): Promise<Manifest | undefined> {
  const data = await cache.read(key).catch(() => undefined);
  if (data === undefined) return undefined;
  try {
    return parseManifest(new TextDecoder().decode(data), key);
  } catch {
    return undefined; // a list of models, or a manifest of another version
  }
}

/** Remove a manifest and its files from the cache, except files that another manifest names. */
export async function forget(url: string, manifest: Manifest, cache: FileCache): Promise<void> {
  const key = await textKey(url);
  await cache.remove(key);
  await cache.remove(key + ADDRESS);
  const others = await keptManifests(cache);
  const shared = new Set(others.flatMap((other) => [...fileSizes(other.manifest).keys()]));
  for (const digest of fileSizes(manifest).keys()) {
    if (!shared.has(digest)) await cache.remove(digest);
  }
  const table = manifest.kernels?.sha256;
  if (table === undefined || shared.has(table)) return;
  for (const tuned of await cache.keys()) if (isTuningKey(tuned, table)) await cache.remove(tuned);
}

/** Map the digest of each file of a model to its bytes; several names may share one. */
export function fileSizes(manifest: Manifest): Map<string, number> {
  return sizesOf(filesOf(manifest));
}

function sizesOf(files: readonly FileEntry[]): Map<string, number> {
  return new Map(files.map(({ sha256: digest, bytes }) => [digest, bytes]));
}

/**
 * Count the bytes that loading and drawing from text take, and how many of them are among the kept
 * keys. The encoder and the self-test's expected values do not count: they are fetched when a
 * picture is given first, and for the self-test.
 *
 * @param checks whether finished pictures are checked, so that the safety checker counts too.
 */
export function countBytes(
  manifest: Manifest,
  keys: ReadonlySet<string>,
  checks = false,
): { total: number; kept: number } {
  const bytes = { total: 0, kept: 0 };
  for (const [digest, size] of sizesOf(drawingFiles(manifest, checks))) {
    bytes.total += size;
    if (keys.has(digest)) bytes.kept += size;
  }
  return bytes;
}

/** Whether the browser keeps files that belong to no manifest that it keeps. */
export async function keepsStrayFiles(cache: FileCache): Promise<boolean> {
  const manifests = await keptManifests(cache);
  const known = new Set(manifests.flatMap(({ manifest }) => [...fileSizes(manifest).keys()]));
  return (await cache.keys()).some(
    (key) => !isTextKey(key) && !known.has(isTuningKey(key) ? tableOf(key) : key),
  );
}

/** The digest of the table of variants that a key of what `tune` found names. */
function tableOf(key: string): string {
  return key.slice(TUNING.length).split("-")[0]!;
}

async function digestOf(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text).buffer);
}
