import { describe, expect, test } from "vitest";

import {
  canTile,
  drawableSizes,
  encodableSizes,
  encoderProblem,
  fits,
  guidesAtOnce,
  sizeProblem,
} from "../../src/gpu/buffer_limits";
import type { Manifest, Role, Size } from "../../src/bundle/manifest";

const TILE: Size = [8, 8];

function entry(role: Role, size: Size | null, bytes: number): object {
  const [width, height] = size ?? TILE;
  const outputs = [{ shape: [1, 3, height, width] }];
  return { role, size, largest_buffer_bytes: bytes, outputs };
}

const manifest = {
  entry_points: [
    entry("denoiser", [8, 8], 10),
    entry("vae_decoder", [8, 8], 40),
    entry("denoiser", [16, 8], 20),
    entry("vae_decoder", [16, 8], 80),
    entry("guided_denoiser", [16, 8], 30),
    entry("vae_decoder_tile", null, 40),
    entry("vae_encoder", [8, 8], 60),
    entry("vae_encoder", [16, 8], 120),
    entry("vae_encoder_tile", null, 60),
  ],
} as unknown as Manifest;

function limits(bytes: number): { maxBufferSize: number; maxStorageBufferBindingSize: number } {
  return { maxBufferSize: 1000, maxStorageBufferBindingSize: bytes };
}

describe("sizes that fit a GPU's buffers", () => {
  test.each([
    [80, ["8x8", "16x8"], true],
    [79, ["8x8", "16x8"], false], // in tiles
    [39, [], false],
  ])("%i bytes", (bytes, drawable, whole) => {
    expect(drawableSizes(manifest, limits(bytes)).map((s) => s.join("x"))).toEqual(drawable);
    expect(fits(manifest, "vae_decoder", [16, 8], limits(bytes))).toBe(whole);
  });

  test("the smaller of the two limits counts", () => {
    const small = { maxBufferSize: 39, maxStorageBufferBindingSize: 1000 };
    expect(drawableSizes(manifest, small)).toEqual([]);
  });

  test.each([
    [[16, 8], 30, true],
    [[16, 8], 29, false], // by two calls
    [[8, 8], 30, false], // of an older bundle
  ] as const)("guidance at once: %j in %i bytes", ([width, height], bytes, atOnce) => {
    expect(guidesAtOnce(manifest, [width, height], limits(bytes))).toBe(atOnce);
  });

  test("only what is larger than a tile is cut", () => {
    expect([canTile(manifest, [8, 8]), canTile(manifest, [16, 8])]).toEqual([false, true]);
  });

  test.each<[Size, number, boolean]>([
    [[16, 8], 120, true],
    [[16, 8], 60, true], // in tiles
    [[16, 8], 59, false],
    [[8, 8], 60, true],
    [[8, 8], 59, false],
  ])("a picture of %j is encoded in %i bytes: %j", (size, bytes, encodes) => {
    const problem = encoderProblem(manifest, size, limits(bytes));
    expect(problem === undefined).toBe(encodes);
    if (!encodes) expect(problem!.message).toContain("a given picture of");
  });

  test("the sizes in which pictures are encoded are some of those that are drawn", () => {
    const sizes = (bytes: number, of = manifest): string[] =>
      encodableSizes(of, drawableSizes(of, limits(bytes)), limits(bytes)).map((s) => s.join("x"));
    expect([sizes(120), sizes(60), sizes(59)]).toEqual([["8x8", "16x8"], ["8x8", "16x8"], []]);
    const others = manifest.entry_points.filter(({ role }) => !role.startsWith("vae_encoder"));
    expect(sizes(120, { ...manifest, entry_points: others })).toEqual([]);
  });

  test("what does not fit is told with what does", () => {
    const wide = { ...manifest, entry_points: [...manifest.entry_points] };
    wide.entry_points[2] = { ...wide.entry_points[2]!, largest_buffer_bytes: 500 };
    expect(sizeProblem(wide, [8, 8], limits(100))).toBeUndefined();
    expect(sizeProblem(wide, [16, 8], limits(100))).toMatchObject({
      message: "a picture of 16x8 needs a GPU buffer of 500 bytes, this GPU's largest has 100",
      hint: "sizes that fit: 8x8",
    });
    expect(sizeProblem(wide, [16, 8], limits(9))!.hint).toBe("choose a smaller model");
  });
});
