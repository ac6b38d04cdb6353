/** Which of a model's functions a GPU has buffers for. */

import { UnsupportedError } from "../api/errors";
import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { compiledSizes, findEntryPoint } from "../bundle/manifest";

/** Of an adapter or a device. */
export type BufferLimits = Pick<
  GPUSupportedLimits,
  "maxBufferSize" | "maxStorageBufferBindingSize"
>;

/** What running functions one by one takes. */
export interface StageAccess {
  limits: BufferLimits;
  /** Bring a component's parameters and a function's pipelines to the GPU. */
  bring: (entry: EntryPoint) => Promise<void>;
}

/** Whether a function can be called for pictures of this size. */
export function fits(manifest: Manifest, role: Role, size: Size, limits: BufferLimits): boolean {
  return hasBuffersFor(findEntryPoint(manifest, role, size), limits);
}

/** Whether one function predicts with and without the prompt, and the GPU has buffers for it. */
export function guidesAtOnce(manifest: Manifest, size: Size, limits: BufferLimits): boolean {
  return manifest.entry_points.some(
    (entry) =>
      entry.role === "guided_denoiser" &&
      String(entry.size) === String(size) &&
      hasBuffersFor(entry, limits),
  );
}

/** Whether a GPU has buffers for a function. */
export function hasBuffersFor(entry: EntryPoint, limits: BufferLimits): boolean {
  return entry.largest_buffer_bytes <= largest(limits);
}

/** Whether a tile is no larger than a picture, and not the picture itself. */
export function canTile(manifest: Manifest, size: Size): boolean {
  const tile = findEntryPoint(manifest, "vae_decoder_tile", size).outputs[0]!.shape;
  const [width, height] = [tile[3]!, tile[2]!];
  const larger = size[0] !== width || size[1] !== height;
  return larger && size[0] >= width && size[1] >= height;
}

/** The sizes of pictures that can be drawn, decoded whole or in tiles. */
export function drawableSizes(manifest: Manifest, limits: BufferLimits): Size[] {
  return compiledSizes(manifest).filter((size) => isDrawable(manifest, size, limits));
}

function isDrawable(manifest: Manifest, size: Size, limits: BufferLimits): boolean {
  return (
    fits(manifest, "denoiser", size, limits) &&
    (fits(manifest, "vae_decoder", size, limits) ||
      (canTile(manifest, size) && fits(manifest, "vae_decoder_tile", size, limits)))
  );
}

/** Why a size cannot be drawn, if it cannot. */
export function sizeProblem(
  manifest: Manifest,
  size: Size,
  limits: BufferLimits,
): UnsupportedError | undefined {
  if (isDrawable(manifest, size, limits)) return undefined;
  const roles: Role[] = ["denoiser", "vae_decoder"];
  const entries: EntryPoint[] = roles.map((role) => findEntryPoint(manifest, role, size));
  const needed = Math.max(...entries.map((entry) => entry.largest_buffer_bytes));
  const listed = drawableSizes(manifest, limits)
    .map((other) => other.join("x"))
    .join(", ");
  return new UnsupportedError(
    `a picture of ${size.join("x")} needs a GPU buffer of ${needed} bytes, ` +
      `this GPU's largest has ${largest(limits)}`,
    listed === "" ? "choose a smaller model" : `sizes that fit: ${listed}`,
  );
}

function largest(limits: BufferLimits): number {
  return Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}
