/** Approximates the picture of latents by a linear map, which wsd/bundle/latent_preview.py fits. */

import type { Manifest } from "../bundle/manifest";

/**
 * Compute a preview of latents.
 *
 * @param latents the predicted clean latents, (channels, height, width).
 * @param width of the latents.
 * @param height of the latents.
 * @returns an image with one pixel for each latent pixel.
 */
export function previewImage(
  { weights, bias }: Manifest["preview"],
  latents: Float32Array,
  width: number,
  height: number,
): ImageData {
  const area = width * height;
  const pixels = new Uint8ClampedArray(4 * area).fill(255);
  for (let pixel = 0; pixel < area; pixel++) {
    weights.forEach((row, colour) => {
      const value = row.reduce(
        (sum, weight, channel) => sum + weight * latents[channel * area + pixel]!,
        bias[colour]!,
      );
      pixels[4 * pixel + colour] = (value / 2 + 0.5) * 255;
    });
  }
  return new ImageData(pixels, width, height);
}
