/** The small pure modules. */

import { readFileSync } from "node:fs";

import * as Comlink from "comlink";
import { beforeAll, describe, expect, test } from "vitest";

import { ERROR_CLASSES, throwIfAborted } from "../src/api/errors";
import { findShortcomings } from "../src/gpu/device";
import type { LatentPreview, TokenizerEntry } from "../src/bundle/manifest";
import { compiledSizes, findEntryPoint, parseManifest } from "../src/bundle/manifest";
import { previewImage } from "../src/pipeline/latent_preview";
import type { ProgressEvent } from "../src/api/progress";
import { countProgress } from "../src/api/progress";
import { toImageData } from "../src/pipeline/tiling";
import { createTokenizer } from "../src/pipeline/clip_tokenizer";
import { SCHEMA_VERSION } from "../src/util/constants.generated";
import { registerErrors } from "../src/worker/error_transfer";

beforeAll(() => {
  globalThis.ImageData = class {
    constructor(
      readonly data: Uint8ClampedArray,
      readonly width: number,
      readonly height: number,
    ) {}
  } as unknown as typeof ImageData;
});

describe("pictures", () => {
  test("a preview is a linear map of the latents", () => {
    const preview: LatentPreview = { weights: [[1, 0], [0, 1], [1, 1]], bias: [0, 0, -1] }; // prettier-ignore
    const { data, width, height } = previewImage(preview, Float32Array.of(-1, 1, 0.5, -0.5), 2, 1);
    expect([width, height]).toEqual([2, 1]);
    expect(Array.from(data)).toEqual([0, 191, 0, 255, 255, 64, 64, 255]);
  });

  test("floats become bytes, clamped", () => {
    const planes = { data: Float32Array.of(-1, 3, 0, -9, 1, 0.5), height: 1, width: 2 };
    expect(Array.from(toImageData(planes).data)).toEqual([0, 128, 255, 255, 255, 0, 191, 255]);
  });
});

test("a counter adds up", () => {
  const events: ProgressEvent[] = [];
  const count = countProgress((event) => events.push(event), "library", 10, "a.wasm");
  count(4);
  count(-1);
  expect(events.at(-1)).toEqual({ stage: "library", file: "a.wasm", loaded: 3, total: 10 });
  countProgress((event) => events.push(event), "parameters", 5)(5);
  expect(events.at(-1)).toEqual({ stage: "parameters", loaded: 5, total: 5 });
});

describe("manifests", () => {
  const entries = [
    { name: "text", role: "text_encoder", size: null },
    { name: "denoiser_8x8", role: "denoiser", size: [8, 8] },
    { name: "denoiser_8x16", role: "denoiser", size: [8, 16] },
  ];
  const text = JSON.stringify({ schema_version: SCHEMA_VERSION, entry_points: entries });
  const manifest = parseManifest(text, "url");

  test("functions are found by role and size", () => {
    expect(findEntryPoint(manifest, "text_encoder", [8, 8]).name).toBe("text");
    expect(findEntryPoint(manifest, "denoiser", [8, 16]).name).toBe("denoiser_8x16");
    expect(compiledSizes(manifest)).toEqual([[8, 8], [8, 16]]); // prettier-ignore
  });

  test("what is not there is named", () => {
    expect(() => findEntryPoint(manifest, "denoiser", [16, 8])).toThrow("16x8 was not compiled");
    expect(() => parseManifest("<html>", "url")).toThrow("url is not JSON");
    expect(() => parseManifest("{}", "url")).toThrow("schema version undefined");
  });
});

describe("a GPU's shortcomings", () => {
  const adapter = {
    features: new Set(["shader-f16"]),
    limits: { maxBufferSize: 100, maxStorageBuffersPerShaderStage: 8 },
  } as unknown as GPUAdapter;

  test("none", () => {
    const asked = { features: ["shader-f16"], limits: { maxBufferSize: 100 } };
    expect(findShortcomings(adapter, asked)).toEqual([]);
  });

  test("all of them, each with what to do", () => {
    const asked = {
      features: ["subgroups"],
      limits: { maxBufferSize: 101, maxStorageBuffersPerShaderStage: 9 },
    };
    const found = findShortcomings(adapter, asked);
    expect(found.map(({ message }) => message)).toEqual([
      "the GPU lacks the WebGPU feature subgroups",
      "the GPU's maxBufferSize is 100, the model needs 101",
      "the GPU's maxStorageBuffersPerShaderStage is 8, the model needs 9",
    ]);
    for (const { hint } of found) expect(hint).toMatch(/^choose a/);
  });
});

describe("errors", () => {
  test("have the names that they are sent by", () => {
    for (const [name, ErrorClass] of Object.entries(ERROR_CLASSES)) {
      const error = new ErrorClass("message", "hint");
      expect(error.name).toBe(name);
      expect(error.hint).not.toBe("");
    }
  });

  test("an aborted signal throws, none does not", () => {
    expect(() => throwIfAborted(AbortSignal.abort())).toThrow("cancelled");
    expect(() => throwIfAborted(undefined)).not.toThrow();
  });

  test("keep their class between threads; others stay what they are", async () => {
    registerErrors();
    const { port1, port2 } = new MessageChannel();
    const remote = {
      fail(name: string): void {
        throw new ERROR_CLASSES[name]!(`${name} said`, "and so");
      },
      stumble(): void {
        throw new TypeError("odd");
      },
    };
    Comlink.expose(remote, port1);
    const proxy = Comlink.wrap<typeof remote>(port2);
    const failure = await proxy.fail("OutOfMemoryError").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ERROR_CLASSES.OutOfMemoryError);
    expect(failure).toMatchObject({ message: "OutOfMemoryError said", hint: "and so" });
    await expect(proxy.stumble()).rejects.toThrow("odd");
    port1.close();
  });
});

test("a text becomes as many tokens as the encoder takes", () => {
  const folder = "../wsd/models/tiny/checkpoints/tiny-sd15/tokenizer";
  const entry = {
    max_length: 77,
    bos_token_id: 718,
    eos_token_id: 719,
    pad_token_id: 719,
  } as TokenizerEntry;
  const tokenize = createTokenizer(readFileSync(`${folder}/tokenizer.json`, "utf8"), entry);
  const short = tokenize("a large red circle");
  expect(short.ids.length).toBe(77);
  expect([short.ids[0], short.ids[short.end], short.ids[76]]).toEqual([718, 719, 719]);
  expect(tokenize("A  LARGE red circle")).toEqual(short);
  const long = tokenize("red ".repeat(200));
  expect([long.ids.length, long.end]).toEqual([77, 76]);
  expect(tokenize("").end).toBe(1);
});
