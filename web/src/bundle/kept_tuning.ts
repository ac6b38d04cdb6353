/** What the browser keeps of what `tune` found, for each GPU and each table of variants. */

import type { TunedFunction, VariantChoice } from "../api/tuning";
import type { FileCache } from "./cache";
import { tuningKey } from "./kept";
import type { Manifest } from "./manifest";

/** What `tune` found of a library on a GPU. */
export interface Tuning {
  /** Kernel → what was found to be the fastest in it. */
  choices: Record<string, VariantChoice>;
  functions: TunedFunction[];
  /** Whether the GPU was lost, or had no room, while it was tuned by itself: then it is not tried again. */
  lost?: boolean | undefined;
}

/** A tuning as it is kept, with what it is of besides the GPU and the table, which its key names. */
interface KeptTuning extends Tuning {
  version: typeof VERSION;
  /** Digest of the library, whose generated kernels were timed too. */
  library: string;
  /** The browser and its version, as drivers and compilers of shaders change with it. */
  browser: string;
}

const VERSION = 1;

/** Names of the GPU, as `GPUAdapterInfo` has them. */
export type GpuNames = Readonly<Record<string, string>>;

/** Read what is kept of a model on a GPU; what is of another library or browser is removed. */
export async function readTuning(
  manifest: Manifest,
  gpu: GpuNames,
  cache: FileCache,
): Promise<Tuning | undefined> {
  const key = await tuningKey(manifest, gpu);
  if (key === undefined) return undefined;
  const data = await cache.read(key).catch(() => undefined);
  if (data === undefined) return undefined;
  const found = parseTuning(new TextDecoder().decode(data));
  if (found !== undefined && belongs(found, manifest)) return found;
  await cache.remove(key);
  return undefined;
}

/**
 * Keep what was found of a model on a GPU, in place of what was kept of it before.
 *
 * @returns whether it is kept: not without room, and not where nothing is kept.
 */
export async function keepTuning(
  manifest: Manifest,
  gpu: GpuNames,
  { choices, functions, lost }: Tuning,
  cache: FileCache,
): Promise<boolean> {
  const key = await tuningKey(manifest, gpu);
  if (key === undefined) return false;
  const browser = navigator.userAgent;
  const library = manifest.library.sha256;
  const kept: KeptTuning = { version: VERSION, library, browser, choices, functions, lost };
  const data = new TextEncoder().encode(JSON.stringify(kept));
  await cache.write(key, data.buffer).catch(() => undefined);
  // What an earlier call kept may lie there still.
  const read = await cache.read(key).catch(() => undefined);
  return read !== undefined && new TextDecoder().decode(read) === JSON.stringify(kept);
}

function belongs({ library, browser }: KeptTuning, manifest: Manifest): boolean {
  return library === manifest.library.sha256 && browser === navigator.userAgent;
}

/** Read a kept tuning; undefined if it is damaged, or of another version. */
function parseTuning(text: string): KeptTuning | undefined {
  try {
    const found = JSON.parse(text) as Partial<KeptTuning> | null;
    const choices = Object.values(found?.choices ?? []);
    const good =
      found?.version === VERSION && Array.isArray(found.functions) && choices.every(isChoice);
    return good ? (found as KeptTuning) : undefined;
  } catch {
    return undefined;
  }
}

function isChoice(value: Partial<VariantChoice> | null): boolean {
  return typeof value?.variant === "string" && Number.isSafeInteger(value.index);
}
