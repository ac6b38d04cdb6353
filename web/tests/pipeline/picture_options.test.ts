import "../image_data";

import { describe, expect, test } from "vitest";

import type { GenerateOptions } from "../../src/api/options";
import type { GenerationResult } from "../../src/api/types";
import type { Manifest } from "../../src/bundle/manifest";
import { countSteps } from "../../src/pipeline/generation_request";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { fitForEncoding, picturesOf, prepareRequest } from "../../src/pipeline/picture_options";
import type { PreparedRequest } from "../../src/pipeline/picture_options";
import { describeRequest } from "../../src/pipeline/request_settings";
import { followFirstPass } from "../../src/pipeline/second_pass";
import { OptionError, UnsupportedError, WsdError } from "../../src/util/errors";
import { GENERATE_CHECKS, requireOptions } from "../../src/util/option_checks";

const SIZES = [
  [64, 64],
  [128, 64],
  [128, 128],
] as const;
const FUNCTIONS = ["denoiser", "vae_encoder"] as const;
const manifest = {
  model: { name: "toy" },
  pipeline: "text-to-image",
  defaults: { steps: 20, guidance_scale: 7.5, size: [64, 64], eta: 0 },
  schedulers: { default: "euler", available: { euler: { min_steps: 1, max_steps: 100 } } },
  entry_points: SIZES.flatMap((size) =>
    FUNCTIONS.map((role) => ({
      ...{ name: role, role, component: role, size },
      inputs: [{ name: "latents", shape: [1, 4, size[1] / 8, size[0] / 8], dtype: "float32" }],
    })),
  ),
  latent_space: { scale_factor: 8 },
  noise_schedule: { kind: "discrete" },
  conditioning: { encoders: [], empty_negative: "encode" },
} as unknown as Manifest;
const withoutEncoder = {
  ...manifest,
  entry_points: manifest.entry_points.filter(({ role }) => role !== "vae_encoder"),
};

function picture(width: number, height: number, value = 100): ImageData {
  const data = new Uint8ClampedArray(4 * width * height).fill(value);
  for (let at = 3; at < data.length; at += 4) data[at] = 255;
  return new ImageData(data, width, height);
}

/** A mask that is white in its left half. */
function leftHalf(width: number, height: number): ImageData {
  const mask = picture(width, height, 0);
  for (let at = 0; at < mask.data.length; at++) {
    if ((at >> 2) % width < width / 2) mask.data[at] = 255;
  }
  return mask;
}

/** A mask with one white pixel. */
function speck(width: number, height: number): ImageData {
  const mask = picture(width, height, 0);
  mask.data.fill(255, 2000, 2004);
  return mask;
}

function prepare(
  options: GenerateOptions,
  model: Manifest = manifest,
): PreparedRequest | Promise<PreparedRequest> {
  return prepareRequest(model, "a cat", requireOptions("generate", options, GENERATE_CHECKS));
}

/** What a call throws or rejects with. */
async function errorOf(options: GenerateOptions, model?: Manifest): Promise<WsdError> {
  try {
    await prepare(options, model);
  } catch (error) {
    expect(error).toBeInstanceOf(WsdError);
    expect((error as WsdError).hint).not.toBe("");
    return error as WsdError;
  }
  throw new Error("it was taken");
}

describe("a picture to draw from", () => {
  test("is none for a text alone, which is resolved at once", () => {
    const prepared = prepare({ seed: 1 });
    expect(prepared).not.toBeInstanceOf(Promise);
    const { request, report } = prepared as PreparedRequest;
    expect([request.picture, request.overlay, report]).toEqual([undefined, undefined, undefined]);
  });

  test("is drawn in the compiled size whose shape is nearest, unless one is given", async () => {
    const sizeOf = async (options: GenerateOptions) => (await prepare(options)).request.size;
    expect(await sizeOf({ image: picture(64, 64) })).toEqual([64, 64]);
    expect(await sizeOf({ image: picture(128, 128) })).toEqual([128, 128]);
    expect(await sizeOf({ image: picture(90, 90) })).toEqual([64, 64]);
    expect(await sizeOf({ image: picture(500, 300) })).toEqual([128, 64]);
    expect(await sizeOf({ image: picture(300, 500) })).toEqual([128, 128]);
    expect(await sizeOf({ image: picture(500, 300), width: 64, height: 64 })).toEqual([64, 64]);
  });

  test("says how it was fitted, and where drawing began", async () => {
    const { request, report } = await prepare({ image: picture(200, 80), strength: 0.3 });
    expect(report).toMatchObject({
      ...{ givenSize: [200, 80], size: [128, 64], fit: "cover", startStep: 14, runSteps: 6 },
      from: { left: 20, top: 0, width: 160, height: 80 },
      to: { left: 0, top: 0, width: 128, height: 64 },
      before: { width: 128, height: 64 },
    });
    expect(request.picture).toMatchObject({ strength: 0.3, mask: undefined });
    expect(request.picture!.pixels![0]).toHaveLength(4 * 128 * 64);
  });

  test("has the strength of diffusers unless one is given", async () => {
    const image = picture(64, 64);
    const strengthOf = async (options: GenerateOptions) =>
      (await prepare(options)).request.picture!.strength;
    expect(await strengthOf({ image })).toBe(0.8);
    expect(await strengthOf({ image, mask: leftHalf(64, 64) })).toBe(1);
    expect(await strengthOf({ image, outpaint: { left: 64 } })).toBe(1);
    expect(await strengthOf({ image, mask: leftHalf(64, 64), strength: 0.5 })).toBe(0.5);
  });

  test("has bytes that can be moved to the worker, each once", async () => {
    const options = { image: picture(64, 64), mask: leftHalf(64, 64), keepUnmasked: true };
    const { request, report } = await prepare(options);
    const moved = picturesOf(request);
    expect(new Set(moved).size).toBe(moved.length);
    const sent = structuredClone(request, { transfer: moved });
    expect(sent.overlay!.mask.data).toHaveLength(64 * 64);
    // What the caller gets stays here.
    expect(report!.before.data).toHaveLength(4 * 64 * 64);
    expect(options.image.data).toHaveLength(4 * 64 * 64);
  });

  test("takes null, and sides of nothing, as what was not given", async () => {
    const image = picture(64, 64);
    const outpaint = { left: 0, top: null } as unknown as NonNullable<GenerateOptions["outpaint"]>;
    const { request } = await prepare({ image, mask: null as unknown as Blob, outpaint });
    expect(request.picture).toMatchObject({ strength: 0.8, mask: undefined });
    expect(request.pictureSettings).toEqual({ strength: 0.8, fit: "cover" });
    const secondPass = { scale: 2, width: null, steps: null } as object;
    expect(prepare({ secondPass })).toHaveProperty("request.secondPass.size", [128, 128]);
  });

  test("does not change with the caller's object", async () => {
    const outpaint = { right: 64 };
    const preparing = prepare({ image: picture(64, 64), outpaint });
    outpaint.right = 16384;
    const { report, request } = await preparing;
    expect(report!.givenSize).toEqual([128, 64]);
    expect(request.pictureSettings!.outpaint).toEqual({ right: 64 });
  });

  test("is named in the settings of what is drawn", async () => {
    const image = picture(64, 64);
    const settingsOf = async (options: GenerateOptions) =>
      describeRequest(manifest, (await prepare({ seed: 1, ...options })).request, 0);
    const plain = await settingsOf({ image, strength: 0.5 });
    expect(plain).toMatchObject({ strength: 0.5, fit: "cover", given: ["image"] });
    expect(plain).not.toHaveProperty("maskBlur");
    const mask = leftHalf(64, 64);
    expect(await settingsOf({ image, mask, onlyMasked: true, maskBlur: 4 })).toMatchObject({
      ...{ strength: 1, maskBlur: 4, maskedContent: "original", onlyMasked: true },
      ...{ onlyMaskedPadding: 32, given: ["image", "mask"] },
    });
    const outpaint = { left: 64 };
    expect(await settingsOf({ image, outpaint })).toMatchObject({ outpaint, onlyMasked: false });
  });

  test.each<[string, GenerateOptions, RegExp]>([
    ["a mask alone", { mask: leftHalf(64, 64) }, /^mask is given without image$/],
    ["a strength alone", { strength: 0.5 }, /^strength is given without image$/],
    ["a blur without mask", { image: picture(64, 64), maskBlur: 2 }, /without mask$/],
    [
      "a mask of another size",
      { image: picture(64, 64), mask: leftHalf(32, 64) },
      /^mask is 32 by 64 pixels, and image is 64 by 64$/,
    ],
    ["a black mask", { image: picture(64, 64), mask: picture(64, 64, 127) }, /black all over/],
    [
      "a mask of which nothing is left",
      { image: picture(64, 64), mask: speck(64, 64), maskBlur: 5 },
      /nothing of the mask is left/,
    ],
    ["no steps", { image: picture(64, 64), strength: 0.01 }, /runs none of 20 steps/],
    ["a size that was not compiled", { image: picture(64, 64), width: 72 }, /was not compiled/],
    ["what is no picture", { image: "cat.png" as unknown as Blob }, /^image is "cat.png"$/],
    [
      "a picture and a second pass",
      { image: picture(64, 64), secondPass: { scale: 2 } },
      /^both image and secondPass are given$/,
    ],
    [
      "a padding of nothing",
      { image: picture(64, 64), mask: leftHalf(64, 64), onlyMaskedPadding: 8 },
      /^onlyMaskedPadding is given without onlyMasked$/,
    ],
    ["half a variation", { variationSeed: 3 }, /^variationSeed is given without variationStr/],
    [
      "sides that make it too large",
      { image: picture(64, 64), outpaint: { left: 16384 } },
      /^outpaint makes the picture 16448 by 64 pixels$/,
    ],
  ])("is refused with %s", async (_, options, message) => {
    const error = await errorOf(options);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(message);
  });

  test.each([0, -0.1, 1.01, NaN, "0.5"])("is refused with a strength of %s", async (strength) => {
    const options = { image: picture(64, 64), strength: strength as number };
    expect((await errorOf(options)).message).toMatch(/^strength is /);
  });

  test("is refused for a model without encoder, and text is drawn by it as ever", async () => {
    const error = await errorOf({ image: picture(64, 64) }, withoutEncoder);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(prepare({}, withoutEncoder)).toHaveProperty("request.seed");
  });

  test("needs a mask where the model draws nothing but masked parts", async () => {
    const masked = { ...manifest, pipeline: "inpainting" };
    expect((await errorOf({}, masked)).message).toContain("there is no picture");
    const image = picture(64, 64);
    expect((await errorOf({ image }, masked)).message).toContain("there is no mask");
    await prepare({ image, mask: leftHalf(64, 64) }, masked);
  });
});

describe("a second pass", () => {
  const resolve = (options: GenerateOptions): GenerationRequest =>
    (prepare(options) as PreparedRequest).request;

  test("has a size that was compiled, and the steps that are run", () => {
    expect(resolve({ secondPass: {} }).secondPass).toEqual({
      ...{ size: [128, 128], strength: 0.7, runSteps: 20, steps: 29, upscale: "latent" },
    });
    const secondPass = { width: 128, height: 64, strength: 0.35, steps: 7 };
    expect(resolve({ secondPass }).secondPass).toMatchObject({ size: [128, 64], steps: 20 });
    // The last of these steps are as many as were asked for, whatever the strength.
    for (let steps = 1; steps <= 20; steps++) {
      for (const strength of [0.21, 0.3, 0.55, 0.7, 0.9, 1]) {
        const pass = resolve({ secondPass: { steps, strength } }).secondPass!;
        expect(Math.trunc(pass.steps * strength)).toBe(steps);
      }
    }
  });

  test("runs as many steps of flow matching as were asked for, of as few as can be", () => {
    const flow = { ...manifest, noise_schedule: { kind: "flow" } } as unknown as Manifest;
    for (let runSteps = 1; runSteps <= 20; runSteps++) {
      for (const strength of [0.21, 0.3, 0.55, 0.7, 0.9, 1]) {
        const options = { secondPass: { steps: runSteps, strength } };
        const { steps } = (prepare(options, flow) as PreparedRequest).request.secondPass!;
        expect(countSteps(steps, strength, "flow")).toBe(runSteps);
        const fewer = steps === 1 ? 0 : countSteps(steps - 1, strength, "flow");
        expect(fewer).toBeLessThan(runSteps);
      }
    }
  });

  test.each<[GenerateOptions["secondPass"], RegExp]>([
    [{ scale: 1.5 }, /96x96 after 64x64 is not possible: the model was not compiled/],
    [{ width: 64, height: 32 }, /it is smaller/],
    [{ width: 128 }, /neither a scale alone nor both/],
    [{ scale: 2, width: 128, height: 128 }, /neither a scale alone nor both/],
    [{ steps: 50, strength: 0.3 }, /are the last of 167/],
    [{ steps: 0 }, /^secondPass.steps is 0$/],
    [{ strength: 0 }, /^secondPass.strength is 0$/],
    [{ upscale: "esrgan" as "latent" }, /^secondPass.upscale is "esrgan"$/],
    [{ factor: 2 } as object, /has no option "factor"/],
  ])("is refused as %o", async (secondPass, message) => {
    expect((await errorOf({ secondPass })).message).toMatch(message);
  });

  test("enlarges the latents without an encoder, and pictures with one", async () => {
    const secondPass = { upscale: "picture" } as const;
    expect(await errorOf({ secondPass }, withoutEncoder)).toBeInstanceOf(UnsupportedError);
    expect(prepare({ secondPass: {} }, withoutEncoder)).toHaveProperty("request.secondPass");
  });

  test("begins with what the first one drew, each picture in its place", () => {
    const request = resolve({ numImages: 3, imageIndex: 1, seed: 5, secondPass: {} });
    const drawn = {
      images: [picture(64, 64, 9)],
      latents: new Float32Array(4 * 8 * 8).fill(2),
    } as unknown as GenerationResult<ImageData>;
    const second = followFirstPass(manifest, request, drawn);
    expect(second).toMatchObject({ size: [128, 128], steps: 29, seed: 5, indices: [1], batch: 3 });
    expect(second.secondPass).toBeUndefined();
    const count = 4 * 16 * 16;
    const { latents, strength } = second.picture!;
    expect(strength).toBe(0.7);
    expect(latents).toHaveLength(3 * count);
    expect([...latents!.subarray(count, 2 * count)].every((value) => value === 2)).toBe(true);
    const enlarged = { ...request, secondPass: { ...request.secondPass!, upscale: "picture" } };
    const { pixels } = followFirstPass(manifest, enlarged as GenerationRequest, drawn).picture!;
    expect(pixels!.map(({ length }) => length)).toEqual([65536, 65536, 65536]);
    expect([...pixels![1]!.subarray(0, 4)]).toEqual([9, 9, 9, 255]);
  });
});

test("a picture is fitted for its latents", async () => {
  const { size, image } = await fitForEncoding(manifest, picture(300, 150, 7), {});
  expect([size, image.width, image.height]).toEqual([[128, 64], 128, 64]);
  const asked = await fitForEncoding(manifest, picture(300, 150, 7), { width: 128, height: 128 });
  expect(asked.size).toEqual([128, 128]);
  const odd = fitForEncoding(manifest, picture(300, 150), { width: 72, height: 72 });
  await expect(odd).rejects.toThrow("72x72 was not compiled");
});
