import { afterEach, describe, expect, test, vi } from "vitest";

import { findAdapter, findShortcomings } from "../../src/gpu/device";
import { UnsupportedError } from "../../src/util/errors";

describe("the adapter", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("of a browser that does not say which GPU it is, as Chrome before 127, is refused", async () => {
    const found = { features: new Set(), limits: {} };
    vi.stubGlobal("navigator", { gpu: { requestAdapter: () => Promise.resolve(found) } });
    await expect(findAdapter()).rejects.toThrow(UnsupportedError);
    await expect(findAdapter()).rejects.toHaveProperty("hint", expect.stringContaining("127"));
    vi.stubGlobal("navigator", {
      gpu: { requestAdapter: () => Promise.resolve({ ...found, info: {} }) },
    });
    expect(await findAdapter()).toHaveProperty("info");
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
