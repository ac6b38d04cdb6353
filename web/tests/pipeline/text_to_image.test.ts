/** What a pipeline refuses before anything is drawn. What it draws, tests/e2e tests on a GPU. */

import { expect, test, vi } from "vitest";

import type { EntryPoint, Manifest, Role, Size } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { TextToImagePipeline } from "../../src/pipeline/text_to_image";
import { UnsupportedError } from "../../src/util/errors";
import { toyRequest } from "../toy_pipeline";

function entry(role: Role, [width, height]: Size, bytes: number): object {
  const outputs = [{ shape: [1, 3, height, width] }];
  const inputs = [{ name: "text_embeddings", shape: [1, 77, 4] }];
  const size = [width, height];
  return { name: role, role, size, largest_buffer_bytes: bytes, inputs, outputs };
}

/** How a model is loaded without settings. */
const MEMORY = {
  tiling: { enabled: false, tileSize: 8, overlap: 0.25 },
  swapper: { enabled: false, strategy: "sequential", evict: [] },
};

const manifest = {
  model: { name: "toy" },
  components: {},
  entry_points: [
    entry("denoiser", [8, 8], 10),
    entry("vae_decoder", [8, 8], 40),
    entry("denoiser", [16, 8], 20),
    entry("vae_decoder", [16, 8], 80),
    entry("vae_decoder_tile", [16, 8], 80),
    entry("vae_encoder", [16, 8], 120),
    entry("vae_encoder_tile", [16, 8], 120),
  ],
} as unknown as Manifest;

/** Begin to draw with a second pass on a GPU whose buffers have so many bytes; it stops there. */
async function begin(bytes: number, upscale: "latent" | "picture") {
  const begun = new Error("the first pass is prepared");
  const prepare = vi.fn(() => Promise.reject(begun));
  const model = {
    manifest,
    limits: { maxBufferSize: 1000, maxStorageBufferBindingSize: bytes },
    runtime: { guard: (work: () => Promise<unknown>) => work(), prepare },
    ...{ memory: MEMORY, components: {} },
    entry: (name: string) => ({ name }),
    denoiser: () => ({ name: "denoiser" }),
    entries: () => [],
  };
  const encoder = { functions: () => [], countChunks: () => 1 };
  const parts = [model, {}, {}, encoder, { functions: () => [] }, {}];
  const pipeline = new TextToImagePipeline(
    ...(parts as unknown as ConstructorParameters<typeof TextToImagePipeline>),
  );
  const size: Size = [16, 8];
  const secondPass = { size, strength: 0.5, runSteps: 4, steps: 8, upscale };
  const drawing = pipeline.generate(toyRequest("x", { size: [8, 8], secondPass }));
  const error: unknown = await drawing.catch((reason: unknown) => reason);
  return { error, isBegun: error === begun && prepare.mock.calls.length === 1 };
}

test("a second pass that the GPU has no buffers for is refused before the first one is drawn", async () => {
  const { error, isBegun } = await begin(79, "latent");
  expect(error).toBeInstanceOf(UnsupportedError);
  expect((error as Error).message).toContain("a picture of 16x8 needs a GPU buffer of 80 bytes");
  expect(isBegun).toBe(false);
  expect((await begin(80, "latent")).isBegun).toBe(true);
});

test("a second pass whose picture the GPU cannot encode is refused then, too", async () => {
  const { error, isBegun } = await begin(119, "picture");
  expect(error).toBeInstanceOf(UnsupportedError);
  expect((error as Error).message).toContain("a given picture of 16x8 needs a GPU buffer");
  expect(isBegun).toBe(false);
  expect((await begin(119, "latent")).isBegun).toBe(true);
  expect((await begin(120, "picture")).isBegun).toBe(true);
});

/** A model that takes two chunks of a prompt; those of its functions that guide need larger buffers. */
const LONG = {
  model: { name: "toy" },
  components: {},
  conditioning: { encoders: [], join: "features", empty_negative: "zeros" },
  entry_points: [
    ...(
      [
        ["denoiser", 77, 10],
        ["guided_denoiser", 77, 20],
        ["chunked_denoiser", 154, 30],
        ["guided_chunked_denoiser", 154, 60],
        ["shallow_denoiser", 77, 10],
        ["guided_shallow_denoiser", 77, 20],
        ["shallow_denoiser", 154, 30],
        ["guided_shallow_denoiser", 154, 60],
      ] as const
    ).map(([role, rows, bytes]) => ({
      ...entry(role, [8, 8], bytes),
      inputs: [{ name: "text_embeddings", shape: [1, rows, 4] }],
    })),
    entry("vae_decoder", [8, 8], 10),
    entry("vae_decoder_tile", [8, 8], 10),
  ],
} as unknown as Manifest;

/** Begin to draw a prompt of so many chunks; return the functions that are prepared for it. */
async function prepareChunks(
  chunks: number,
  bytes: number,
  options: Partial<GenerationRequest> = {},
) {
  const begun = new Error("the functions are prepared");
  const prepared: string[] = [];
  const prepare = (functions: EntryPoint[]): Promise<void> => {
    prepared.push(...functions.map(({ name }) => name));
    return Promise.reject(begun);
  };
  const model = Object.create(Model.prototype, {
    manifest: { value: LONG },
    limits: { value: { maxBufferSize: 1000, maxStorageBufferBindingSize: bytes } },
    runtime: { value: { guard: (work: () => Promise<unknown>) => work(), prepare } },
    entry: { value: (name: string) => ({ name }) },
    ...{ memory: { value: MEMORY }, components: { value: {} } },
  }) as Model;
  const encoder = { functions: () => [], countChunks: () => chunks };
  const parts = [model, {}, {}, encoder, { functions: () => [] }, undefined];
  const pipeline = new TextToImagePipeline(
    ...(parts as unknown as ConstructorParameters<typeof TextToImagePipeline>),
  );
  const drawing = pipeline.generate(
    toyRequest("x", { size: [8, 8], guidanceScale: 7, ...options }),
  );
  const error: unknown = await drawing.catch((reason: unknown) => reason);
  return { error, prepared: prepared.filter((name) => name.includes("denoiser")) };
}

test("a long prompt is guided by two calls where the GPU has no buffers for one", async () => {
  expect((await prepareChunks(1, 30)).prepared).toEqual(["guided_denoiser"]);
  expect((await prepareChunks(2, 60)).prepared).toEqual(["guided_chunked_denoiser"]);
  expect((await prepareChunks(2, 59)).prepared).toEqual(["chunked_denoiser"]);
});

test("the functions inside and outside of an interval of guidance are prepared", async () => {
  const guidanceInterval = { start: 0.2, stop: 0.8 };
  const prepared = async (chunks: number, bytes: number, guidanceScale = 7) =>
    (await prepareChunks(chunks, bytes, { guidanceInterval, guidanceScale })).prepared;
  expect(await prepared(1, 30)).toEqual(["guided_denoiser", "denoiser"]);
  expect(await prepared(2, 60)).toEqual(["guided_chunked_denoiser", "chunked_denoiser"]);
  expect(await prepared(2, 59)).toEqual(["chunked_denoiser"]);
  expect(await prepared(1, 30, 1)).toEqual(["denoiser"]);
});

test("with a cache interval the outermost layers are prepared beside each function", async () => {
  const prepared = async (chunks: number, bytes: number, options: Partial<GenerationRequest>) =>
    (await prepareChunks(chunks, bytes, { cacheInterval: 2, ...options })).prepared;
  const guided = ["guided_denoiser", "guided_shallow_denoiser"];
  const single = ["denoiser", "shallow_denoiser"];
  expect(await prepared(1, 30, {})).toEqual(guided);
  expect(await prepared(1, 30, { guidanceScale: 1 })).toEqual(single);
  const guidanceInterval = { start: 0.2, stop: 0.8 };
  expect(await prepared(1, 30, { guidanceInterval })).toEqual([...guided, ...single]);
  expect(await prepared(2, 59, {})).toEqual(["chunked_denoiser", "shallow_denoiser"]);
  expect(await prepared(1, 30, { cacheInterval: 1 })).toEqual(["guided_denoiser"]);
});

test("a prompt that is too long for the GPU's buffers, or for the bundle, is refused", async () => {
  const { error, prepared } = await prepareChunks(2, 29);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect((error as Error).message).toContain("a prompt of 2 chunks needs a GPU buffer of 30 bytes");
  expect(prepared).toEqual([]);
  expect((await prepareChunks(3, 1000)).error).toBeInstanceOf(UnsupportedError);
});
