/** In which tiles a bundle can decode and encode: every square that it has functions for. */

import { requireManifest } from "../util/option_checks";
import type { EntryPoint, Manifest, Size } from "./manifest";
import { findEntryPoint } from "./manifest";

/** What works on a picture, whole or in tiles. */
export type TiledRole = "vae_decoder" | "vae_encoder";

/** The edge in pixels of the tile that a bundle was built for: the default one. */
export function ownTileSize(manifest: Pick<Manifest, "entry_points">): number {
  const tile = manifest.entry_points.find(({ role }) => role === "vae_decoder_tile");
  return tile!.outputs[0]!.shape[3]!;
}

/**
 * List the edges in pixels of the tiles that a model can decode in, ascending: those of the tile that
 * its bundle was built for, and of its square pictures, because a function for a whole picture
 * decodes a part of a larger one just as well.
 *
 * @param size width and height of a picture that a tile must not be larger than.
 * @throws OptionError if it is not a manifest.
 */
export function tileSizes(manifest: Pick<Manifest, "entry_points">, size?: Size): number[] {
  requireManifest(manifest);
  const { entry_points: entries } = manifest;
  const squares = entries.flatMap((entry) =>
    entry.role === "vae_decoder" && entry.size?.[0] === entry.size?.[1] && entry.size !== null
      ? [entry.size[0]]
      : [],
  );
  const hasOwn = entries.some(({ role }) => role === "vae_decoder_tile");
  const found = [...new Set([...(hasOwn ? [ownTileSize(manifest)] : []), ...squares])];
  const largest = size === undefined ? Infinity : Math.min(...size);
  return found.filter((edge) => edge <= largest).sort((one, other) => one - other);
}

/**
 * Whether a picture can be decoded in tiles: it is at least a tile, and not exactly one.
 *
 * @param edge of a tile in pixels; that of the bundle's own tile unless given.
 */
export function canTile(
  manifest: Manifest,
  [width, height]: Size,
  edge = ownTileSize(manifest),
): boolean {
  const isTile = width === edge && height === edge;
  return !isTile && width >= edge && height >= edge;
}

/**
 * Return the function that decodes or encodes a tile.
 *
 * @param edge one of {@link tileSizes}.
 * @throws OptionError if there is none for such a tile.
 */
export function findTile(manifest: Manifest, role: TiledRole, edge: number): EntryPoint {
  return edge === ownTileSize(manifest)
    ? findEntryPoint(manifest, `${role}_tile`, [edge, edge])
    : findEntryPoint(manifest, role, [edge, edge]);
}
