/** No secret of an address or a header is in what people get to see. */

import { inspect } from "node:util";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { manifestAddress } from "../../src/api/addresses";
import { listModels } from "../../src/api/model_index";
import { preflight } from "../../src/api/preflight";
import type { FetchFunction } from "../../src/api/load_options";
import { startWorker } from "../../src/api/start_worker";
import { nameOf, redact, secretsOf, withoutSecrets } from "../../src/util/secrets";
import { setLogLevel } from "../../src/util/log";
import { WsdError } from "../../src/util/errors";

describe("an address is named", () => {
  test.each([
    ["https://a.test/m.json", "https://a.test/m.json"],
    ["https://a.test", "https://a.test/"],
    ["https://user:SECRET@a.test:8080/m?sig=SECRET#SECRET", "https://a.test:8080/m?…"],
    ["https://a.test/m?", "https://a.test/m"],
    ["file:///m/manifest.json?SECRET", "file:///m/manifest.json?…"],
    ["app://model/m?SECRET", "app://model/m?…"],
    ["app://model", "app://model"],
    ["data:application/json,SECRET", "data:…"],
    ["blob:https://a.test/SECRET", "blob:…"],
    ["mailto:SECRET@a.test", "mailto:…"],
    ["models/m?sig=SECRET#SECRET", "models/m?…"],
    ["https://user:SECRET@a b/m?SECRET", "a b/m?…"],
    ["//user:SECRET@a.test/m", "a.test/m"],
    ["", ""],
  ])("%s as %s", (address, name) => {
    expect(nameOf(address)).toBe(name);
  });

  test("whatever it is, without its secrets", () => {
    const part = fc.stringMatching(/^[a-z\d./:?&=%@#-]{0,12}$/);
    fc.assert(
      fc.property(
        fc.webUrl({ withQueryParameters: true, withFragments: true }),
        part,
        (url, odd) => {
          const { origin, pathname } = new URL(url);
          expect(nameOf(url).split("?")[0]).toBe(`${origin}${pathname}`);
          expect(nameOf(`${url.split(/[?#]/, 1)[0]!}?${odd}SECRET`)).not.toContain("SECRET");
          expect(nameOf(`${odd}?SECRET`)).not.toContain("SECRET");
          expect(
            nameOf(`https://${odd}SECRET@host/`.replaceAll(/[/?#](?=.*@)/g, "")),
          ).not.toContain("SECRET");
        },
      ),
    );
  });
});

describe("words of others", () => {
  test.each([
    ["GET https://a.test/m?sig=SECRET: 403", "GET https://a.test/m?…: 403"],
    ['"https://a.test:8080/m?sig=SECRET".', '"https://a.test:8080/m?…".'],
    ["(https://u:SECRET@a.test/m)", "(https://a.test/m)"],
    ["at f (https://a.test/a.js?v=SECRET:12:3)", "at f (https://a.test/a.js?…:12:3)"],
    ["at f (https://a.test:8080/a.js:12:3)", "at f (https://a.test:8080/a.js:12:3)"],
    ["no token; why? ask", "no token; why? ask"],
  ])("%s", (text, left) => {
    expect(redact(text)).toBe(left);
  });

  test("lose what a request kept secret, and nothing that is too short to be a secret", () => {
    const secrets = secretsOf("https://us:SECRET1@a.test/?sig=SECRET2%2Fb&n=12", [
      ["authorization", "Bearer SECRET3"],
      ["x-mine", "a=SECRET4; b"],
    ]);
    const text = "SECRET1 SECRET2%2Fb SECRET2/b Bearer SECRET3 SECRET4 Bearer sig n 12 us a b";
    expect(redact(text, secrets)).toBe("… … … … … Bearer sig n 12 us a b");
  });

  test.each([
    ["many dots", "a.".repeat(100_000)],
    ["many hyphens", "-a".repeat(100_000)],
    ["an address with many commas", `https://a.test/?${",".repeat(100_000)}x`],
    ["an address with many digits", `https://a.test/?${":1".repeat(100_000)}x`],
    ["many addresses", "a://b?".repeat(30_000)],
  ])("with %s are read in little time", { retry: 2 }, (_, text) => {
    const started = performance.now();
    expect(redact(`${text} https://a.test/m?SECRET`)).not.toContain("SECRET");
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("keep what the address says anyway", () => {
    const secrets = secretsOf("https://a.test/m/manifest.json?v=manifest&sig=SECRET1", []);
    expect(redact("manifest.json of SECRET1", secrets)).toBe("manifest.json of …");
  });

  test("of an error are copied, and nothing else of it", () => {
    const cause = new RangeError("https://a.test/?SECRET");
    const thrown = Object.assign(new TypeError("of SECRET-token", { cause }), {
      config: { headers: { Authorization: "SECRET-token" } },
    });
    const copy = withoutSecrets(thrown, ["SECRET-token"]) as Error;
    expect(inspect(copy, { depth: 9, showHidden: true })).not.toContain("SECRET");
    expect(copy).toMatchObject({ name: "TypeError", message: "of …" });
    expect(copy.cause).toMatchObject({ name: "RangeError", message: "https://a.test/?…" });
    expect(copy.stack).toContain("secrets.test.ts");
  });

  test("end, where an error is its own cause", () => {
    const thrown = new Error("a");
    thrown.cause = thrown;
    expect(withoutSecrets(thrown, [])).toBeInstanceOf(Error);
    for (const odd of ["https://a.test/?SECRET", { SECRET: "SECRET" }, ["SECRET"], null]) {
      expect(String(withoutSecrets(odd, []))).not.toContain("SECRET");
    }
  });
});

/** What a browser or a caller's function throws, with all that it knows of the request. */
const refuse = (url: string, init: RequestInit): Error =>
  new TypeError(`Failed to fetch ${url} ${JSON.stringify([...new Headers(init.headers)])}`, {
    cause: new DOMException(`${url} was refused`, "NetworkError"),
  });

/** How a request can end, each a way in which something is said of it. */
const ANSWERS: Record<string, FetchFunction> = {
  ...Object.fromEntries(
    [200, 204, 400, 401, 403, 404, 407, 410, 429, 500, 503].map((status) => [
      `the status ${status}`,
      () => Promise.resolve(new Response(status === 204 ? null : "SECRET-echo", { status })),
    ]),
  ),
  "a web page after a redirect": () =>
    Promise.resolve(
      Object.defineProperties(new Response("", { headers: { "Content-Type": "text/html" } }), {
        redirected: { value: true },
        url: { value: "https://u:SECRET@a.test/login?code=SECRET" },
      }),
    ),
  "an error": (url, init) => Promise.reject(refuse(url, init)),
  "an error of its own": (url, init) =>
    Promise.reject(Object.assign(new Error("no", { cause: refuse(url, init) }), { url, init })),
  "a text": (url, init) => Promise.reject(String(refuse(url, init))), // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors -- as callers may
  "an object": (url, init) => Promise.reject({ url, init }), // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors -- as callers may
  "at once": (url, init) => {
    throw new RangeError(refuse(url, init).message);
  },
  nothing: () => Promise.resolve(undefined as never),
  "an opaque answer": () =>
    Promise.resolve(Object.defineProperty(new Response(), "type", { value: "opaque" })),
  "a body that is read": async () => {
    const answer = new Response("a");
    await answer.text();
    return answer;
  },
  "a body that breaks off": (url, init) =>
    Promise.resolve(
      new Response(new ReadableStream({ start: (stream) => stream.error(refuse(url, init)) })),
    ),
  "a body of texts": () =>
    Promise.resolve(new Response(new ReadableStream({ start: (stream) => stream.enqueue("a") }))),
  ...Object.fromEntries(
    ["{}", "[]", "null", '{"schema_version": 99}', '{"schema_version": 1}', "SECRET"].map(
      (text) => [`the text ${text}`, () => Promise.resolve(new Response(text))],
    ),
  ),
};

/** Everything that people get to see of an error. */
function seen(error: unknown): string {
  const shown = [inspect(error, { depth: 12, showHidden: true })];
  for (let each = error; each instanceof Error && shown.length < 40; each = each.cause) {
    shown.push(each.message, String(each.stack), String((each as Partial<WsdError>).hint));
  }
  return shown.join("\n");
}

describe("no secret is in an error or on the console", () => {
  let logged: string[] = [];

  beforeEach(() => {
    logged = [];
    for (const level of ["debug", "info", "warn", "error"] as const) {
      vi.spyOn(console, level).mockImplementation((...words) => logged.push(inspect(words)));
    }
    setLogLevel("debug");
    // A browser without a store, whose pauses are over at once.
    vi.stubGlobal("document", { baseURI: "https://page.test/" });
    vi.stubGlobal("location", new URL("https://page.test/"));
    vi.stubGlobal("origin", "https://page.test");
    vi.stubGlobal("navigator", {});
    vi.stubGlobal("setTimeout", (work: () => void) => setImmediate(work));
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
    setLogLevel("warn");
  });

  const ADDRESSES = [
    "https://a.test/SECRETS/../manifest.json?sig=SECRET-query%2F1&e=SECRET2#SECRET-part",
    "/manifest?SECRET-query",
    "https://user:SECRET-password@a.test/manifest.json?a=SECRET-query",
    "file:///m/?SECRET-query",
  ];
  const OPTIONS = {
    headers: { Authorization: "Bearer SECRET-token", "X-Api-Key": "SECRET-key" },
    credentials: "include",
  } as const;

  describe.each(Object.entries(ANSWERS))("%s", (_, answer) => {
    test.each(ADDRESSES)("of %s", async (address) => {
      for (const call of [preflight, listModels]) {
        // Node.js fetches as a browser does: what it throws comes from the stub.
        vi.stubGlobal("fetch", answer);
        for (const fetch of [undefined, answer]) {
          const failure: unknown = await call(address, { ...OPTIONS, fetch }).catch(
            (error: unknown) => error,
          );
          expect(failure).toBeInstanceOf(WsdError);
          expect(seen(failure)).not.toMatch(/SECRET(?!S)/);
        }
      }
      expect(logged.join("\n")).not.toMatch(/SECRET(?!S)/);
    });
  });

  test("of options that are not valid", async () => {
    const odd = "SECRET\n\u0000x";
    const headers: unknown[] = [
      { Authorization: `Bearer ${odd}` },
      { [`Bearer ${odd}`]: "" },
      [["Authorization", odd]],
      [["Authorization: SECRET"]],
      [[`Authorization: SECRET`, ""]],
      ["SECRET"],
      "Bearer SECRET",
      { a: "b", "X-Key": "SECRET\u4e00" },
    ];
    const all = [...headers.map((each) => ({ headers: each })), { credentials: "SECRET-user" }];
    for (const options of all) {
      const failure: unknown = await preflight("m/", options as object).catch((e: unknown) => e);
      expect(failure).toMatchObject({ name: "OptionError" });
      expect(seen(failure)).not.toContain("SECRET");
    }
    const failure: unknown = await preflight("m/", { headers: { "X-Key": odd } }).catch(
      (e: unknown) => e,
    );
    expect((failure as WsdError).message).toContain("X-Key");
  });

  test.each(["http://?sig=SECRET", "https://u:SECRET@", "https://u:SECRET@a.test/", "blob:SECRET"])(
    "of the address %s",
    (address) => {
      const said: string[] = [];
      for (const make of [manifestAddress, (given: string) => startWorker({ workerUrl: given })]) {
        try {
          make(address);
        } catch (error) {
          said.push(seen(error));
        }
      }
      expect(said.length).toBeGreaterThan(0);
      expect(said.join("\n")).not.toContain("SECRET");
    },
  );

  test("of a worker's script that does not run", async () => {
    const workerUrl = "https://u:SECRET@cdn.test/worker.js?key=SECRET-query";
    const refused = (name: string) =>
      function () {
        throw new DOMException(`Script at '${workerUrl}' cannot be accessed`, name);
      };
    for (const name of ["SecurityError", "TypeError"]) {
      vi.stubGlobal("Worker", refused(name));
      expect(() => startWorker({ workerUrl })).toThrow(/does not allow/);
      try {
        startWorker({ workerUrl });
      } catch (error) {
        expect(seen(error)).not.toContain("SECRET");
      }
    }
    vi.stubGlobal("Worker", EventTarget);
    const types = ["text/html", "text/javascript", "", "application/wasm"];
    const answers: FetchFunction[] = [
      (url, init) => Promise.reject(refuse(url, init)),
      () => Promise.resolve(new Response("", { status: 403 })),
      ...types.map((type) => () => Promise.resolve(new Response("", { headers: { "Content-Type": type } }))), // prettier-ignore
    ];
    for (const answer of answers) {
      vi.stubGlobal("fetch", answer);
      for (const message of [undefined, `Failed to load ${workerUrl}`]) {
        const { worker, failed } = startWorker({ workerUrl });
        worker.dispatchEvent(Object.assign(new Event("error"), { message }));
        const failure: unknown = await failed.catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(WsdError);
        expect(seen(failure)).not.toContain("SECRET");
      }
    }
  });
});
