/** Decodes latents to a picture: whole, or tile by tile to save memory. */

import type { EntryPoint, Size } from "../bundle/manifest";
import type { MemorySettings } from "../bundle/inference_settings";
import { canTile } from "../bundle/tiles";
import { fits } from "../gpu/buffer_limits";
import { requireTile } from "../gpu/tile_buffers";
import type { Model } from "../gpu/model";
import { throwIfAborted } from "../util/errors";
import { blend, crop, tileStarts, tileWeights, toImageData } from "./tiling";
import type { Planes } from "./tiling";

/** Decodes the pictures of a model. */
export class VaeDecoder {
  /**
   * @param tiling whether pictures that are larger than a tile are decoded in tiles, and in which;
   *   those that the GPU has no buffers for always are.
   */
  constructor(
    private readonly model: Model,
    public tiling: MemorySettings["tiling"],
  ) {}

  /** The functions that decode a picture of this size. */
  functions(size: Size): EntryPoint[] {
    if (this.usesTiles(size)) return [this.tileFunction()];
    return [this.model.entry("vae_decoder", size), this.model.entry("image_to_rgba", size)];
  }

  /**
   * Decode one picture.
   *
   * @param latents (1, channels, height / factor, width / factor).
   */
  async decode(latents: Float32Array, size: Size, signal?: AbortSignal): Promise<ImageData> {
    if (this.usesTiles(size)) return toImageData(await this.decodeTiles(latents, size, signal));
    const { runtime } = this.model;
    const [decoder, convert] = this.functions(size);
    const rgba = runtime.scope(() => {
      const input = runtime.tensor(latents, decoder!.inputs[0]!.shape);
      return this.model.call(convert!, this.model.call(decoder!, { latents: input })).rgba!;
    });
    const bytes = new Uint8ClampedArray(await runtime.read(rgba));
    rgba.dispose();
    return new ImageData(bytes, size[0], size[1]);
  }

  /** @throws UnsupportedError if the GPU has no buffers for a tile. */
  private tileFunction(): EntryPoint {
    return requireTile(this.model, "vae_decoder", this.tiling.tileSize);
  }

  /** Whether pictures of this size are decoded in tiles. */
  usesTiles(size: Size): boolean {
    const { manifest, limits } = this.model;
    const wanted = this.tiling.enabled || !fits(manifest, "vae_decoder", size, limits);
    return wanted && canTile(manifest, size, this.tiling.tileSize);
  }

  /**
   * Decode one picture in tiles and blend them.
   *
   * @param latents (1, channels, height / factor, width / factor).
   * @returns three planes of values from about -1 to 1.
   */
  async decodeTiles(latents: Float32Array, size: Size, signal?: AbortSignal): Promise<Planes> {
    const entry = this.tileFunction();
    const [, , rows, columns] = entry.inputs[0]!.shape as [number, number, number, number];
    const factor = entry.outputs[0]!.shape[2]! / rows;
    const [width, height] = size;
    const source = { data: latents, height: height / factor, width: width / factor };
    const picture = { data: new Float32Array(3 * height * width), height, width };
    const { overlap } = this.tiling;
    const tops = tileStarts(source.height, rows, overlap);
    const lefts = tileStarts(source.width, columns, overlap);
    const scaled = (starts: number[]): number[] => starts.map((start) => start * factor);
    const rowWeights = tileWeights(scaled(tops), rows * factor);
    const columnWeights = tileWeights(scaled(lefts), columns * factor);
    for (const [i, top] of tops.entries()) {
      for (const [j, left] of lefts.entries()) {
        throwIfAborted(signal);
        const cut = crop(source, top, left, rows, columns);
        const data = (await this.model.run(entry, { latents: cut.data })).image!;
        const tile = { data, height: rows * factor, width: columns * factor };
        blend(picture, tile, top * factor, left * factor, rowWeights[i]!, columnWeights[j]!);
      }
    }
    return picture;
  }
}
