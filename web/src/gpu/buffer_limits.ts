/** Which of a model's functions, and so which picture sizes, a GPU has buffers for. */

import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { compiledSizes, findDenoiser, findEntryPoint, hasEncoder } from "../bundle/manifest";
import { canTile } from "../bundle/tiles";
import { UnsupportedError } from "../util/errors";

/** Limits of an adapter or a device, in bytes. */
export type BufferLimits = Pick<
  GPUSupportedLimits,
  "maxBufferSize" | "maxStorageBufferBindingSize"
>;

/** Whether the GPU has buffers for the function that plays a role at a picture size. */
export function fits(manifest: Manifest, role: Role, size: Size, limits: BufferLimits): boolean {
  return hasBuffersFor(findEntryPoint(manifest, role, size), limits);
}

/**
 * Whether one function predicts with and without the prompt, and the GPU has buffers for it.
 *
 * @param chunks of the prompt.
 */
export function guidesAtOnce(
  manifest: Manifest,
  size: Size,
  limits: BufferLimits,
  chunks = 1,
): boolean {
  const entry = findDenoiser(manifest, size, chunks, true);
  return entry !== undefined && hasBuffersFor(entry, limits);
}

/** Why the GPU cannot draw a prompt of so many chunks; undefined if it can. */
export function chunksProblem(
  manifest: Manifest,
  size: Size,
  limits: BufferLimits,
  chunks: number,
): UnsupportedError | undefined {
  const entry = findDenoiser(manifest, size, chunks, false);
  if (entry === undefined || hasBuffersFor(entry, limits)) return undefined;
  return new UnsupportedError(
    `a prompt of ${chunks} chunks needs a GPU buffer of ${entry.largest_buffer_bytes} bytes at ` +
      `${size.join("x")}, this GPU's largest has ${largest(limits)}`,
    "write a shorter prompt, or choose a smaller size",
  );
}

/** Whether a GPU has buffers for a function. */
export function hasBuffersFor(entry: EntryPoint, limits: BufferLimits): boolean {
  return entry.largest_buffer_bytes <= largest(limits);
}

/** The picture sizes that the GPU has buffers for, decoded whole or in tiles. */
export function drawableSizes(manifest: Manifest, limits: BufferLimits): Size[] {
  return compiledSizes(manifest).filter((size) => isDrawable(manifest, size, limits));
}

function isDrawable(manifest: Manifest, size: Size, limits: BufferLimits): boolean {
  return bytesToDraw(manifest, size) <= largest(limits);
}

/** The largest buffer that drawing a size takes, decoded whole or in tiles, whichever takes less. */
function bytesToDraw(manifest: Manifest, size: Size): number {
  const bytesOf = (role: Role): number => findEntryPoint(manifest, role, size).largest_buffer_bytes;
  const tiled = canTile(manifest, size) ? bytesOf("vae_decoder_tile") : Infinity;
  return Math.max(bytesOf("denoiser"), Math.min(bytesOf("vae_decoder"), tiled));
}

/** The largest buffer that the least demanding picture size of a model takes, in bytes. */
export function leastBufferBytes(manifest: Manifest): number {
  return Math.min(...compiledSizes(manifest).map((size) => bytesToDraw(manifest, size)));
}

/** Why the GPU cannot draw a size; undefined if it can. */
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

/** Those of some sizes in which the GPU can encode pictures; none of a model without encoder. */
export function encodableSizes(
  manifest: Manifest,
  sizes: readonly Size[],
  limits: BufferLimits,
): Size[] {
  if (!hasEncoder(manifest)) return [];
  return sizes.filter((size) => encoderProblem(manifest, size, limits) === undefined);
}

/** Why the GPU cannot encode pictures of a size, whole or in tiles; undefined if it can. */
export function encoderProblem(
  manifest: Manifest,
  size: Size,
  limits: BufferLimits,
): UnsupportedError | undefined {
  const whole = findEntryPoint(manifest, "vae_encoder", size);
  const tile = findEntryPoint(manifest, "vae_encoder_tile", size);
  if (hasBuffersFor(whole, limits)) return undefined;
  if (canTile(manifest, size) && hasBuffersFor(tile, limits)) return undefined;
  return new UnsupportedError(
    `a given picture of ${size.join("x")} needs a GPU buffer of ${whole.largest_buffer_bytes} ` +
      `bytes, this GPU's largest has ${largest(limits)}`,
    "draw from text alone, or choose a smaller size",
  );
}

function largest(limits: BufferLimits): number {
  return Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}
