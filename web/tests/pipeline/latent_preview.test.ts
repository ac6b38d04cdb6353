import { expect, test } from "vitest";

import "../image_data";
import type { LatentPreview } from "../../src/bundle/manifest";
import { previewImage } from "../../src/pipeline/latent_preview";

test("a preview is a linear map of the latents", () => {
  const preview: LatentPreview = { weights: [[1, 0], [0, 1], [1, 1]], bias: [0, 0, -1] }; // prettier-ignore
  const { data, width, height } = previewImage(preview, Float32Array.of(-1, 1, 0.5, -0.5), 2, 1);
  expect([width, height]).toEqual([2, 1]);
  expect(Array.from(data)).toEqual([0, 191, 0, 255, 255, 64, 64, 255]);
});
