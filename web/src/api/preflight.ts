/** Whether a model runs here, and what it takes, before anything of it is downloaded. */

import type { WsdError } from "./errors";
import { fetchText, fileSizes } from "../bundle/bundle_files";
import { drawableSizes, fits, sizeProblem } from "../gpu/buffer_limits";
import { describeAdapter, findAdapter, shortcomings } from "../gpu/device";
import type { Manifest, Size } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import { openCache } from "../bundle/cache";

export interface Preflight {
  /** Address of the manifest. */
  manifestUrl: string;
  manifest: Manifest;
  /** Why the model cannot run here, each with a hint; empty if it can. */
  problems: WsdError[];
  /** Sizes of pictures that the GPU has buffers for, the first of them the default. */
  sizes: Size[];
  /** Whether pictures of the default size must be decoded in tiles. */
  tiling: boolean;
  /** Vendor, architecture and description of the GPU, if there is one. */
  adapter: Record<string, string> | undefined;
  /** Bytes of the model, and how many of them this browser keeps already. */
  bytes: { total: number; kept: number };
}

/**
 * Look at a model's manifest and at this browser's GPU.
 *
 * @throws FetchError if the manifest cannot be had.
 */
export async function preflight(manifestUrl: string): Promise<Preflight> {
  const store = await openCache();
  const manifest = parseManifest(await fetchText(manifestUrl, store), manifestUrl);
  const kept = new Set(await store.keys());
  const bytes = { total: 0, kept: 0 };
  for (const [key, size] of fileSizes(manifest)) {
    bytes.total += size;
    if (kept.has(key)) bytes.kept += size;
  }
  try {
    const adapter = await findAdapter();
    const { limits } = adapter;
    const sizes = drawableSizes(manifest, limits);
    const problems: WsdError[] = shortcomings(adapter, manifest.requires);
    if (sizes.length === 0) problems.push(sizeProblem(manifest, manifest.defaults.size, limits)!);
    const tiling = sizes.length > 0 && !fits(manifest, "vae_decoder", sizes[0]!, limits);
    const told = describeAdapter(adapter);
    return { manifestUrl, manifest, problems, sizes, tiling, adapter: told, bytes };
  } catch (error) {
    const none = { sizes: [], tiling: false, adapter: undefined };
    return { manifestUrl, manifest, problems: [error as WsdError], ...none, bytes };
  }
}
