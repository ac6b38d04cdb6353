import { describe, expect, test } from "vitest";

import { IntegrityError } from "../../src/util/errors";
import { BundleFiles } from "../../src/bundle/bundle_files";
import { fetchText } from "../fetch_text";
import { fileSizes, forget } from "../../src/bundle/kept";
import { sha256 } from "../../src/bundle/sha256";
import type { FileEntry, Manifest } from "../../src/bundle/manifest";
import { SCHEMA_VERSION } from "../../src/util/constants.generated";
import { NO_CACHE } from "../../src/bundle/cache";
import type { FileCache } from "../../src/bundle/cache";
import { makeTransport } from "../../src/bundle/transport";
import { MemoryCache } from "../memory_cache";
import { status, whole, withServer } from "../server";
import type { Answer } from "../server";

const body = new TextEncoder().encode("abc");
// FIPS 180-2, appendix B.1
const digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const entry: FileEntry = { file: "a.bin", bytes: 3, sha256: digest };
const flipped = new TextEncoder().encode("abd");

function open(address: string, store: FileCache): { files: BundleFiles; notices: string[] } {
  const notices: string[] = [];
  const keep = new Map([[digest, 3]]);
  return {
    files: new BundleFiles(address, store, keep, (notice) => notices.push(notice)),
    notices,
  };
}

test("sha256 agrees with the standard's example", async () => {
  expect(await sha256(body.buffer)).toBe(digest);
});

describe("Files", () => {
  test("a file is fetched once, kept, and read back", async () => {
    const store = new MemoryCache();
    await withServer([whole(body)], async (address, requests) => {
      for (let time = 0; time < 2; time++) {
        const { files, notices } = open(address, store);
        let counted = 0;
        const data = await files.get(entry, (count) => (counted += count));
        expect([new Uint8Array(data), counted, notices]).toEqual([body, 3, []]);
      }
      expect(requests.length).toBe(1);
    });
  });

  test("a byte flipped on the wire is named, and fetched again past the cache", async () => {
    await withServer([whole(flipped), whole(body)], async (address, requests) => {
      const { files, notices } = open(address, new MemoryCache());
      let counted = 0;
      expect(new Uint8Array(await files.get(entry, (n) => (counted += n)))).toEqual(body);
      expect(counted).toBe(3);
      expect(notices).toEqual(["a.bin arrived damaged and is fetched again."]);
      expect(requests[1]!.headers["cache-control"]).toBe("no-cache");
    });
  });

  /** How files are asked for, two of them of which the first arrives damaged: `RequestInit.cache`. */
  async function askFor(store: FileCache): Promise<(RequestCache | undefined)[]> {
    const asked: (RequestCache | undefined)[] = [];
    const send = (_: unknown, init?: RequestInit): Promise<Response> => {
      asked.push(init?.cache);
      return Promise.resolve(new Response(asked.length === 1 ? flipped : body));
    };
    const transport = { ...makeTransport(), fetch: send };
    const keep = new Map([[digest, 3]]);
    const files = new BundleFiles("https://x.test/m/", store, keep, () => undefined, transport);
    await files.get(entry, () => 0);
    return asked;
  }

  test("what is kept in the store is not kept in the HTTP cache too", async () => {
    expect(await askFor(new MemoryCache())).toEqual(["no-store", "no-store"]);
  });

  /** How a second file is asked for, after one of which the store made this. */
  async function askAfter(store: FileCache): Promise<RequestCache | undefined> {
    let asked: RequestCache | undefined;
    const send = (_: unknown, init?: RequestInit): Promise<Response> => {
      asked = init?.cache;
      return Promise.resolve(new Response(body));
    };
    const transport = { ...makeTransport(), fetch: send };
    const keep = new Map([[digest, 3]]);
    const files = new BundleFiles("https://x.test/m/", store, keep, () => undefined, transport);
    await files.get(entry, () => 0);
    await files.get({ ...entry, file: "b.bin", sha256: "0" }, () => 0).catch(() => 0);
    return asked;
  }

  test("the HTTP cache keeps files that the store cannot keep", async () => {
    expect(await askAfter(new MemoryCache())).toBe("no-store");
    const locked = new MemoryCache();
    locked.write = () => Promise.reject(new DOMException("locked", "NoModificationAllowedError"));
    expect(await askAfter(locked)).not.toBe("no-store");
  });

  test("the HTTP cache is asked for what is missing of a model in the store", async () => {
    const store = new MemoryCache();
    store.kept.set(digest, body.slice().buffer);
    expect(await askAfter(store)).not.toBe("no-store");
  });

  test("the HTTP cache keeps files where there is no store", async () => {
    expect(await askFor(NO_CACHE)).toEqual([undefined, "reload"]);
  });

  test("one that stays flipped is refused and not kept", async () => {
    const store = new MemoryCache();
    await withServer([whole(flipped)], async (address) => {
      const { files } = open(address, store);
      const failure = files.get(entry, () => 0);
      await expect(failure).rejects.toThrow(IntegrityError);
      await expect(failure).rejects.toThrow(/a\.bin: sha256 mismatch/);
      expect(store.kept.size).toBe(0);
    });
  });

  test.each([flipped, body.subarray(0, 2)])(
    "what went bad in the store is fetched: %s",
    async (bad) => {
      const store = new MemoryCache();
      store.kept.set(digest, bad.slice().buffer);
      await withServer([whole(body)], async (address) => {
        const { files, notices } = open(address, store);
        expect(new Uint8Array(await files.get(entry, () => 0))).toEqual(body);
        expect(notices).toEqual(["a.bin was damaged in the browser's cache and is fetched again."]);
        expect(new Uint8Array(store.kept.get(digest)!)).toEqual(body);
      });
    },
  );

  test("a store that cannot be read is none", async () => {
    const store = new MemoryCache();
    store.read = () => Promise.reject(new Error("locked"));
    await withServer([whole(body)], async (address) => {
      expect(new Uint8Array(await open(address, store).files.get(entry, () => 0))).toEqual(body);
    });
  });

  test("without room, what other models left makes it", async () => {
    const store = new MemoryCache(2);
    store.kept.set("f".repeat(64), body.buffer).set("text-1", body.buffer);
    await withServer([whole(body)], async (address) => {
      const { files, notices } = open(address, store);
      await files.get(entry, () => 0);
      expect([...store.kept.keys()]).toEqual(["text-1", digest]);
      expect(notices).toEqual([]);
    });
  });

  test("what another tab holds makes none, and it goes on", async () => {
    const store = new MemoryCache(2);
    store.kept.set("e".repeat(64), body.buffer).set("f".repeat(64), body.buffer);
    store.remove = () => Promise.resolve();
    await withServer([whole(body)], async (address) => {
      const { files, notices } = open(address, store);
      expect(new Uint8Array(await files.get(entry, () => 0))).toEqual(body);
      expect(notices).toEqual([expect.stringContaining("no room")]);
    });
  });

  test.each([1, 6])("after a failure of one, %d others are fetched no more", async (others) => {
    const closed: Promise<void>[] = [];
    const hanging: Answer = (_request, response) => {
      response.writeHead(200, { "Content-Length": 3 });
      response.write(body.subarray(0, 1));
      closed.push(new Promise((resolve) => response.on("close", resolve)));
      // The first one fails once all others are on their way.
      if (closed.length === Math.min(others, 5)) fail();
    };
    let fail = (): void => undefined;
    const failing: Answer = (_request, response) => {
      fail = () => response.writeHead(404).end();
    };
    await withServer([failing, hanging], async (address, requests) => {
      const { files } = open(address, new MemoryCache());
      const entries = Array.from({ length: 1 + others }, () => entry);
      const found = files.getAll(entries, () => 0);
      await expect(found.next()).rejects.toThrow("404");
      await Promise.all(closed);
      await files.finish();
      expect(requests.length).toBe(1 + Math.min(others, 5));
    });
  });

  test("without any, it says so once and goes on", async () => {
    await withServer([whole(body)], async (address) => {
      const { files, notices } = open(address, new MemoryCache(0));
      for (let time = 0; time < 3; time++) await files.get(entry, () => 0);
      expect(notices).toEqual([expect.stringContaining("no room")]);
    });
  });
});

describe("texts", () => {
  const manifest = {
    library: entry,
    tokenizers: {},
    schedulers: { default: "euler", available: {} },
    components: { unet: { shards: [{ ...entry, sha256: "1".repeat(64) }] } },
  } as unknown as Manifest;

  test("a text is as it was when the server is gone, and not when it says no", async () => {
    const store = new MemoryCache();
    await withServer([whole(body), status(503), status(404)], async (address) => {
      expect(await fetchText(address, store)).toBe("abc");
      expect(await fetchText(address, store)).toBe("abc");
      await expect(fetchText(address, store)).rejects.toThrow("404");
    });
  });

  test("forgetting a model leaves what another shares with it", async () => {
    const store = new MemoryCache();
    const other = JSON.stringify({ ...manifest, schema_version: SCHEMA_VERSION, components: {} });
    const texts = [JSON.stringify(manifest), other, "[]"].map((text) =>
      whole(new TextEncoder().encode(text)),
    );
    await withServer(texts, async (address) => {
      for (const name of ["", "other", "list"]) await fetchText(address + name, store);
      for (const key of fileSizes(manifest).keys()) store.kept.set(key, body.buffer);
      await forget(address, manifest, store);
      expect(store.kept.size).toBe(5); // two texts, their addresses, and the file
      expect(store.kept.has(digest)).toBe(true);
      await forget(address + "other", JSON.parse(other) as Manifest, store);
      expect(store.kept.size).toBe(2); // the list, and its address
    });
  });

  test("forgetting a model leaves others", async () => {
    const store = new MemoryCache();
    await withServer([whole(body)], async (address) => {
      await fetchText(address, store);
      for (const key of [...fileSizes(manifest).keys(), "other"]) store.kept.set(key, body.buffer);
      expect(store.kept.size).toBe(5);
      await forget(address, manifest, store);
      expect([...store.kept.keys()]).toEqual(["other"]);
    });
  });
});
