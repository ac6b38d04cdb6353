/** Plans the most GPU memory that drawing takes, as wsd/spec/peak_memory.py does. */

import type { EntryPoint, Manifest, Role, Size } from "./manifest";
import { findTile } from "./tiles";

/** One way to draw a picture. */
export interface Way {
  size: Size;
  /** Roles of the stages whose parameters are on the GPU only while they run. */
  evict: readonly Role[];
  /** Edge in pixels of the tiles that pictures are decoded and encoded in; undefined for none. */
  tile: number | undefined;
  /** Whether a picture is given, and encoded first. */
  image: boolean;
}

/**
 * Return the peak in bytes of one way of drawing. Stages that are not evicted are on the GPU while the
 * others run, as they are from the second picture on.
 */
export function planPeak(manifest: Manifest, { size, evict, tile, image }: Way): number {
  const entriesOf = (role: Role): EntryPoint[] =>
    manifest.entry_points.filter(
      (entry) =>
        entry.role === role && (entry.size === null || String(entry.size) === String(size)),
    );
  const inTiles = (role: "vae_decoder" | "vae_encoder"): EntryPoint[] =>
    tile === undefined ? entriesOf(role) : [findTile(manifest, role, tile)];
  // One denoiser runs at a time: the workspace of another number of chunks is freed before.
  const guided = entriesOf("guided_denoiser");
  const denoisers =
    guided.length > 0
      ? [...guided, ...entriesOf("guided_chunked_denoiser")]
      : [...entriesOf("denoiser"), ...entriesOf("chunked_denoiser")];
  // With a deep cache two run in turn, of which one leaves its features for the other.
  const guidedShallow = entriesOf("guided_shallow_denoiser");
  const shallow = guidedShallow.length > 0 ? guidedShallow : entriesOf("shallow_denoiser");
  const [whole, beside] = [denoisers, shallow].map((entries) =>
    Math.max(0, ...entries.map((entry) => entry.workspace_bytes)),
  ) as [number, number];
  const work = whole + beside;
  // Texts with clip skip and texts without it may be encoded for one picture.
  const texts = [...entriesOf("text_encoder"), ...entriesOf("layered_text_encoder")];
  const stages = [
    planStage("text_encoder", texts),
    planStage("vae_decoder", inTiles("vae_decoder")),
    ...(image ? [planStage("vae_encoder", inTiles("vae_encoder"))] : []),
    { ...planStage("denoiser", denoisers), work },
  ];
  function planStage(role: Role, entries: readonly EntryPoint[]) {
    const weights = countWeights(manifest, entries);
    const isEvicted = evict.includes(role);
    return {
      work: countWork(entries),
      own: isEvicted ? weights : 0,
      kept: isEvicted ? 0 : weights,
    };
  }
  const kept = sum(stages.map((stage) => stage.kept));
  const most = kept + Math.max(...stages.map((stage) => stage.work + stage.own));
  const shared = [
    ...entriesOf("linear_combination"),
    // Tiles are cut out and put together without a kernel from or to bytes.
    ...(tile === undefined ? entriesOf("image_to_rgba") : []),
    ...(image && tile === undefined ? entriesOf("rgba_to_image") : []),
    ...(image ? entriesOf("masked_blend") : []),
  ];
  return most + countWork(shared);
}

function countWeights(manifest: Manifest, entries: readonly EntryPoint[]): number {
  const ids = new Set(entries.map(({ component }) => component).filter((id) => id !== null));
  return sum([...ids].map((id) => manifest.components[id]!.bytes));
}

function countWork(entries: readonly EntryPoint[]): number {
  return sum(entries.map((entry) => entry.workspace_bytes));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
