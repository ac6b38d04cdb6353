import { afterEach, describe, expect, test, vi } from "vitest";

import {
  askForAdapter,
  findAdapter,
  findShortcomings,
  NoAdapterError,
  requestGpu,
} from "../../src/gpu/device";
import { SUBGROUP_MATRIX } from "../../src/util/constants.generated";
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

  /** Offer answers one after another, the last one for good; return how often they were asked. */
  function offerOneByOne(...answers: (() => Promise<unknown>)[]): () => number {
    let asked = 0;
    const requestAdapter = (): Promise<unknown> =>
      answers[Math.min(asked++, answers.length - 1)]!();
    vi.stubGlobal("navigator", { gpu: { requestAdapter } });
    return () => asked;
  }
  const none = (): Promise<unknown> => Promise.resolve(null);
  const crashed = (): Promise<unknown> => Promise.reject(new Error("the GPU's process is gone"));
  const good = { features: new Set(), limits: {}, info: { vendor: "any" } };

  test.each([
    ["null", none],
    ["an error", crashed],
  ])("is asked for again after %s, because the GPU's process may be starting", async (_, first) => {
    const asked = offerOneByOne(first, () => Promise.resolve(good));
    expect(await findAdapter()).toBe(good);
    expect(asked()).toBe(2);
  });

  test("that does not come is asked for three times", async () => {
    const asked = offerOneByOne(none);
    await expect(findAdapter()).rejects.toThrow(NoAdapterError);
    expect(asked()).toBe(3);
  });

  test("is not waited for by browsers without WebGPU", { retry: 2 }, async () => {
    vi.stubGlobal("navigator", {});
    const started = performance.now();
    expect(await askForAdapter()).toBeNull();
    expect(performance.now() - started).toBeLessThan(200);
  });
});

describe("subgroup matrices", () => {
  afterEach(() => vi.unstubAllGlobals());

  test.each([
    ["are used where the browser knows the form that kernels have", null, [SUBGROUP_MATRIX]],
    ["are not used where it has only an older one", { message: "expected ';'" }, []],
  ])("%s", async (_, error, expected) => {
    const features = new Set(["shader-f16", SUBGROUP_MATRIX]);
    const device = {
      ...{ features, limits: {} },
      pushErrorScope: () => undefined,
      createShaderModule: () => ({}),
      popErrorScope: () => Promise.resolve(error),
    };
    const info = { vendor: "any", subgroupMatrixConfigs: [] };
    const adapter = { features, limits: {}, info, requestDevice: () => Promise.resolve(device) };
    vi.stubGlobal("navigator", { gpu: { requestAdapter: () => Promise.resolve(adapter) } });
    const { facts, identity } = await requestGpu({ features: [], limits: {} });
    expect(facts.features).toEqual(["shader-f16", ...expected]);
    expect(identity.features).toBe(["shader-f16", ...expected].join(" "));
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

  test.each([
    [100, "load it without its third text encoder (textEncoder3: false)"],
    [101, "choose a smaller model"],
  ])("a model that needs %i bytes without an encoder that can be left out", (bytes, hint) => {
    const asked = { features: [], limits: { maxBufferSize: 102 } };
    const least = { features: [], limits: { maxBufferSize: bytes } };
    expect(findShortcomings(adapter, asked, least)).toMatchObject([{ hint }]);
    expect(findShortcomings(adapter, asked)).toMatchObject([{ hint: "choose a smaller model" }]);
  });
});
