/**
 * Finds a bundle by the configuration of a page on tvmjs: `stable-diffusion-config.json` of the
 * original Web Stable Diffusion, which `wsd build --layout classic` writes too
 * (wsd/bundle/classic.py). Its libraries and shards are for tvmjs alone; the bundle's list of models
 * lies beside it, and has the same models in files that are named by their digests.
 */

import { FetchError } from "../util/errors";
import { nameOf } from "../util/secrets";
import { besideAddress, fetchParsed } from "./bundle_files";
import type { TextOptions } from "./bundle_files";
import type { FileCache } from "./cache";
import { UnreachableError } from "./download";
import type { IndexEntry, Manifest } from "./manifest";
import { parseIndex, parseManifest } from "./manifest";
import { isName } from "./paths";

/** Where a deployment's bundle is. */
interface Deployment {
  /** Path of its list of models, relative to the configuration. */
  models: string;
  /** Digest of the list; undefined where the configuration states none. */
  integrity: string | undefined;
  /** Whether WSD wrote the configuration, so that there is a bundle. */
  written: boolean;
}

/** A bundle's list of models, and its own address. */
export interface FoundIndex {
  url: string;
  entries: IndexEntry[];
}

/** A manifest, its own address, and its digest if that is known. */
export interface FoundManifest {
  url: string;
  integrity: string | undefined;
  manifest: Manifest;
}

/**
 * Fetch a bundle's list of models from its address, or from that of a deployment's configuration.
 *
 * @param options `integrity` is the digest of what is at the address.
 * @throws FetchError or IntegrityError as `fetchParsed`.
 */
export async function fetchIndex(
  url: string,
  cache: FileCache,
  options: TextOptions,
): Promise<FoundIndex> {
  const found = await fetchParsed(
    url,
    cache,
    (text, address) => parseDeployment(text) ?? parseIndex(text, address),
    options,
  );
  return Array.isArray(found) ? { url, entries: found } : follow(found, url, cache, options);
}

/**
 * Fetch a manifest from its address, or the first model's from the address of a deployment's
 * configuration.
 *
 * @param options `integrity` is the digest of what is at the address.
 * @throws FetchError or IntegrityError as `fetchParsed`.
 */
export async function fetchManifest(
  url: string,
  cache: FileCache,
  options: TextOptions,
): Promise<FoundManifest> {
  const found = await fetchParsed(
    url,
    cache,
    (text, address) => parseDeployment(text) ?? parseManifest(text, address),
    options,
  );
  if (!("models" in found)) return { url, integrity: options.integrity, manifest: found };
  const index = await follow(found, url, cache, options);
  const { manifest: folder, integrity } = index.entries[0]!;
  const address = besideAddress(`${folder}manifest.json`, index.url);
  const manifest = await fetchParsed(address, cache, parseManifest, { ...options, integrity });
  return { url: address, integrity, manifest };
}

/** Fetch the list of models that a configuration leads to. */
async function follow(
  { models, integrity, written }: Deployment,
  config: string,
  cache: FileCache,
  options: TextOptions,
): Promise<FoundIndex> {
  const url = besideAddress(models, config);
  try {
    const entries = await fetchParsed(url, cache, parseIndex, { ...options, integrity });
    return { url, entries };
  } catch (cause) {
    if (written || !(cause instanceof FetchError) || cause instanceof UnreachableError) throw cause;
    throw new FetchError(
      `${nameOf(config)} is the configuration of a page on tvmjs, and no bundle lies beside it`,
      "build one with wsd build --layout classic, and copy its files there: they draw for both",
      { cause },
    );
  }
}

/**
 * Read a configuration; undefined if a text is something else. The original's own leads to nothing
 * that WSD can draw with: a bundle may lie in the same folder.
 */
function parseDeployment(text: string): Deployment | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // who parses it as something else says so
  }
  const { model_lib_map, wasmUrl, models, integrity } = (value ?? {}) as Record<string, unknown>;
  if (typeof model_lib_map !== "object" && typeof wasmUrl !== "string") return undefined;
  const written = typeof models === "string" && models.split("/").every(isName);
  return {
    models: written ? models : "models/index.json",
    integrity: written && typeof integrity === "string" ? integrity : undefined,
    written,
  };
}
