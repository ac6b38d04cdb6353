/** What `tune` found, kept by the browser: for which GPU and model, and how it is removed. */

import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { TunedFunction } from "../../src/api/tuning";
import { NO_CACHE } from "../../src/bundle/cache";
import { forget, isTuningKey, keepsStrayFiles, keepText } from "../../src/bundle/kept";
import { keepTuning, readTuning } from "../../src/bundle/kept_tuning";
import type { Tuning } from "../../src/bundle/kept_tuning";
import { parseManifest } from "../../src/bundle/manifest";
import type { Manifest } from "../../src/bundle/manifest";
import { MemoryCache } from "../memory_cache";

const TEXT = readFileSync("../tests/fixtures/manifest-v2.json", "utf8");
const MANIFEST = parseManifest(TEXT, "m");
const URL = "https://page.test/m/manifest.json";
const GPU = { vendor: "nvidia", architecture: "hopper", device: "", description: "H100" };
const MADE: TunedFunction = {
  ...{ name: "denoise", calls: 20, before: 2, after: 1 },
  ...{ kernels: 2, changed: 1, complete: true },
};
const TUNING: Tuning = {
  choices: {
    one: { variant: "gemm_tiled_f32", index: 1 },
    two: { variant: "generated", index: 0 },
  },
  functions: [MADE],
};

beforeEach(() => vi.stubGlobal("navigator", { userAgent: "Browser/1" }));
afterEach(() => vi.unstubAllGlobals());

async function keyOf(cache: MemoryCache): Promise<string> {
  const [key, ...others] = (await cache.keys()).filter((each) => isTuningKey(each));
  expect(others).toStrictEqual([]);
  return key!;
}

test("it is read as it was kept, and a newer one takes its place", async () => {
  const cache = new MemoryCache();
  expect(await readTuning(MANIFEST, GPU, cache)).toBeUndefined();
  expect(await keepTuning(MANIFEST, GPU, TUNING, cache)).toBe(true);
  expect(await readTuning(MANIFEST, GPU, cache)).toMatchObject(TUNING);
  const other = { ...TUNING, choices: {} };
  await keepTuning(MANIFEST, GPU, other, cache);
  expect(await readTuning(MANIFEST, GPU, cache)).toMatchObject(other);
  await keyOf(cache);
});

test.each(Object.keys(GPU))("another %s is another GPU", async (name) => {
  const cache = new MemoryCache();
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  expect(await readTuning(MANIFEST, { ...GPU, [name]: "other" }, cache)).toBeUndefined();
  expect(await readTuning(MANIFEST, GPU, cache)).toBeDefined();
});

test("another browser's is removed", async () => {
  const cache = new MemoryCache();
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  vi.stubGlobal("navigator", { userAgent: "Browser/2" });
  expect(await readTuning(MANIFEST, GPU, cache)).toBeUndefined();
  expect(await cache.keys()).toStrictEqual([]);
});

test("another library's is removed, and another table's is not found", async () => {
  const cache = new MemoryCache();
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  const kernels = { ...MANIFEST.kernels!, sha256: "0".repeat(64) };
  expect(await readTuning({ ...MANIFEST, kernels }, GPU, cache)).toBeUndefined();
  const library = { ...MANIFEST.library, sha256: "0".repeat(64) };
  expect(await readTuning({ ...MANIFEST, library }, GPU, cache)).toBeUndefined();
  expect(await cache.keys()).toStrictEqual([]);
});

test.each([
  ["no JSON", "{"],
  ["of another form", "null"],
  ["without functions", '{"version":1,"choices":{}}'],
  ["of another version", '{"version":2,"choices":{},"functions":[]}'],
  ["with a choice of another form", '{"version":1,"choices":{"a":{}},"functions":[]}'],
])("one that is %s is removed", async (_, text) => {
  const cache = new MemoryCache();
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  await cache.write(await keyOf(cache), new TextEncoder().encode(text).buffer);
  expect(await readTuning(MANIFEST, GPU, cache)).toBeUndefined();
  expect(await cache.keys()).toStrictEqual([]);
});

test("nothing is kept where nothing is kept, without room, and of a model without variants", async () => {
  expect(await keepTuning(MANIFEST, GPU, TUNING, NO_CACHE)).toBe(false);
  expect(await keepTuning(MANIFEST, GPU, TUNING, new MemoryCache(0))).toBe(false);
  const plain: Manifest = { ...MANIFEST };
  delete plain.kernels;
  const cache = new MemoryCache();
  expect(await keepTuning(plain, GPU, TUNING, cache)).toBe(false);
  expect(await readTuning(plain, GPU, cache)).toBeUndefined();
});

test("it goes with its model, and stays while another model has the same variants", async () => {
  const cache = new MemoryCache();
  const text = new TextEncoder().encode(TEXT).buffer;
  await keepText(URL, text, cache);
  await keepText(`${URL}.other`, text, cache);
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  await keepTuning(MANIFEST, { ...GPU, device: "other" }, TUNING, cache);
  expect(await keepsStrayFiles(cache)).toBe(false);
  await forget(URL, MANIFEST, cache);
  expect(await readTuning(MANIFEST, GPU, cache)).toBeDefined();
  await forget(`${URL}.other`, MANIFEST, cache);
  expect(await cache.keys()).toStrictEqual([]);
});

test("one whose model is not known is a stray file", async () => {
  const cache = new MemoryCache();
  await keepTuning(MANIFEST, GPU, TUNING, cache);
  expect(await keepsStrayFiles(cache)).toBe(true);
});
