/** What a browser keeps of models: listing it, and removing it, without the network. */

import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { isKept, listKept, purge, purgeAll } from "../../src/api/kept_models";
import { besideAddress, fetchText } from "../../src/bundle/bundle_files";
import { NO_CACHE, openCache } from "../../src/bundle/cache";
import { countBytes, fileSizes, keepText, keptManifests, textKey } from "../../src/bundle/kept";
import { parseManifest, textComponents } from "../../src/bundle/manifest";
import type { ComponentEntry, Manifest } from "../../src/bundle/manifest";
import { MemoryCache } from "../memory_cache";
import { whole, withServer } from "../server";

const TEXT = readFileSync("../tests/fixtures/manifest-v2.json", "utf8");
const MANIFEST = parseManifest(TEXT, "m");
const BYTES = new TextEncoder().encode(TEXT);

/** The Cache API in memory: the browser's own tests are in tests/e2e. */
class MemoryCacheApi {
  readonly kept = new Map<string, ArrayBuffer>();

  match(url: string): Promise<Response | undefined> {
    const found = this.kept.get(url);
    return Promise.resolve(found && new Response(found));
  }

  async put(url: string, response: Response): Promise<void> {
    this.kept.set(url, await response.arrayBuffer());
  }

  delete(url: string): Promise<boolean> {
    return Promise.resolve(this.kept.delete(url));
  }

  keys(): Promise<{ url: string }[]> {
    return Promise.resolve([...this.kept.keys()].map((url) => ({ url })));
  }
}

beforeEach(() => {
  const opened = new MemoryCacheApi();
  vi.stubGlobal("caches", { open: () => Promise.resolve(opened) });
  vi.stubGlobal("location", new URL("https://page.test/"));
});

afterEach(() => vi.unstubAllGlobals());

/** Keep a manifest and some of its files, as loading does. */
async function keep(url: string, files = Infinity): Promise<number> {
  const cache = await openCache();
  await keepText(url, BYTES.buffer, cache);
  const kept = [...fileSizes(MANIFEST)].slice(0, files);
  for (const [digest] of kept) await cache.write(digest, new ArrayBuffer(1));
  return kept.reduce((sum, [, bytes]) => sum + bytes, 0);
}

test("nothing is kept at first", async () => {
  expect([await listKept(), await isKept("m/")]).toEqual([[], false]);
});

test("a model is listed with its address, without the signature", async () => {
  const total = await keep("https://page.test/m/manifest.json?sig=1");
  expect(await listKept()).toEqual([
    {
      manifestUrl: "https://page.test/m/manifest.json",
      name: MANIFEST.model.name,
      title: MANIFEST.model.title,
      bytes: { total, kept: total },
      complete: true,
    },
  ]);
  expect([await isKept("m/"), await isKept("/m/?sig=2"), await isKept("n/")]).toEqual([
    true,
    true,
    false,
  ]);
});

test("a part of a model is no model", async () => {
  const kept = await keep("https://page.test/m/manifest.json", 1);
  expect(await isKept("m/")).toBe(false);
  expect(await listKept()).toMatchObject([{ complete: false, bytes: { kept } }]);
});

test("removing a model leaves what another shares with it, and needs no server", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new Error("no server")));
  await keep("https://page.test/m/manifest.json?sig=1");
  await keep("https://page.test/n/manifest.json");
  await purge("m/?sig=3");
  expect([await isKept("m/"), await isKept("n/")]).toEqual([false, true]);
  await purge("n/");
  expect(await (await openCache()).keys()).toEqual([]);
});

test("removing all leaves nothing", async () => {
  await keep("https://page.test/m/manifest.json");
  await (await openCache()).write("f".repeat(64), new ArrayBuffer(1));
  await purgeAll();
  expect(await (await openCache()).keys()).toEqual([]);
});

test("what is no manifest is not listed, and has no address", async () => {
  const cache = new MemoryCache();
  await keepText("https://page.test/index.json", new TextEncoder().encode("[]").buffer, cache);
  expect(await keptManifests(cache)).toEqual([]);
  await cache.write(await textKey("https://page.test/m"), BYTES.buffer);
  expect(await keptManifests(cache)).toMatchObject([{ url: undefined }]);
});

test("a text that an older version kept gets its address", async () => {
  await withServer([whole(BYTES)], async (address) => {
    const cache = new MemoryCache();
    await cache.write(await textKey(address), BYTES.buffer);
    await fetchText(address, cache);
    expect(await keptManifests(cache)).toMatchObject([{ url: address }]);
  });
});

test("files lie beside the manifest, with its query", () => {
  for (const [base, url] of [
    ["https://a.test/m/manifest.json", "https://a.test/m/f.bin"],
    ["https://a.test/m/manifest.json?s=a%2Fb&t", "https://a.test/m/f.bin?s=a%2Fb&t"],
  ]) {
    expect(besideAddress("f.bin", base!)).toBe(url);
  }
});

test("a browser that keeps nothing has nothing to remove", async () => {
  vi.stubGlobal("caches", undefined);
  expect(await openCache()).toBe(NO_CACHE);
  await purgeAll();
  expect(await listKept()).toEqual([]);
});

test("a model is complete without the encoder of pictures, and is forgotten with it", () => {
  const shard = { file: "vae_encoder-0.bin", bytes: 12, sha256: "e".repeat(64) };
  const encoder = { role: "vae_encoder", bytes: 12, records: [], folder: "vae", shards: [shard] };
  const manifest: Manifest = {
    ...MANIFEST,
    components: { ...MANIFEST.components, vae_encoder: encoder as ComponentEntry },
  };
  expect(textComponents(manifest)).toEqual(Object.keys(MANIFEST.components));
  const kept = new Set(fileSizes(MANIFEST).keys());
  expect(countBytes(manifest, kept)).toEqual(countBytes(MANIFEST, kept));
  expect(countBytes(manifest, kept).kept).toBe(countBytes(manifest, kept).total);
  expect(fileSizes(manifest).get(shard.sha256)).toBe(12);
});
