/** Leaves out the text encoders that a model can do without, as if its bundle did not have them. */

import { UnsupportedError } from "../util/errors";
import type { EntryPoint, Manifest, PeakMemory, Role } from "./manifest";

/**
 * Return a manifest with the text encoders that can be left out, or without them. Their weights and
 * tokenizers are not fetched then, and zeros are in the place of their states.
 *
 * @param wanted false leaves them out, true asks for them; undefined takes what there is.
 * @throws UnsupportedError if they are asked for, and the bundle has none.
 */
export function chooseEncoders(manifest: Manifest, wanted: boolean | undefined): Manifest {
  const { optional = [] } = manifest.conditioning;
  if (wanted === true && optional.length === 0) {
    throw new UnsupportedError(
      `${manifest.model.name} has no third text encoder`,
      "leave textEncoder3 out, or build the bundle from a checkpoint that has T5",
    );
  }
  return wanted === false && optional.length > 0 ? withoutEncoders(manifest, optional) : manifest;
}

function withoutEncoders(manifest: Manifest, ids: readonly string[]): Manifest {
  const { encoders, join, empty_negative } = manifest.conditioning;
  const kept = <Entry>(entries: Record<string, Entry>): Record<string, Entry> =>
    Object.fromEntries(Object.entries(entries).filter(([id]) => !ids.includes(id)));
  const without: Manifest = {
    ...manifest,
    components: kept(manifest.components),
    tokenizers: kept(manifest.tokenizers),
    entry_points: manifest.entry_points.filter(
      ({ component }) => component === null || !ids.includes(component),
    ),
    conditioning: { encoders: encoders.filter((id) => !ids.includes(id)), join, empty_negative },
  };
  const { image_peak_bytes: images } = manifest;
  return {
    ...without,
    requires: { ...manifest.requires, limits: findLimits(without) },
    peak_bytes: manifest.peak_bytes.map((peak) => planPeak(without, peak, false)),
    ...(images === undefined
      ? {}
      : { image_peak_bytes: images.map((peak) => planPeak(without, peak, true)) }),
  };
}

/** The same as wsd/bundle/builder.py writes for a bundle that never had the encoders. */
function findLimits(manifest: Manifest): Record<string, number> {
  const others: Role[] = ["vae_encoder", "safety_checker"];
  const components = Object.values(manifest.components).filter(
    ({ role }) => !others.includes(role),
  );
  const largest = Math.max(
    ...components.flatMap(({ records }) => records.map(({ bytes }) => bytes)),
    ...manifest.entry_points
      .filter(({ role }) => role === "text_encoder")
      .map((entry) => entry.largest_buffer_bytes),
  );
  return { ...manifest.requires.limits, maxStorageBufferBindingSize: largest };
}

/** The same as wsd/compiler/memory.py plans. */
function planPeak(manifest: Manifest, peak: PeakMemory, image: boolean): PeakMemory {
  const { size, offload, tiling } = peak;
  const entriesOf = (role: Role): EntryPoint[] =>
    manifest.entry_points.filter(
      (entry) =>
        entry.role === role && (entry.size === null || String(entry.size) === String(size)),
    );
  const stages = [
    // Texts with clip skip and texts without it may be encoded for one picture.
    [...entriesOf("text_encoder"), ...entriesOf("layered_text_encoder")],
    entriesOf(tiling ? "vae_decoder_tile" : "vae_decoder"),
    ...(image ? [entriesOf(tiling ? "vae_encoder_tile" : "vae_encoder")] : []),
  ];
  const weights = stages.map((entries) => countWeights(manifest, entries));
  const work = stages.map(countWork);
  // One denoiser runs at a time: the workspace of another number of chunks is freed before.
  const guided = entriesOf("guided_denoiser");
  const denoisers =
    guided.length > 0
      ? [...guided, ...entriesOf("guided_chunked_denoiser")]
      : [...entriesOf("denoiser"), ...entriesOf("chunked_denoiser")];
  weights.push(countWeights(manifest, denoisers));
  work.push(Math.max(...denoisers.map((entry) => entry.workspace_bytes)));
  const most = offload
    ? Math.max(...weights.map((bytes, stage) => bytes + work[stage]!))
    : sum(weights) + Math.max(...work);
  const shared = [
    ...entriesOf("linear_combination"),
    // Tiles are cut out and put together without a kernel from or to bytes.
    ...(tiling ? [] : entriesOf("image_to_rgba")),
    ...(image && !tiling ? entriesOf("rgba_to_image") : []),
    ...(image ? entriesOf("masked_blend") : []),
  ];
  return { ...peak, bytes: most + countWork(shared) };
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
