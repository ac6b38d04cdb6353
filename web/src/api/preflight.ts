/** Whether a model runs here, and what it takes, before anything of it is downloaded. */

import { fetchText, fileSizes } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import type { Manifest, Size } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import { drawableSizes, fits, sizeProblem } from "../gpu/buffer_limits";
import { describeAdapter, findAdapter, findShortcomings } from "../gpu/device";
import type { WsdError } from "./errors";

/** What is known of a model on this GPU before it is downloaded. */
export interface Preflight {
  /** Address of the manifest. */
  manifestUrl: string;
  manifest: Manifest;
  /** Why the model cannot run here, each with a hint; empty if it can. */
  problems: WsdError[];
  /** Picture sizes that the GPU has buffers for, the default one first. */
  sizes: Size[];
  /** Whether pictures of the first of these sizes must be decoded in tiles. */
  tiling: boolean;
  /** Vendor, architecture and description of the GPU, if there is one. */
  adapter: Record<string, string> | undefined;
  /** Bytes of the model, and how many of them this browser keeps already. */
  bytes: { total: number; kept: number };
}

/**
 * Compare a model's manifest with this browser's GPU.
 *
 * @param manifestUrl address of the model's manifest.json.
 * @throws FetchError if the manifest cannot be fetched.
 */
export async function preflight(manifestUrl: string | URL): Promise<Preflight> {
  const url = new URL(manifestUrl, document.baseURI).href;
  const cache = await openCache();
  const manifest = parseManifest(await fetchText(url, cache), url);
  const kept = new Set(await cache.keys());
  const bytes = { total: 0, kept: 0 };
  for (const [key, size] of fileSizes(manifest)) {
    bytes.total += size;
    if (kept.has(key)) bytes.kept += size;
  }
  const known = { manifestUrl: url, manifest, bytes };
  try {
    const adapter = await findAdapter();
    const { limits } = adapter;
    const sizes = drawableSizes(manifest, limits);
    const problems: WsdError[] = findShortcomings(adapter, manifest.requires);
    if (sizes.length === 0) problems.push(sizeProblem(manifest, manifest.defaults.size, limits)!);
    const tiling = sizes.length > 0 && !fits(manifest, "vae_decoder", sizes[0]!, limits);
    return { ...known, problems, sizes, tiling, adapter: describeAdapter(adapter) };
  } catch (error) {
    return {
      ...known,
      problems: [error as WsdError],
      sizes: [],
      tiling: false,
      adapter: undefined,
    };
  }
}
