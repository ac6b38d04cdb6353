/** Settings of a page and of a call become a request, and are refused before a picture is decoded. */

import "../image_data";

import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import type { GenerateOptions } from "../../src/api/options";
import { latentSize } from "../../src/bundle/inference_settings";
import { parseManifest } from "../../src/bundle/manifest";
import type { Manifest, Size } from "../../src/bundle/manifest";
import { prepareSettled, settleSettings } from "../../src/pipeline/settled_request";
import { OptionError } from "../../src/util/errors";

/** One model, of pictures of 192x192 in tiles of 96, that takes no pictures. */
const SMALL = parseManifest(readFileSync("../tests/fixtures/manifest-v2.json", "utf8"), "m.json");

/** The same, which also draws 384x192 and 384x384, and encodes pictures. */
const MANIFEST: Manifest = {
  ...SMALL,
  entry_points: [
    ...SMALL.entry_points,
    ...enlarge([384, 192]),
    ...enlarge([384, 384]),
    ...SMALL.entry_points
      .filter(({ role }) => role === "vae_decoder")
      .map((entry) => ({ ...entry, name: "encode", role: "vae_encoder" as const })),
  ],
};

function enlarge(size: Size): Manifest["entry_points"] {
  const [width, height] = latentSize(SMALL, [192, 192]);
  const [wide, high] = [(width * size[0]) / 192, (height * size[1]) / 192];
  return SMALL.entry_points
    .filter((entry) => entry.size?.[0] === 192)
    .map((entry) => ({
      ...entry,
      name: `${entry.name}_${size.join("x")}`,
      size,
      inputs: entry.inputs.map((input) => ({
        ...input,
        shape: input.shape.length === 4 ? [input.shape[0]!, 4, high, wide] : input.shape,
      })),
    }));
}

const TILES_OF_384 = { decode: { tiling: { enabled: true, tileSize: 384 } } };
const PICTURE = new ImageData(new Uint8ClampedArray(4 * 380 * 380).fill(200), 380, 380);

function refusal(options: GenerateOptions, manifest = MANIFEST): string {
  try {
    void prepareSettled(manifest, "a star", options, {});
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    return (error as OptionError).message;
  }
  throw new Error("nothing was refused at once");
}

test("settings that say the picture's size decide in which tiles it may be", async () => {
  const settings = { ...TILES_OF_384, latent: { width: 48, height: 48 } };
  const { request } = await prepareSettled(MANIFEST, "a star", { settings }, {});
  expect(request.size).toEqual([384, 384]);
  expect(request.memory?.tiling).toMatchObject({ enabled: true, tileSize: 384, overlap: 0.25 });
});

test.each<[string, GenerateOptions]>([
  ["the model's", {}],
  ["a call's", { width: 384, height: 192 }],
])("a tile that is larger than %s own size is refused by its path", (_, options) => {
  expect(refusal({ ...options, settings: TILES_OF_384 })).toBe(
    "inference.diffusion.decode.tiling.tileSize is 384",
  );
});

test("a width of the call goes with the height of the settings", async () => {
  const options = { width: 384, settings: { latent: { width: 48, height: 48 } } };
  const { request } = await prepareSettled(MANIFEST, "a star", options, {});
  expect(request.size).toEqual([384, 384]);
  const { diffusion } = settleSettings(MANIFEST, {}, options);
  expect(diffusion.latent).toMatchObject({ width: 48, height: 48 });
});

test("the size of a picture that is given decides when it is decoded", async () => {
  const options = { image: PICTURE, settings: TILES_OF_384 };
  const { request } = await prepareSettled(MANIFEST, "a star", options, {});
  expect(request.size).toEqual([384, 384]);
  expect(request.memory?.tiling.tileSize).toBe(384);
  const small = new ImageData(new Uint8ClampedArray(4 * 190 * 190).fill(200), 190, 190);
  const prepared = prepareSettled(MANIFEST, "a star", { ...options, image: small }, {});
  await expect(Promise.resolve(prepared)).rejects.toThrow("decode.tiling.tileSize is 384");
});

test("what is wrong with settings is said before a picture is decoded", () => {
  const settings = { latent: { width: 25 } };
  expect(refusal({ image: PICTURE, settings })).toBe("inference.diffusion.latent.width is 25");
});
