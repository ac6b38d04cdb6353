import { describe, expect, test } from "vitest";

import "../image_data";
import {
  blend,
  crop,
  fromPixels,
  tileStarts,
  tileWeights,
  toImageData,
} from "../../src/pipeline/tiling";

const EXTENTS: [number, number, number][] = [
  [64, 48, 0.25],
  [128, 64, 0.25],
  [152, 64, 0.25],
  [16, 12, 0.25],
  [24, 12, 0.25],
  [12, 12, 0.25],
  [64, 48, 0.5],
  [128, 64, 0.5],
  [152, 64, 0.1],
  [24, 12, 0.33],
];

describe("tileStarts", () => {
  test.each(EXTENTS)("tiles cover %i by %i and share %d", (extent, tile, overlap) => {
    const starts = tileStarts(extent, tile, overlap);
    expect(starts[0]).toBe(0);
    expect(starts.at(-1)! + tile).toBe(extent);
    for (let i = 1; i < starts.length; i++) {
      const shared = starts[i - 1]! + tile - starts[i]!;
      expect(shared).toBeGreaterThanOrEqual(Math.floor(tile * overlap));
      expect(shared).toBeLessThan(tile);
    }
  });
});

describe("tileWeights", () => {
  test("without overlap tiles lie side by side, as far as they fit", () => {
    expect(tileStarts(24, 12, 0)).toEqual([0, 12]);
    expect(tileWeights([0, 12], 12)[1]).toEqual(new Float32Array(12).fill(1));
    expect(tileStarts(16, 12, 0)).toEqual([0, 4]);
  });

  test.each(EXTENTS)("weights of %i by %i sum to 1 and never jump", (extent, tile, overlap) => {
    const starts = tileStarts(extent, tile, overlap);
    const sums = new Float64Array(extent);
    for (const [index, weights] of tileWeights(starts, tile).entries()) {
      weights.forEach((weight, place) => (sums[starts[index]! + place]! += weight));
      // Where a tile begins amid the picture it counts for almost nothing.
      if (index > 0) expect(weights[0]).toBeLessThan(overlap < 0.2 ? 0.1 : 0.05);
    }
    for (const sum of sums) expect(sum).toBeCloseTo(1, 6);
  });
});

describe("crop and blend", () => {
  test("a picture cut into tiles and blended is the picture", () => {
    const [height, width, tile] = [24, 40, 16];
    const data = Float32Array.from({ length: 3 * height * width }, (_, i) => Math.sin(i));
    const source = { data, height, width };
    const picture = { data: new Float32Array(data.length), height, width };
    const [tops, lefts] = [tileStarts(height, tile, 0.25), tileStarts(width, tile, 0.25)];
    const [rows, columns] = [tileWeights(tops, tile), tileWeights(lefts, tile)];
    expect(tops.length * lefts.length).toBeGreaterThan(4);
    for (const [i, top] of tops.entries())
      for (const [j, left] of lefts.entries())
        blend(picture, crop(source, top, left, tile, tile), top, left, rows[i]!, columns[j]!);
    data.forEach((value, index) => expect(picture.data[index]).toBeCloseTo(value, 5));
  });
});

test("floats become bytes, clamped", () => {
  const planes = { data: Float32Array.of(-1, 3, 0, -9, 1, 0.5), height: 1, width: 2 };
  expect(Array.from(toImageData(planes).data)).toEqual([0, 128, 255, 255, 255, 0, 191, 255]);
});

test("every byte becomes the float that diffusers makes of it, and the same byte again", () => {
  const pixels = Uint8ClampedArray.from({ length: 4 * 256 }, (_, index) => index >> 2);
  const planes = fromPixels(pixels, 16, 16);
  planes.data.slice(0, 256).forEach((value, byte) => {
    expect(value).toBe(Math.fround(2 * Math.fround(byte / 255) - 1));
  });
  const back = toImageData(planes).data;
  expect(back.filter((_, index) => index % 4 === 1)).toEqual(
    pixels.filter((_, index) => index % 4 === 1),
  );
});
