import { describe, expect, test } from "vitest";

import type { EncodeStage } from "../../src/api/progress";
import { givesMoments } from "../../src/bundle/manifest";
import type { Manifest } from "../../src/bundle/manifest";
import type { GenerationRequest, GivenPicture } from "../../src/pipeline/generation_request";
import { NoiseSource } from "../../src/pipeline/noise_source";
import {
  countEncodings,
  coverMasked,
  encodePictures,
  leadingDraws,
  mixByMask,
  passLatents,
  shrinkMask,
  takeLatents,
} from "../../src/pipeline/picture_latents";
import { fromPixels } from "../../src/pipeline/tiling";
import type { Planes } from "../../src/pipeline/tiling";
import type { VaeEncoder } from "../../src/pipeline/vae_encoder";

const space = { channels: 1, scale_factor: 2, scaling_factor: 0.5, shift_factor: 0 };

function manifestOf(pipeline: string, output = "moments"): Manifest {
  const encoder = { role: "vae_encoder", outputs: [{ name: output }] };
  return { pipeline, latent_space: space, entry_points: [encoder] } as unknown as Manifest;
}

const TEXT = manifestOf("text-to-image");
const MASKED = manifestOf("inpainting");
// Their encoder gives latents and no distribution, as a tiny autoencoder's.
const TINY = manifestOf("text-to-image", "latents");
const MASKED_TINY = manifestOf("inpainting", "latents");
const SIZE = [4, 4] as const;
const COUNT = 4; // latents of one picture

function pixelsOf(value: number): Uint8ClampedArray {
  return new Uint8ClampedArray(4 * SIZE[0] * SIZE[1]).fill(value);
}

function givenWith(more: Partial<GivenPicture>): GivenPicture {
  return { pixels: [pixelsOf(255)], strength: 0.5, ...more } as GivenPicture;
}

const mask = new Uint8Array(SIZE[0] * SIZE[1]);
mask[0] = 200; // the pixel of the first of the latents
mask[1] = 255; // no first pixel of a square

describe("random numbers before the first step come as in diffusers", () => {
  const latents = { pixels: undefined, latents: new Float32Array(COUNT), strength: 1 } as const;
  test.each<[string, Manifest, GivenPicture | undefined, string[]]>([
    ["text to image", TEXT, undefined, ["noise"]],
    ["image to image", TEXT, givenWith({}), ["posterior", "noise"]],
    ["image to image in all steps", TEXT, givenWith({ strength: 1 }), ["posterior", "noise"]],
    ["a mask", TEXT, givenWith({ mask }), ["posterior", "noise", "posterior"]],
    [
      "a mask, all steps",
      TEXT,
      givenWith({ mask, strength: 1 }),
      ["posterior", "noise", "posterior"],
    ],
    ["nine channels", MASKED, givenWith({ mask }), ["posterior", "noise", "posterior"]],
    ["nine channels, all steps", MASKED, givenWith({ mask, strength: 1 }), ["noise", "posterior"]],
    ["means", TEXT, givenWith({ mask, posterior: "mode" }), ["noise"]],
    ["no distribution", TINY, givenWith({ mask }), ["noise"]],
    ["no distribution, nine channels", MASKED_TINY, givenWith({ mask }), ["noise"]],
    ["latents", TEXT, latents, ["noise"]],
  ])("%s", (_, manifest, picture, expected) => {
    expect(leadingDraws(manifest, picture)).toEqual(expected);
  });
});

/**
 * An encoder whose means, or latents, are the first values of a picture, and whose variance is 1.
 */
class KnownEncoder {
  readonly encoded: Planes[] = [];

  constructor(private readonly manifest: Manifest) {}

  encode(pixels: Uint8ClampedArray): Promise<Float32Array> {
    return this.encodePlanes(fromPixels(pixels, ...SIZE));
  }

  encodePlanes(planes: Planes): Promise<Float32Array> {
    this.encoded.push(planes);
    const variances = givesMoments(this.manifest) ? [0, 0, 0, 0] : [];
    return Promise.resolve(Float32Array.of(...planes.data.slice(0, COUNT), ...variances));
  }
}

async function encode(
  manifest: Manifest,
  picture: GivenPicture,
  { indices = [0], batch = 1, signal }: Partial<GenerationRequest> & { signal?: AbortSignal } = {},
) {
  const run = { initNoiseSigma: 1, steps: [] };
  const given = picture.pixels!.length;
  const options = { leading: leadingDraws(manifest, picture), given, last: indices.at(-1) };
  const noise = new NoiseSource(run, 1, COUNT, batch, options);
  const encoder = new KnownEncoder(manifest);
  const events: EncodeStage[] = [];
  const request = { picture, size: SIZE, indices, batch } as GenerationRequest;
  const pictures = await encodePictures(
    manifest,
    encoder as unknown as VaeEncoder,
    { ...request, picture },
    noise,
    (event) => events.push(event as EncodeStage),
    signal,
  );
  expect(events.map(({ loaded }) => loaded)).toEqual(events.map((_, index) => index));
  expect(events.at(-1)!.total).toBe(countEncodings(manifest, request));
  expect(events.at(-1)!.loaded).toBe(events.at(-1)!.total);
  return { pictures, encoder, noise, events };
}

describe("encodePictures", () => {
  test("one picture is encoded once for the whole batch", async () => {
    const options = { indices: [0, 1, 2], batch: 3 };
    const { pictures, encoder, noise } = await encode(TEXT, givenWith({}), options);
    expect(encoder.encoded).toHaveLength(1);
    const numbers = noise.posterior(0, 0);
    expect(pictures.clean(2)).toEqual(numbers.map((number) => 0.5 * Math.fround(1 + number)));
    expect(pictures.clean(0)).toBe(pictures.clean(2));
    expect(pictures.mask).toBeUndefined();
  });

  test("of several pictures, those that are drawn are encoded, with numbers of their places", async () => {
    const pixels = [0, 51, 255].map(pixelsOf);
    const { pictures, encoder, noise } = await encode(TEXT, givenWith({ pixels }), {
      ...{ indices: [2], batch: 3 },
    });
    expect(encoder.encoded).toHaveLength(1);
    const numbers = noise.posterior(0, 2);
    expect(pictures.clean(2)).toEqual(numbers.map((number) => 0.5 * Math.fround(1 + number)));
  });

  test("the mean takes no random number", async () => {
    const { pictures } = await encode(TEXT, givenWith({ posterior: "mode" }));
    expect(pictures.clean(0)).toEqual(Float32Array.of(0.5, 0.5, 0.5, 0.5));
  });

  test("latents without a distribution take no random number", async () => {
    const { pictures } = await encode(MASKED_TINY, givenWith({ mask }));
    expect(pictures.clean(0)).toEqual(Float32Array.of(0.5, 0.5, 0.5, 0.5));
    expect(pictures.masked(0)).toEqual(Float32Array.of(0, 0, 0.5, 0.5));
  });

  test("what a mask leaves is encoded for denoisers that take it alone", async () => {
    const four = await encode(TEXT, givenWith({ mask }));
    expect(four.encoder.encoded).toHaveLength(1);
    expect(four.pictures.masked(0)).toBeUndefined();
    const nine = await encode(MASKED, givenWith({ mask }));
    expect(nine.encoder.encoded).toHaveLength(2);
    const numbers = nine.noise.posterior(1, 0);
    const covered = [0, 0, 1, 1];
    expect(nine.pictures.masked(0)).toEqual(
      numbers.map((number, index) => 0.5 * Math.fround(covered[index]! + number)),
    );
  });

  test("in all steps, a denoiser that takes the mask needs no latents of the picture", async () => {
    const { pictures, encoder, noise } = await encode(MASKED, givenWith({ mask, strength: 1 }));
    expect(encoder.encoded).toHaveLength(1);
    expect(pictures.beginsWithNoise).toBe(true);
    expect(pictures.clean(0)).toBeUndefined();
    const number = noise.posterior(0, 0)[3]!;
    expect(pictures.masked(0)![3]).toBe(Math.fround(0.5 * Math.fround(1 + number)));
  });

  test("it ends where it is cancelled", async () => {
    const controller = new AbortController();
    controller.abort();
    const { signal } = controller;
    await expect(encode(TEXT, givenWith({}), { signal })).rejects.toThrow("cancelled");
  });
});

test("latents that are given are those of each picture", () => {
  const latents = Float32Array.of(1, 2, 3, 4);
  const { clean, beginsWithNoise } = passLatents({ latents, strength: 1 }, 2);
  expect(clean(1)).toEqual(Float32Array.of(3, 4));
  expect(beginsWithNoise).toBe(false);
});

test("the logarithm of the variance is clamped as in diffusers", () => {
  const take = (logVariance: number): number =>
    takeLatents(
      { mean: Float32Array.of(0), logVariance: Float32Array.of(logVariance) },
      Float32Array.of(1),
      space,
    )[0]!;
  expect(take(100)).toBe(take(20));
  expect(take(-100)).toBe(take(-30));
  expect(take(-100)).toBeGreaterThan(0);
});

test("a latent takes the mask of the first pixel of its square", () => {
  expect(shrinkMask(mask, SIZE, 2)).toEqual(Float32Array.of(1, 0, 0, 0));
  const edge = new Uint8Array(16);
  edge[2] = 127;
  edge[8] = 128;
  expect(shrinkMask(edge, SIZE, 2)).toEqual(Float32Array.of(0, 0, 1, 0));
});

test("what is drawn anew is grey in the picture that a denoiser takes", () => {
  const { data } = coverMasked(pixelsOf(255), mask, SIZE);
  expect(data.subarray(0, 4)).toEqual(Float32Array.of(0, 0, 1, 1));
  expect(data.subarray(32, 36)).toEqual(Float32Array.of(0, 0, 1, 1));
});

test("a mask of one channel mixes all channels", () => {
  const [kept, drawn] = [Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6, 7, 8)];
  expect(mixByMask(kept, drawn, Float32Array.of(0, 1))).toEqual(Float32Array.of(1, 6, 3, 8));
});
