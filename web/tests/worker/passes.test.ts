import "../image_data";

import { expect, test } from "vitest";

import type { OnStage, ProgressEvent } from "../../src/api/progress";
import type { GenerationResult } from "../../src/api/types";
import type { Manifest } from "../../src/bundle/manifest";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { describeRequest } from "../../src/pipeline/request_settings";
import { readText } from "../../src/settings/png";
import { drawAll, meterPasses } from "../../src/worker/passes";
import { toyRequest } from "../toy_pipeline";

const SIZES = [
  [2, 1],
  [4, 2],
] as const;
const manifest = {
  model: { name: "toy" },
  components: {},
  conditioning: { encoders: [] },
  entry_points: SIZES.map(([width, height]) => ({
    ...{ name: "denoiser", role: "denoiser", component: null, size: [width, height] },
    inputs: [{ name: "latents", shape: [1, 1, height, width], dtype: "float32" }],
  })),
} as unknown as Manifest;

/** Draws grey pictures, and remembers what it was asked for. */
class GreyPipeline {
  readonly manifest = manifest;
  readonly requests: GenerationRequest[] = [];

  generate(request: GenerationRequest, onStage: OnStage): Promise<GenerationResult<ImageData>> {
    this.requests.push(request);
    const [width, height] = request.size;
    const images = request.indices.length;
    for (let image = 0; image < images; image++) {
      onStage({ stage: "denoise", loaded: 1, total: 1, image, images });
      onStage({ stage: "decode", loaded: 1, total: 1, image, images });
    }
    const drawn = request.indices.map(
      () => new ImageData(new Uint8ClampedArray(4 * width * height).fill(90), width, height),
    );
    const settings = request.indices.map((image) => describeRequest(manifest, request, image));
    return Promise.resolve({
      ...{ image: drawn[0]!, images: drawn, settings: settings[0]!, imageSettings: settings },
      latents: new Float32Array(images * width * height),
      timings: { text: 1, denoise: 2, firstPreview: null, decode: 3, total: 6 },
    });
  }
}

const secondPass = {
  ...{ size: SIZES[1], strength: 0.5, runSteps: 4, steps: 8 },
  upscale: "latent",
} as const;
const { signal } = new AbortController();
const ignore = (): void => undefined;

test("a second pass draws once more, and its settings are those of both", async () => {
  const pipeline = new GreyPipeline();
  const request = toyRequest("x", { secondPass, batch: 2, indices: [0, 1], imagesPerPrompt: 2 });
  const result = await drawAll(pipeline, request, [ignore], signal);
  expect(pipeline.requests.map(({ size }) => size)).toEqual(SIZES);
  expect((result.images as ImageData[]).map(({ width }) => width)).toEqual([4, 4]);
  expect(result.timings).toEqual({
    ...{ text: 2, denoise: 4, firstPreview: null, decode: 6, total: 12 },
  });
  for (const [imageIndex, settings] of result.imageSettings.entries()) {
    expect(settings).toMatchObject({
      ...{ width: 2, height: 1, steps: 4, imageIndex },
      secondPass: { width: 4, height: 2, strength: 0.5, steps: 4, upscale: "latent" },
    });
  }
});

test("files are written once, when the pictures are finished", async () => {
  const pipeline = new GreyPipeline();
  const original = { width: 2, height: 1, data: Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255) };
  const mask = { width: 2, height: 1, data: Uint8ClampedArray.of(0, 255) };
  const overlay = { original, mask, area: undefined };
  const drawn = await drawAll(pipeline, toyRequest("x", { overlay }), [ignore], signal);
  expect([...(drawn.image as ImageData).data]).toEqual([1, 2, 3, 255, 90, 90, 90, 255]);
  const request = toyRequest("x", { overlay, secondPass, output: "blob" });
  const { image } = await drawAll(pipeline, { ...request, overlay: undefined }, [ignore], signal);
  expect(pipeline.requests.every(({ output }) => output === "imageData")).toBe(true);
  const text = readText(new Uint8Array(await (image as Blob).arrayBuffer()));
  expect(text).toMatch(
    /Size: 2x1, .*Denoising strength: 0\.5, Hires upscale: 2, Hires steps: 4, Hires upscaler: Latent$/,
  );
});

test("the progress of both passes is one, and the second one's events say so", async () => {
  const events: ProgressEvent[] = [];
  const request = toyRequest("x", { secondPass });
  const meters = meterPasses(manifest, request, [], {}, (event) => events.push(event));
  const [first, second] = meters;
  await drawAll(new GreyPipeline(), request, [first.onStage, second!.onStage], signal);
  const overall = events.map((event) => event.overall);
  expect(overall).toEqual([...overall].sort((one, other) => one - other));
  expect(events.map(({ pass }) => pass)).toEqual([undefined, undefined, 2, 2]);
  // The first pass has a quarter of the pixels, and as many steps.
  expect(overall[1]).toBeCloseTo(0.2, 10);
  expect(overall.at(-1)).toBe(1);
});

test("a cancelled call does not begin its second pass", async () => {
  const pipeline = new GreyPipeline();
  const controller = new AbortController();
  const request = toyRequest("x", { secondPass });
  const cancel = (): void => controller.abort();
  await expect(drawAll(pipeline, request, [cancel], controller.signal)).rejects.toThrow(
    "cancelled",
  );
  expect(pipeline.requests).toHaveLength(1);
});
