/** What a browser keeps of models: listing it, and removing it, without the network. */

import { readFileSync } from "node:fs";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { KeptModel } from "../../src/api/kept_models";
import { isKept, listKept, purge, purgeAll } from "../../src/api/kept_models";
import { besideAddress, fetchParsed } from "../../src/bundle/bundle_files";
import { fetchText } from "../fetch_text";
import { NO_CACHE, openCache } from "../../src/bundle/cache";
import { countBytes, fileSizes, keepText, keptManifests, textKey } from "../../src/bundle/kept";
import { keepTuning } from "../../src/bundle/kept_tuning";
import { parseManifest, textComponents } from "../../src/bundle/manifest";
import type { ComponentEntry, Manifest } from "../../src/bundle/manifest";
import { makeTransport } from "../../src/bundle/transport";
import { AbortError, FetchError, OptionError } from "../../src/util/errors";
import { MemoryCache } from "../memory_cache";
import { status, whole, withServer } from "../server";

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
  const all = await keep("https://page.test/m/manifest.json?sig=1");
  const total = all - MANIFEST.self_test!.bytes;
  expect(await listKept()).toEqual([
    {
      manifestUrl: "https://page.test/m/manifest.json",
      name: MANIFEST.model.name,
      title: MANIFEST.model.title,
      bytes: { total, kept: total },
      complete: true,
      tunings: 0,
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

test("a model is whole without the self-test's expected values, and they are removed with it", async () => {
  const url = "https://page.test/m/manifest.json";
  const total = await keep(url);
  const cache = await openCache();
  const { sha256: digest, bytes } = MANIFEST.self_test!;
  const whole = { bytes: { total: total - bytes, kept: total - bytes }, complete: true };
  expect(await listKept()).toMatchObject([whole]);
  await cache.remove(digest);
  expect([await listKept(), await isKept(url)]).toMatchObject([[whole], true]);
  await cache.write(digest, new ArrayBuffer(1));
  await purge(url);
  expect(await cache.keys()).toEqual([]);
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

test("what tune found is listed with the model for each GPU, and removed with it", async () => {
  vi.stubGlobal("navigator", { userAgent: "Browser/1" });
  const url = "https://page.test/m/manifest.json";
  await keep(url);
  for (const device of ["one", "other"]) {
    const tuning = { choices: {}, functions: [] };
    await keepTuning(MANIFEST, { device }, tuning, await openCache());
  }
  expect(await listKept()).toMatchObject([{ tunings: 2, complete: true }]);
  await purge(url);
  expect(await (await openCache()).keys()).toEqual([]);
});

test("removing all leaves nothing", async () => {
  await keep("https://page.test/m/manifest.json");
  await (await openCache()).write("f".repeat(64), new ArrayBuffer(1));
  await purgeAll();
  expect(await (await openCache()).keys()).toEqual([]);
});

test("what is not a manifest is not listed, and a text without an address has none", async () => {
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

test("a safety checker counts where it is asked for", () => {
  const shard = { file: "safety_checker-0.bin", bytes: 12, sha256: "e".repeat(64) };
  const checker = { role: "safety_checker", bytes: 12, records: [], folder: "s", shards: [shard] };
  const manifest: Manifest = {
    ...MANIFEST,
    components: { ...MANIFEST.components, safety_checker: checker as ComponentEntry },
  };
  const kept = new Set(fileSizes(MANIFEST).keys());
  const { total } = countBytes(MANIFEST, kept);
  expect(countBytes(manifest, kept)).toEqual({ total, kept: total });
  expect(countBytes(manifest, kept, true)).toEqual({ total: total + 12, kept: total });
});

describe("addresses that differ in their query", () => {
  const signatures = fc.constantFrom(
    ...["X-Amz-Signature", "x-goog-date", "Expires", "Signature", "Key-Pair-Id", "Policy", "sig"],
    ...["se", "sp", "sv", "sr", "st", "token", "q-sign-time", "access_token", "SIG", "%73ig"],
  );
  const value = fc.stringMatching(/^[\w%.~-]{0,12}$/);

  test("are one model where the difference is a signature", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(signatures, value), { minLength: 1 }),
        fc.webQueryParameters(),
        async (parts, rest) => {
          const signature = parts.map(([name, text]) => `${name}=${text}`).join("&");
          const unsigned = `https://a.test/m.json${rest === "" ? "" : `?${rest}`}`;
          const signed = `https://a.test/m.json?${signature}${rest === "" ? "" : `&${rest}`}`;
          expect(await textKey(signed)).toBe(await textKey(unsigned));
        },
      ),
    );
  });

  test.each([
    ["?model=a", "?model=b"],
    ["?v=1", "?v=2"],
    ["", "?v=1"],
    ["?v=1?2", "?v=1?3"],
    ["?v=1&sig=1", "?v=2&sig=1"],
    ["?a&b", "?ab"],
  ])("are two models: %s and %s", async (one, other) => {
    const address = "https://a.test/manifest.json";
    expect(await textKey(address + one)).not.toBe(await textKey(address + other));
    const second = MANIFEST.model.name;
    const first = TEXT.replaceAll(`"${second}"`, '"first"');
    vi.stubGlobal("fetch", (url: string) =>
      Promise.resolve(new Response(url === address + one ? first : TEXT)),
    );
    const cache = await openCache();
    const load = async (query: string): Promise<string> =>
      (await fetchParsed(address + query, cache, parseManifest)).model.name;
    expect([await load(one), await load(other)]).toEqual(["first", second]);
    // Without a server each is drawn as it was, and one that was never fetched is not another one.
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
    expect([await load(one), await load(other)]).toEqual(["first", second]);
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("", { status: 503 })));
    expect([await load(one), await load(other)]).toEqual(["first", second]);
    await purge(address + other);
    expect(await listKept()).toMatchObject([{ name: "first" }]);
    const [{ manifestUrl }] = (await listKept()) as [KeptModel];
    expect(await textKey(manifestUrl)).toBe(await textKey(address + one));
    await purge(manifestUrl);
    expect(await listKept()).toEqual([]);
  });

  test("are kept once where the text is the same: a signature may have any name", async () => {
    await keep("https://page.test/m/manifest.json");
    for (const visit of [1, 2, 3]) await keep(`https://page.test/m/manifest.json?mine=${visit}`);
    expect((await listKept()).map(({ manifestUrl }) => manifestUrl)).toEqual([
      "https://page.test/m/manifest.json",
      "https://page.test/m/manifest.json?mine=3",
    ]);
    await purge("m/");
    await purge("m/?mine=3");
    expect(await (await openCache()).keys()).toEqual([]);
  });

  test("are one where users and passwords differ", async () => {
    const key = await textKey("https://a.test/m.json");
    expect(await textKey("https://user:SECRET@a.test/m.json#part")).toBe(key);
  });
});

describe("removing a model that is not kept", () => {
  test("is nothing to do, without the network", async () => {
    const fetch = vi.fn();
    vi.stubGlobal("fetch", fetch);
    await keep("https://page.test/n/manifest.json");
    await purge("m/");
    expect(fetch).not.toHaveBeenCalled();
    expect(await isKept("n/")).toBe(true);
  });

  test("asks which files are its own, as the caller says, if files of no model are kept", async () => {
    const cache = await openCache();
    const [digest] = [...fileSizes(MANIFEST).keys()];
    await cache.write(digest!, new ArrayBuffer(1));
    await withServer([status(401), whole(BYTES, "application/json")], async (address) => {
      await expect(purge(address)).rejects.toThrow(/answered 401/);
      const fetch = vi.fn((...request: Parameters<typeof globalThis.fetch>) =>
        globalThis.fetch(...request),
      );
      await purge(address, { fetch, headers: { Authorization: "Bearer wsd" } });
      const [[, init]] = fetch.mock.calls as [[string, RequestInit]];
      expect(new Headers(init.headers).get("authorization")).toBe("Bearer wsd");
    });
    expect(await cache.keys()).toEqual([]);
  });

  test("leaves the same model of another address, with its files", async () => {
    await keep("https://page.test/m/manifest.json?v=1");
    await (await openCache()).write("f".repeat(64), new ArrayBuffer(1));
    const fetch = vi.fn(() => Promise.resolve(new Response(TEXT)));
    await purge("m/?v=2", { fetch });
    expect(fetch).toHaveBeenCalledTimes(1);
    expect([await isKept("m/?v=1"), await isKept("m/?v=2")]).toEqual([true, false]);
  });

  test("takes the options of loading, and no others", async () => {
    const fetch = (): Promise<Response> => Promise.reject(new TypeError("not called"));
    expect(await isKept("file:///m/", { fetch })).toBe(false);
    await purge("file:///m/", { fetch });
    for (const call of [purge, isKept]) {
      await expect(call("m/", { cache: false } as object)).rejects.toThrow(OptionError);
      await expect(call("m/", { headers: { "a b": "" } })).rejects.toThrow(OptionError);
      await expect(call("file:///m/")).rejects.toThrow(OptionError);
    }
  });
});

describe("what replaces nothing that is kept", () => {
  const half = BYTES.slice(0, BYTES.length >> 1);

  /** Keep a manifest, and return the cache and a function that checks that it is as it was. */
  async function kept(): Promise<{ cache: MemoryCache; check: () => Promise<void> }> {
    const cache = new MemoryCache();
    await keepText("https://a.test/m.json", BYTES.buffer, cache);
    return {
      cache,
      check: async () => {
        expect(new Uint8Array((await cache.read(await textKey("https://a.test/m.json")))!)).toEqual(
          BYTES,
        );
      },
    };
  }

  test("is a manifest whose loading is cancelled amid its body, by a fetch that does not heed it", async () => {
    const { cache, check } = await kept();
    const controller = new AbortController();
    const fetch = (): Promise<Response> =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            start(stream) {
              stream.enqueue(half);
              setTimeout(() => controller.abort());
            },
          }),
        ),
      );
    const how = { transport: makeTransport({ fetch }), signal: controller.signal };
    // A text that any half of is whole, so that parsing does not find it.
    for (const parse of [parseManifest, (text: string): unknown => text]) {
      const loading = fetchParsed("https://a.test/m.json", cache, parse, how);
      await expect(loading).rejects.toThrow(AbortError);
      await check();
    }
  });

  test.each([
    ["an answer that ends early", half],
    ["a log-in page without a type", new TextEncoder().encode("<html>")],
    ["another JSON", new TextEncoder().encode('{"error": "no token"}')],
  ])("is %s", async (_, answer) => {
    const { cache, check } = await kept();
    const transport = makeTransport({ fetch: () => Promise.resolve(new Response(answer)) });
    const loading = fetchParsed("https://a.test/m.json", cache, parseManifest, { transport });
    await expect(loading).rejects.toThrow(FetchError);
    await check();
  });
});

test("a kept text that cannot be read is not drawn: the reason is the server's", async () => {
  const cache = new MemoryCache();
  await keepText("https://a.test/m.json", new TextEncoder().encode("{").buffer, cache);
  const fetch = (): Promise<Response> => Promise.resolve(new Response("", { status: 503 }));
  const how = { transport: makeTransport({ fetch }) };
  const loading = fetchParsed("https://a.test/m.json", cache, parseManifest, how);
  await expect(loading).rejects.toThrow(/answered 503/);
});
