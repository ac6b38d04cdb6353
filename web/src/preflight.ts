/** Whether a model runs here, and what it takes, before anything of it is downloaded. */

import type { WsdError } from "./errors";
import { fetchText, fileSizes } from "./files";
import { findAdapter, shortcomings } from "./gpu";
import type { Manifest } from "./manifest";
import { parseManifest } from "./manifest";
import { openStore } from "./store";

export interface Preflight {
  manifest: Manifest;
  /** Why the model cannot run here, each with a hint; empty if it can. */
  problems: WsdError[];
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
  const store = await openStore();
  const manifest = parseManifest(await fetchText(manifestUrl, store), manifestUrl);
  const kept = new Set(await store.keys());
  const bytes = { total: 0, kept: 0 };
  for (const [key, size] of fileSizes(manifest)) {
    bytes.total += size;
    if (kept.has(key)) bytes.kept += size;
  }
  try {
    const adapter = await findAdapter();
    const { vendor, architecture, description } = adapter.info;
    const problems = shortcomings(adapter, manifest.requires);
    return { manifest, problems, adapter: { vendor, architecture, description }, bytes };
  } catch (error) {
    return { manifest, problems: [error as WsdError], adapter: undefined, bytes };
  }
}
