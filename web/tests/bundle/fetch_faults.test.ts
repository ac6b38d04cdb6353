/** What is said of files that do not come. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { FetchFunction, FetchOptions } from "../../src/api/load_options";
import { download, downloadText } from "../../src/bundle/download";
import { explainSilence } from "../../src/bundle/fetch_faults";
import { makeTransport } from "../../src/bundle/transport";
import { FetchError, OptionError, UnsupportedError, WsdError } from "../../src/util/errors";
import { status, whole, withServer } from "../server";

const body = new TextEncoder().encode("abc");
const NOWHERE = "http://127.0.0.1:1/";

beforeEach(() => {
  vi.stubGlobal("origin", "https://page.test");
});

afterEach(() => vi.unstubAllGlobals());

describe("a request", () => {
  test("has the caller's headers, and the range", async () => {
    const requests: [string, RequestInit][] = [];
    const fetch: FetchFunction = (...request) => {
      requests.push(request);
      return Promise.resolve(new Response(body));
    };
    const headers = { Authorization: "Bearer x", Range: "bytes=9-" };
    const transport = makeTransport({ fetch, headers, credentials: "include" });
    await download("a:b", 3, () => 0, { transport, bypass: "reload" });
    const [[url, init]] = requests as [[string, RequestInit]];
    expect([url, init.credentials, init.cache]).toEqual(["a:b", "include", "reload"]);
    expect(new Headers(init.headers).get("authorization")).toBe("Bearer x");
  });

  test.each<[FetchOptions, string]>([
    [{ headers: { "a b": "c" } }, "headers are not valid"],
    [{ headers: { a: "ä\n\0" } }, "headers are not valid"],
  ])("with %o is refused", (options, said) => {
    expect(() => makeTransport(options)).toThrow(OptionError);
    expect(() => makeTransport(options)).toThrow(said);
  });
});

describe("a status", () => {
  const given = { headers: { Authorization: "x" }, credentials: "include" } as const;

  test.each<[number, FetchOptions, string, RegExp]>([
    [404, {}, "", /incomplete, or the address is wrong/],
    [401, {}, "", /wants to know who asks.*headers.*credentials.*fetch/],
    [403, {}, "?sig=1", /does not take.*the query of the address.*expired/],
    [401, given, "", /does not take.*by headers and credentials/],
    [401, { fetch: (...request) => fetch(...request) }, "", /does not take.*by fetch/],
  ])("%i with %o and the query %j", async (code, options, query, hint) => {
    await withServer([status(code)], async (address, requests) => {
      const transport = makeTransport(options);
      const failure = downloadText(address + query, { transport, patient: true });
      await expect(failure).rejects.toMatchObject({
        name: "FetchError",
        message: `${address}${query === "" ? "" : "?…"}: the server answered ${code}`,
        hint: expect.stringMatching(hint) as string,
      });
      expect(requests.length).toBe(1);
    });
  });
});

describe("no answer", () => {
  /** Return message and hint of a file that does not come. */
  async function silence(url: string, options: FetchOptions = {}): Promise<string> {
    const { message, hint } = await explainSilence(url, makeTransport(options));
    return `${message} | ${hint}`;
  }

  test("without a network", async () => {
    vi.stubGlobal("navigator", { onLine: false });
    expect(await silence(NOWHERE)).toMatch(/the browser is offline \| connect to the network/);
  });

  test("of the caller's own fetch", async () => {
    const fetch = (): Promise<Response> => Promise.reject(new Error());
    expect(await silence(NOWHERE, { fetch })).toMatch(/by the fetch that was given/);
  });

  test.each(["http://cdn.test/a", "http://192.0.2.1/a"])(
    "of %s to a page of https",
    async (url) => {
      expect(await silence(url)).toMatch(/a page of https may not fetch from http/);
    },
  );

  test("of another origin that cannot be reached", async () => {
    const said = await silence(NOWHERE, { headers: { "X-A": "1" }, credentials: "include" });
    expect(said).toMatch(/could not be fetched \| check the network/);
    expect(said).toMatch(/Allow-Origin: https:\/\/page\.test and Access-Control-Allow-Credentials/);
    expect(said).toMatch(/Access-Control-Allow-Headers: x-a/);
  });

  test("of another origin that can be reached", async () => {
    await withServer([whole(body)], async (address) => {
      expect(await silence(address)).toMatch(/\(CORS\) \| .*Allow-Origin: https:\/\/page\.test$/);
    });
  });

  test("of the page's own origin", async () => {
    vi.stubGlobal("origin", new URL(NOWHERE).origin);
    expect(await silence(NOWHERE)).toMatch(/check the network, then try again/);
  });

  test("where a policy forbids it, which is told in an event", async () => {
    const scope = new EventTarget();
    vi.stubGlobal("addEventListener", scope.addEventListener.bind(scope));
    vi.stubGlobal("removeEventListener", scope.removeEventListener.bind(scope));
    const violate = (disposition: string): void => {
      const told = { disposition, effectiveDirective: "connect-src", blockedURI: NOWHERE };
      scope.dispatchEvent(Object.assign(new Event("securitypolicyviolation"), told));
    };
    vi.stubGlobal("fetch", () => {
      setTimeout(() => violate("enforce"));
      return Promise.reject(new TypeError("Failed to fetch"));
    });
    const failure = downloadText(NOWHERE, { patient: true });
    await expect(failure).rejects.toThrow(UnsupportedError);
    await expect(failure).rejects.toMatchObject({
      hint: expect.stringContaining("connect-src 'self' http://127.0.0.1:1") as string,
    });
  });
});

describe("a fetch of the caller's own", () => {
  const get = async (fetch: FetchFunction, signal?: AbortSignal): Promise<ArrayBuffer> =>
    download("https://page.test/a", 3, () => 0, { transport: makeTransport({ fetch }), signal });

  test.each<[string, () => unknown, string]>([
    ["an error", () => Promise.reject(new Error("no token")), "failed: Error: no token"],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as callers may
    ["a text", () => Promise.reject("no token"), "failed: no token"],
    [
      "at once",
      () => {
        throw new RangeError("no");
      },
      "failed: RangeError: no",
    ],
    ["nothing", () => undefined, "returned no Response"],
    ["an answer of another kind", () => Promise.resolve({ ok: true }), "returned no Response"],
    [
      "texts",
      () =>
        Promise.resolve(
          new Response(
            new ReadableStream({
              start: (stream) => stream.enqueue("abc"),
            }),
          ),
        ),
      "not of bytes",
    ],
    [
      "a web page",
      () =>
        Promise.resolve(
          new Response("", {
            headers: { "Content-Type": "text/html" },
          }),
        ),
      "sent a web page",
    ],
    [
      "an opaque answer",
      () =>
        Promise.resolve(
          Object.defineProperty(new Response(), "type", {
            value: "opaque",
          }),
        ),
      "cannot be read (opaque)",
    ],
  ])("that gives %s is named at once", async (_, fetch, said) => {
    // prettier-ignore
    const calls = vi.fn(fetch);
    const failure = get(calls as FetchFunction);
    await expect(failure).rejects.toThrow(FetchError);
    await expect(failure).rejects.toThrow(said);
    expect(calls).toHaveBeenCalledTimes(1);
  });

  test("may throw an error of WSD's", async () => {
    const error = new WsdError("locked", "unlock it");
    await expect(get(() => Promise.reject(error))).rejects.toBe(error);
  });

  test("that has no network for a moment is called again", async () => {
    const answers = [new DOMException("late", "TimeoutError")];
    const fetch = (): Promise<Response> => {
      const failed = answers.shift();
      return failed === undefined ? Promise.resolve(new Response(body)) : Promise.reject(failed);
    };
    expect(new Uint8Array(await get(fetch))).toEqual(body);
  });

  test("is not called for what is cancelled already", async () => {
    const fetch = vi.fn(() => new Promise<Response>(() => undefined));
    await expect(get(fetch, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    expect(fetch).not.toHaveBeenCalled();
  });

  test.each(["before its answer", "amid its body"])("is left %s by a signal", async (when) => {
    const controller = new AbortController();
    const cancel = vi.fn();
    const answer = new Response(new ReadableStream({ cancel }));
    const fetch = (): Promise<Response> =>
      when === "amid its body" ? Promise.resolve(answer) : new Promise(() => undefined);
    const failure = get(fetch, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(failure).rejects.toMatchObject({ name: "AbortError" });
    if (when === "amid its body") expect(cancel).toHaveBeenCalled();
  });
});
