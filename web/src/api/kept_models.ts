/** What this browser keeps of models, and removing it. */

import { fetchParsed } from "../bundle/bundle_files";
import { clearCaches, NO_CACHE, openCache, removeParts } from "../bundle/cache";
import {
  countBytes,
  fileSizes,
  forget,
  isTuningKey,
  keepsStrayFiles,
  keptManifest,
  keptManifests,
} from "../bundle/kept";
import { parseManifest } from "../bundle/manifest";
import { makeTransport, plainHeaders } from "../bundle/transport";
import { FETCH_CHECKS, requireDigest, requireOptions } from "../util/option_checks";
import { explainAddress, manifestAddress } from "./addresses";
import { checkEnvironment } from "./environment";
import type { FetchOptions } from "./load_options";

/** A model of which this browser keeps something. */
export interface KeptModel {
  /** Address of its manifest, without a signature. */
  manifestUrl: string;
  name: string;
  title: string;
  /** Bytes of the model, and how many of them are kept; files that models share count in each. */
  bytes: { total: number; kept: number };
  /**
   * Whether all that loading and drawing from text take is kept, so that this needs no network. The
   * encoder and the safety checker do not count: they are fetched when they are needed first.
   */
  complete: boolean;
  /** For how many GPUs of this browser it is kept what `tune` found; models of one library share it. */
  tunings: number;
}

/**
 * List the models that this browser keeps for this origin, of all pages and addresses.
 *
 * @throws UnsupportedError in Node.js and on pages of plain http.
 *
 * @example
 * ```ts
 * for (const { title, bytes, manifestUrl, complete } of await listKept()) {
 *   console.log(`${title}: ${bytes.kept} of ${bytes.total} bytes`);
 *   if (!complete) await purge(manifestUrl);
 * }
 * ```
 */
export async function listKept(): Promise<KeptModel[]> {
  checkEnvironment();
  const cache = await openCache();
  const keys = new Set(await cache.keys());
  return (await keptManifests(cache)).flatMap(({ url, manifest }) => {
    if (url === undefined) return [];
    const { name, title } = manifest.model;
    const bytes = countBytes(manifest, keys);
    const table = manifest.kernels?.sha256;
    const tunings = [...keys].filter((key) => table && isTuningKey(key, table)).length;
    const complete = bytes.kept === bytes.total;
    return { manifestUrl: url, name, title, bytes, complete, tunings };
  });
}

/**
 * Tell whether this browser keeps all of a model that loading and drawing from text take, so that
 * this needs no network. The encoder and the safety checker do not count: they are fetched when they
 * are needed first. The network is not used to find out. Files are not read: one that is damaged is
 * found when it is loaded.
 *
 * @param manifestUrl address of its manifest.json, or of its folder; a signature in its query does
 *   not count.
 * @param options those with which the model is loaded; only whether there is a `fetch` counts, with
 *   which addresses are possible that the browser cannot fetch.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if it is not such an address, or an option is not what it must be.
 */
export async function isKept(
  manifestUrl: string | URL,
  options: FetchOptions = {},
): Promise<boolean> {
  checkEnvironment();
  const how = requireOptions("isKept", options, FETCH_CHECKS);
  plainHeaders(how.headers);
  const url = manifestAddress(manifestUrl, how);
  const cache = await openCache();
  const manifest = await keptManifest(url, cache);
  if (manifest === undefined) return false;
  const { kept, total } = countBytes(manifest, new Set(await cache.keys()));
  return kept === total;
}

/**
 * Remove what this browser keeps of a model, except files that another kept model shares. The
 * manifest is fetched only if it is not kept and files are whose model is not known.
 *
 * @param manifestUrl address of its manifest.json, or of its folder; a signature in its query does
 *   not count.
 * @param options how the manifest is fetched.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if it is not such an address, or an option is not what it must be.
 * @throws FetchError if the manifest cannot be fetched.
 */
export async function purge(manifestUrl: string | URL, options: FetchOptions = {}): Promise<void> {
  checkEnvironment();
  const how = requireOptions("purge", options, FETCH_CHECKS);
  const transport = makeTransport(how);
  const url = manifestAddress(manifestUrl, how);
  const cache = await openCache();
  let manifest = await keptManifest(url, cache);
  if (manifest === undefined && !(await keepsStrayFiles(cache))) return;
  try {
    // It is not kept: that would remove the same manifest of another address, whose files stay.
    manifest ??= await fetchParsed(url, NO_CACHE, parseManifest, { transport });
  } catch (error) {
    throw explainAddress(error, manifestUrl, url);
  }
  await forget(url, manifest, cache);
  await removeParts();
}

/**
 * Remove the file of a LoRA or of a textual inversion that this browser keeps because it was fetched from
 * an address. A file that belongs to a kept model stays.
 *
 * @param sha256 of the file, as `loadLora` and `loadTextualInversion` give it.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if it is no SHA-256.
 */
export async function purgeFile(sha256: string): Promise<void> {
  checkEnvironment();
  requireDigest("sha256", sha256);
  const cache = await openCache();
  const models = await keptManifests(cache);
  if (models.some(({ manifest }) => fileSizes(manifest).has(sha256))) return;
  await cache.remove(sha256);
}

/**
 * Remove all that WSD keeps in this browser for this origin.
 *
 * @throws UnsupportedError in Node.js and on pages of plain http.
 */
export async function purgeAll(): Promise<void> {
  checkEnvironment();
  await clearCaches();
}
