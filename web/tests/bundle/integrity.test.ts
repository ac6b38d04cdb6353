/** Digests of lists and manifests: from the page down to what the browser keeps. */

import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { fetchText } from "../fetch_text";
import { accepts, digestAs, parseIntegrity } from "../../src/bundle/integrity";
import { FetchError, IntegrityError, OptionError } from "../../src/util/errors";
import { MemoryCache } from "../memory_cache";
import { status, whole, withServer } from "../server";

function digest(text: string, algorithm = "sha384"): string {
  return `${algorithm}-${createHash(algorithm).update(text).digest("base64")}`;
}

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const good = whole(bytes("good"));
const bad = whole(bytes("bad"));
const integrity = digest("good");

describe("integrity texts", () => {
  test.each(["sha256", "sha384", "sha512"])("%s is that of Node.js", async (algorithm) => {
    const expected = parseIntegrity(digest("abc", algorithm));
    const found = await digestAs(expected, bytes("abc").buffer);
    expect(found).toBe(digest("abc", algorithm));
    expect(accepts(expected, found)).toBe(true);
    expect(accepts(expected, await digestAs(expected, bytes("abd").buffer))).toBe(false);
  });

  test("of several, those of the strongest algorithm count", async () => {
    const text = `${digest("weak", "sha256")}  ${digest("a", "sha512")} ${digest("b", "sha512")}`;
    const expected = parseIntegrity(text);
    for (const [content, taken] of [
      ["a", true],
      ["b", true],
      ["weak", false],
    ] as const) {
      expect(accepts(expected, await digestAs(expected, bytes(content).buffer))).toBe(taken);
    }
  });

  test.each(["", " ", "good", "md5-AAAA", "sha384-", `${integrity} good`, `${integrity}?a`])(
    "%j is refused, not passed over",
    (text) => {
      expect(() => parseIntegrity(text)).toThrow(OptionError);
    },
  );
});

describe("a text whose digest is known", () => {
  test("is taken from the server once, and then from the cache without asking", async () => {
    const cache = new MemoryCache();
    await withServer([good], async (address, requests) => {
      for (let time = 0; time < 2; time++) {
        expect(await fetchText(address, cache, { integrity })).toBe("good");
      }
      expect(requests.length).toBe(1);
    });
  });

  test("is refused if the server sends another, twice, and is not kept", async () => {
    const cache = new MemoryCache();
    await withServer([bad], async (address, requests) => {
      const failure = fetchText(address, cache, { integrity });
      await expect(failure).rejects.toThrow(IntegrityError);
      await expect(failure).rejects.toThrow(/integrity mismatch \(expected sha384-/);
      expect(requests.map(({ headers }) => headers["cache-control"])).toEqual([
        undefined,
        "no-cache",
      ]);
      expect(cache.kept.size).toBe(0);
    });
  });

  test("is fetched past the HTTP cache where that holds an older one", async () => {
    await withServer([bad, good], async (address) => {
      expect(await fetchText(address, new MemoryCache(), { integrity })).toBe("good");
    });
  });

  test("is fetched again where the browser keeps an older or altered one", async () => {
    const cache = new MemoryCache();
    await withServer([bad, good], async (address) => {
      expect(await fetchText(address, cache)).toBe("bad");
      expect(await fetchText(address, cache, { integrity })).toBe("good");
      expect(await fetchText(address, cache, { integrity })).toBe("good");
    });
  });

  test("stays that of an older page while a newer one is deployed", async () => {
    const cache = new MemoryCache();
    await withServer([good, bad], async (address) => {
      expect(await fetchText(address, cache, { integrity })).toBe("good");
      // The page that the service worker kept names the old text, which is still kept.
      expect(await fetchText(address, cache, { integrity })).toBe("good");
      expect(await fetchText(address, cache, { integrity: digest("bad") })).toBe("bad");
    });
  });

  test(
    "is not replaced by an older one that is kept, and it says so",
    { timeout: 20_000 },
    async () => {
      const cache = new MemoryCache();
      await withServer([bad, status(503)], async (address) => {
        expect(await fetchText(address, cache)).toBe("bad");
        const failure = fetchText(address, cache, { integrity });
        await expect(failure).rejects.toThrow(IntegrityError);
        await expect(failure).rejects.toThrow(/keeps another version than the one/);
      });
    },
  );

  test("is had from a server that was away for a moment", async () => {
    await withServer([status(503), good], async (address) => {
      expect(await fetchText(address, new MemoryCache(), { integrity })).toBe("good");
    });
  });

  test("needs no cache that can be read or written", async () => {
    const cache = new MemoryCache(0);
    cache.read = () => Promise.reject(new Error("locked"));
    await withServer([good], async (address) => {
      expect(await fetchText(address, cache, { integrity })).toBe("good");
    });
  });
});

test("a text without an end is refused", async () => {
  const endless = bytes("x".repeat(1 << 20));
  const answer: Parameters<typeof withServer>[0][0] = (_request, response) => {
    const more = (): void => {
      while (response.write(endless) && !response.destroyed);
      response.once("drain", more);
    };
    more();
  };
  await withServer([answer], async (address) => {
    await expect(fetchText(address, new MemoryCache())).rejects.toThrow(FetchError);
  });
});
