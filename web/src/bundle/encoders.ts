/** Leaves out the text encoders that a model can do without, as if its bundle did not have them. */

import { UnsupportedError } from "../util/errors";
import { STAGES } from "../util/settings_schema.generated";
import type { Manifest, PeakMemory, Role } from "./manifest";
import { planPeak } from "./peak_memory";
import { ownTileSize } from "./tiles";

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
    peak_bytes: manifest.peak_bytes.map((peak) => planListed(without, peak, false)),
    ...(images === undefined
      ? {}
      : { image_peak_bytes: images.map((peak) => planListed(without, peak, true)) }),
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

/** Plan the peak of one of the ways that the manifest lists anew. */
function planListed(manifest: Manifest, peak: PeakMemory, image: boolean): PeakMemory {
  const { size, offload, tiling } = peak;
  const evict = offload ? STAGES : [];
  const tile = tiling ? ownTileSize(manifest) : undefined;
  return { ...peak, bytes: planPeak(manifest, { size, evict, tile, image }) };
}
