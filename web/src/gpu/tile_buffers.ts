/** Finds the functions of tiles, and says where the GPU has no buffers for them. */

import type { EntryPoint } from "../bundle/manifest";
import { findTile, tileSizes } from "../bundle/tiles";
import type { TiledRole } from "../bundle/tiles";
import { UnsupportedError } from "../util/errors";
import { SETTINGS_ROOT } from "../util/settings_schema.generated";
import { hasBuffersFor } from "./buffer_limits";
import type { Model } from "./model";

/**
 * Return the function that decodes or encodes a tile.
 *
 * @param edge of the tile in pixels, one of those that the model has.
 * @throws UnsupportedError if the GPU has no buffers for it.
 */
export function requireTile(
  { manifest, limits }: Pick<Model, "manifest" | "limits">,
  role: TiledRole,
  edge: number,
): EntryPoint {
  const entry = findTile(manifest, role, edge);
  if (hasBuffersFor(entry, limits)) return entry;
  const fitting = tileSizes(manifest).filter((each) =>
    hasBuffersFor(findTile(manifest, role, each), limits),
  );
  throw new UnsupportedError(
    `${SETTINGS_ROOT}.decode.tiling.tileSize is ${edge}, and such a tile needs a GPU buffer of ` +
      `${entry.largest_buffer_bytes} bytes, more than this GPU's largest has`,
    fitting.length === 0 ? "choose a smaller model" : `tiles that fit: ${fitting.join(", ")}`,
  );
}
