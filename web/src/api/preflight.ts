/** Whether a model runs here, and what it takes, before anything of it is downloaded. */

import { fetchText, fileSizes } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import type { Manifest, Size } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import { drawableSizes, fits, sizeProblem } from "../gpu/buffer_limits";
import { describeAdapter, findAdapter, findShortcomings } from "../gpu/device";
import { guidesItself } from "../pipeline/guidance_embedding";
import type { WsdError } from "./errors";
import type { IntegrityOptions } from "./types";

/** What is known of a model on this GPU before it is downloaded. */
export interface Preflight {
  /** Address of the manifest. */
  manifestUrl: string;
  /** Its digest, if it was given. */
  integrity: string | undefined;
  manifest: Manifest;
  /** Why the model cannot run here, each with a hint; empty if it can. */
  problems: WsdError[];
  /** Picture sizes that the GPU has buffers for, the default one first. */
  sizes: Size[];
  /** Whether pictures of the first of these sizes must be decoded in tiles. */
  tiling: boolean;
  /** Whether a negative prompt changes the picture; not for denoisers that guide themselves. */
  takesNegativePrompt: boolean;
  /** Vendor, architecture and description of the GPU, if there is one. */
  adapter: Record<string, string> | undefined;
  /** Bytes of the model, and how many of them this browser keeps already. */
  bytes: { total: number; kept: number };
}

/**
 * Compare a model's manifest with this browser's GPU.
 *
 * @param manifestUrl address of the model's manifest.json.
 * @param options its digest, from the list of models or from SRI.json, if the caller knows it.
 * @throws FetchError if the manifest cannot be fetched.
 * @throws IntegrityError if it is another manifest than the digest says, or another version of it.
 */
export async function preflight(
  manifestUrl: string | URL,
  { integrity }: IntegrityOptions = {},
): Promise<Preflight> {
  const url = new URL(manifestUrl, document.baseURI).href;
  const cache = await openCache();
  const manifest = parseManifest(await fetchText(url, cache, { integrity }), url);
  const kept = new Set(await cache.keys());
  const bytes = { total: 0, kept: 0 };
  for (const [key, size] of fileSizes(manifest)) {
    bytes.total += size;
    if (kept.has(key)) bytes.kept += size;
  }
  const takesNegativePrompt = !guidesItself(manifest, manifest.defaults.size);
  const known = { manifestUrl: url, integrity, manifest, bytes, takesNegativePrompt };
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
