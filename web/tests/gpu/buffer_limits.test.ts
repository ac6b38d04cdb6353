import { describe, expect, test } from "vitest";

import { canTile } from "../../src/bundle/tiles";
import {
  chunksProblem,
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
  const inputs = [{ name: "text_embeddings", shape: [1, 77, 4] }];
  return { role, size, largest_buffer_bytes: bytes, inputs, outputs };
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

  test("a prompt of several chunks has denoisers of its own", () => {
    const withRows = (role: Role, rows: number, bytes: number): object => ({
      ...entry(role, [8, 8], bytes),
      inputs: [{ name: "text_embeddings", shape: [1, rows, 4] }],
    });
    const long = {
      entry_points: [
        withRows("denoiser", 77, 10),
        withRows("guided_denoiser", 77, 20),
        withRows("chunked_denoiser", 154, 30),
        withRows("chunked_denoiser", 231, 50),
        withRows("guided_chunked_denoiser", 154, 40),
        withRows("guided_chunked_denoiser", 231, 60),
      ],
    } as unknown as Manifest;
    const problems = (bytes: number): boolean[] =>
      [1, 2, 3].map((chunks) => chunksProblem(long, [8, 8], limits(bytes), chunks) === undefined);
    expect([problems(50), problems(49), problems(29)]).toEqual([
      [true, true, true],
      [true, true, false],
      [true, false, false],
    ]);
    expect(chunksProblem(long, [8, 8], limits(49), 3)).toMatchObject({
      message:
        "a prompt of 3 chunks needs a GPU buffer of 50 bytes at 8x8, this GPU's largest has 49",
      hint: "write a shorter prompt, or choose a smaller size",
    });
    // Longer prompts may take two calls where a short one takes one.
    const atOnce = (bytes: number): boolean[] =>
      [1, 2, 3].map((chunks) => guidesAtOnce(long, [8, 8], limits(bytes), chunks));
    expect([atOnce(60), atOnce(59), atOnce(39), atOnce(19)]).toEqual([
      [true, true, true],
      [true, true, false],
      [true, false, false],
      [false, false, false],
    ]);
    expect(guidesAtOnce(long, [8, 8], limits(1000), 4)).toBe(false);
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
