/** Encodes pictures to latents, or to their moments: whole, or tile by tile to save memory. */

import type { OnNotice } from "../api/types";
import { requireEncoder } from "../bundle/manifest";
import type { EntryPoint, Size } from "../bundle/manifest";
import type { MemorySettings } from "../bundle/inference_settings";
import { canTile } from "../bundle/tiles";
import { fits } from "../gpu/buffer_limits";
import { requireTile } from "../gpu/tile_buffers";
import type { Model } from "../gpu/model";
import { throwIfAborted } from "../util/errors";
import { blend, crop, fromPixels, tileStarts, tileWeights } from "./tiling";
import type { Planes } from "./tiling";

/** Encodes the pictures that a model draws from. */
export class VaeEncoder {
  private told = false;

  /**
   * @param tiling whether pictures that are larger than a tile are encoded in tiles, and in which;
   *   those that the GPU has no buffers for always are.
   * @param onNotice called once, when a picture is encoded in tiles although nobody asked for it.
   * @throws UnsupportedError if the model has no encoder.
   */
  constructor(
    private readonly model: Model,
    public tiling: MemorySettings["tiling"],
    private readonly onNotice?: OnNotice,
  ) {
    requireEncoder(model.manifest);
  }

  /** The functions that encode a picture of this size. */
  functions(size: Size): EntryPoint[] {
    if (this.usesTiles(size)) return [this.tileFunction()];
    return [this.model.entry("vae_encoder", size), this.model.entry("rgba_to_image", size)];
  }

  /**
   * Encode one picture.
   *
   * @param pixels RGBA bytes, row by row; the alpha is not read.
   * @returns (1, planes, height / factor, width / factor): moments, which are the mean of each
   *   channel of the VAE's latents and then the logarithm of its variance, not clamped; or the
   *   latents, of an encoder that gives these.
   */
  async encode(pixels: Uint8ClampedArray, size: Size, signal?: AbortSignal): Promise<Float32Array> {
    if (this.usesTiles(size)) return this.encodePlanes(fromPixels(pixels, ...size), signal);
    const { runtime } = this.model;
    const [encoder, convert] = this.functions(size);
    const words = new Int32Array(pixels.buffer, pixels.byteOffset, pixels.length / 4);
    const given = this.model.kept(() => {
      const rgba = runtime.tensor(words, convert!.inputs[0]!.shape);
      return this.model.call(encoder!, this.model.call(convert!, { rgba }));
    });
    return this.model.readAndDispose(given[encoder!.outputs[0]!.name]!);
  }

  /**
   * Encode one picture of values that bytes cannot have.
   *
   * @param image three channels of values from -1 to 1.
   * @returns what {@link encode} does.
   */
  async encodePlanes(image: Planes, signal?: AbortSignal): Promise<Float32Array> {
    const size: Size = [image.width, image.height];
    if (this.usesTiles(size)) return (await this.encodeTiles(image, signal)).data;
    const entry = this.model.entry("vae_encoder", size);
    return this.run(entry, image);
  }

  private async run(entry: EntryPoint, { data }: Planes): Promise<Float32Array> {
    return (await this.model.run(entry, { image: data }))[entry.outputs[0]!.name]!;
  }

  /** @throws UnsupportedError if the GPU has no buffers for a tile. */
  private tileFunction(): EntryPoint {
    return requireTile(this.model, "vae_encoder", this.tiling.tileSize);
  }

  /** Whether pictures of this size are encoded in tiles. */
  usesTiles(size: Size): boolean {
    const { manifest, limits } = this.model;
    const wanted = this.tiling.enabled || !fits(manifest, "vae_encoder", size, limits);
    return wanted && canTile(manifest, size, this.tiling.tileSize);
  }

  /** Encode one picture in tiles, and blend what they give. */
  private async encodeTiles(source: Planes, signal?: AbortSignal): Promise<Planes> {
    if (!this.tiling.enabled && !this.told) {
      this.told = true;
      this.onNotice?.(
        "The GPU's buffers are too small to encode a picture whole: it is encoded in tiles.",
      );
    }
    const entry = this.tileFunction();
    const [, channels, rows, columns] = entry.outputs[0]!.shape as [number, number, number, number];
    const factor = entry.inputs[0]!.shape[2]! / rows;
    const [high, wide] = [source.height / factor, source.width / factor];
    const blended = { data: new Float32Array(channels * high * wide), height: high, width: wide };
    const { overlap } = this.tiling;
    const [tops, lefts] = [tileStarts(high, rows, overlap), tileStarts(wide, columns, overlap)];
    const rowWeights = tileWeights(tops, rows);
    const columnWeights = tileWeights(lefts, columns);
    for (const [i, top] of tops.entries()) {
      for (const [j, left] of lefts.entries()) {
        throwIfAborted(signal);
        const cut = crop(source, top * factor, left * factor, rows * factor, columns * factor);
        const tile = { data: await this.run(entry, cut), height: rows, width: columns };
        blend(blended, tile, top, left, rowWeights[i]!, columnWeights[j]!);
      }
    }
    return blended;
  }
}
