/** What this browser keeps of models, and removing it. */

import { fetchText } from "../bundle/bundle_files";
import { clearCaches, openCache } from "../bundle/cache";
import { countBytes, forget, keptManifest, keptManifests } from "../bundle/kept";
import { parseManifest } from "../bundle/manifest";
import { manifestAddress } from "./addresses";
import { checkEnvironment } from "./environment";

/** A model of which this browser keeps something. */
export interface KeptModel {
  /** Address of its manifest, without query. */
  manifestUrl: string;
  name: string;
  title: string;
  /** Bytes of the model, and how many of them are kept; files that models share count in each. */
  bytes: { total: number; kept: number };
  /** Whether all of it is kept, so that it loads without the network. */
  complete: boolean;
}

/**
 * List the models that this browser keeps for this origin, of all pages and addresses.
 *
 * @throws UnsupportedError in Node.js and on pages of plain http.
 */
export async function listKept(): Promise<KeptModel[]> {
  checkEnvironment();
  const cache = await openCache();
  const keys = new Set(await cache.keys());
  return (await keptManifests(cache)).flatMap(({ url, manifest }) => {
    if (url === undefined) return [];
    const { name, title } = manifest.model;
    const bytes = countBytes(manifest, keys);
    return { manifestUrl: url, name, title, bytes, complete: bytes.kept === bytes.total };
  });
}

/**
 * Tell whether this browser keeps a whole model, so that it loads without the network. The network
 * is not used to find out. Files are not read: one that is damaged is found when it is loaded.
 *
 * @param manifestUrl address of its manifest.json, or of its folder; the query does not count.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if it is no such address.
 */
export async function isKept(manifestUrl: string | URL): Promise<boolean> {
  checkEnvironment();
  const cache = await openCache();
  const manifest = await keptManifest(manifestAddress(manifestUrl), cache);
  if (manifest === undefined) return false;
  const { kept, total } = countBytes(manifest, new Set(await cache.keys()));
  return kept === total;
}

/**
 * Remove what this browser keeps of a model, except files that another kept model shares.
 *
 * @param manifestUrl address of its manifest.json, or of its folder; the query does not count.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if it is no such address.
 * @throws FetchError if the manifest is neither kept nor fetched.
 */
export async function purge(manifestUrl: string | URL): Promise<void> {
  checkEnvironment();
  const url = manifestAddress(manifestUrl);
  const cache = await openCache();
  const manifest =
    (await keptManifest(url, cache)) ?? parseManifest(await fetchText(url, cache), url);
  await forget(url, manifest, cache);
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
