import { describe, expect, test } from "vitest";

import type { Manifest } from "../../src/bundle/manifest";
import { countSteps, withPicture } from "../../src/pipeline/generation_request";
import type { GenerationRequest, GivenPicture } from "../../src/pipeline/generation_request";
import { OptionError, UnsupportedError } from "../../src/util/errors";

const denoiser = { role: "denoiser", size: [4, 2], inputs: [{ shape: [1, 4, 1, 2] }] };
const drawing = {
  pipeline: "text-to-image",
  model: { name: "a model" },
  noise_schedule: { kind: "discrete" },
  latent_space: { channels: 4, scale_factor: 2, scaling_factor: 1, shift_factor: 0 },
  entry_points: [denoiser, { role: "vae_encoder", size: [4, 2] }],
} as unknown as Manifest;
const inpainting = { ...drawing, pipeline: "inpainting" };
const withoutEncoder = { ...drawing, entry_points: [denoiser] } as unknown as Manifest;
const normalising = {
  ...drawing,
  latent_space: { ...drawing.latent_space, mean: [1, 1, 1, 1], std: [1, 1, 1, 1] },
};
const request = {
  ...{ steps: 20, size: [4, 2], batch: 2, latents: undefined },
} as unknown as GenerationRequest;

const pixels = [new Uint8ClampedArray(32)];
const mask = new Uint8Array(8).fill(255);
const latents = new Float32Array(16);

function give(
  manifest: Manifest,
  picture: Partial<GivenPicture> | undefined,
  more: Partial<GenerationRequest> = {},
): GenerationRequest {
  const given = picture && ({ pixels, strength: 0.5, ...picture } as GivenPicture);
  return withPicture(manifest, { ...request, ...more }, given);
}

describe("countSteps", () => {
  test.each([
    [20, 0.05, 1],
    [20, 1, 20],
    [25, 0.3, 7],
    [10, 0.7, 7],
    [1, 1, 1],
    // diffusers multiplies as numbers of Python, whose product here is just below 29.
    [50, 0.58, 28],
  ])("of %i steps a strength of %f runs %i", (steps, strength, run) => {
    expect(countSteps(steps, strength, "discrete")).toBe(run);
  });

  test.each([
    [20, 0.05, 1],
    [28, 0.6, 17],
    [10, 0.7, 7],
    [1, 0.001, 1],
    [3, 1, 3],
    // What is left out is a little above 21 as a number of Python, and rounded down.
    [50, 0.58, 29],
  ])("of %i steps of flow matching a strength of %f runs %i", (steps, strength, run) => {
    expect(countSteps(steps, strength, "flow")).toBe(run);
  });

  test.each([0, -0.1, 1.0001, NaN, Infinity])("refuses a strength of %f", (strength) => {
    expect(() => countSteps(20, strength, "discrete")).toThrow(OptionError);
  });

  test("refuses a strength that runs no step, and says which one runs one", () => {
    const hint = expect.stringContaining("0.334") as string;
    expect(() => countSteps(3, 0.3, "discrete")).toThrow(expect.objectContaining({ hint }));
    expect(countSteps(3, 0.334, "discrete")).toBe(1);
  });

  test("its hint holds whatever the steps", () => {
    for (let steps = 1; steps <= 1000; steps++) {
      let hint = "";
      try {
        countSteps(steps, 1e-9, "discrete");
      } catch (error) {
        ({ hint } = error as OptionError);
      }
      const least = Number(/at least ([\d.]+),/.exec(hint)![1]);
      expect(countSteps(steps, least, "discrete")).toBeGreaterThanOrEqual(1);
    }
  });
});

describe("withPicture", () => {
  test("copies what is given", () => {
    const { picture } = give(drawing, { mask });
    expect(picture).toEqual({ pixels, mask, strength: 0.5 });
    expect(picture!.pixels![0]).not.toBe(pixels[0]);
    expect(picture!.mask).not.toBe(mask);
    const of = give(drawing, { pixels: undefined, latents }).picture!.latents;
    expect(of).toEqual(latents);
    expect(of).not.toBe(latents);
  });

  test("leaves a request without a picture as it is", () => {
    expect(give(drawing, undefined)).toEqual(request);
    expect(give(withoutEncoder, undefined)).toEqual(request);
  });

  test.each<[string, Manifest, Partial<GivenPicture> | undefined, Partial<GenerationRequest>]>([
    ["a model that needs a mask, and no picture", inpainting, undefined, {}],
    ["a model that needs a mask, and a picture alone", inpainting, {}, {}],
    ["a strength of 0", drawing, { strength: 0 }, {}],
    ["a strength that runs no step", drawing, { strength: 0.04 }, {}],
    ["a mask of another size", drawing, { mask: mask.subarray(1) }, {}],
    ["a mask that is black", drawing, { mask: mask.map(() => 127) }, {}],
    ["a mask for a VAE that normalises channels", normalising, { mask }, {}],
    ["a picture of another size", drawing, { pixels: [new Uint8ClampedArray(28)] }, {}],
    ["three pictures for two", drawing, { pixels: [...pixels, ...pixels, ...pixels] }, {}],
    ["no picture in the list", drawing, { pixels: [] }, {}],
    ["a mask with latents", drawing, { pixels: undefined, latents, mask }, {}],
    ["latents of another shape", drawing, { pixels: undefined, latents: latents.subarray(1) }, {}],
    ["a picture and noise", drawing, {}, { latents }],
    ["a mask, some steps and noise", drawing, { mask }, { latents }],
  ])("refuses %s", (_, manifest, picture, more) => {
    expect(() => give(manifest, picture, more)).toThrow(OptionError);
  });

  test("takes noise together with a mask and all steps", () => {
    const { picture } = give(drawing, { mask, strength: 1 }, { latents });
    expect(picture!.strength).toBe(1);
  });

  test("refuses a picture where there is no encoder, and takes latents", () => {
    expect(() => give(withoutEncoder, {})).toThrow(UnsupportedError);
    expect(give(withoutEncoder, { pixels: undefined, latents }).picture!.latents).toEqual(latents);
  });

  test("takes a picture where a VAE normalises channels, and one for each of the batch", () => {
    expect(give(normalising, {}).picture).toBeDefined();
    expect(give(drawing, { pixels: [...pixels, ...pixels] }).picture!.pixels).toHaveLength(2);
  });
});
