/** Where the worker's script is, and what is said of one that does not start. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { startWorker } from "../../src/api/start_worker";
import { WsdError } from "../../src/util/errors";
import type { Answer } from "../server";
import { status, whole, withServer } from "../server";

/** A worker whose events a test sends. */
class SilentWorker extends EventTarget {
  static made: { url: string; options: WorkerOptions | undefined }[] = [];
  readonly postMessage = (): void => undefined;
  readonly terminate = (): void => undefined;

  constructor(url?: string | URL, options?: WorkerOptions) {
    super();
    SilentWorker.made.push({ url: String(url), options });
  }
}

const made = (): string[] => SilentWorker.made.map(({ url }) => url);

beforeEach(() => {
  SilentWorker.made = [];
  vi.stubGlobal("Worker", SilentWorker);
  vi.stubGlobal("WORKER_URL", "https://page.test/assets/worker.js");
  vi.stubGlobal("location", new URL("https://page.test/app/"));
  vi.stubGlobal("origin", "https://page.test");
});

afterEach(() => vi.unstubAllGlobals());

/** Return message and hint of why a worker did not start. */
async function failure(event: Event, options: Parameters<typeof startWorker>[0]): Promise<string> {
  const { worker, failed } = startWorker(options);
  worker.dispatchEvent(event);
  const error: unknown = await failed.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(WsdError);
  const { name, message, hint } = error as WsdError;
  return `${name}: ${message} | ${hint}`;
}

describe("the script", () => {
  test("is a module, where the bundler says", () => {
    startWorker();
    expect(SilentWorker.made).toEqual([
      { url: "https://page.test/assets/worker.js", options: { type: "module" } },
    ]);
  });

  test("is where the caller says, relative to the page", () => {
    startWorker({ workerUrl: "../worker.js" });
    startWorker({ workerUrl: new URL("https://page.test/w.js") });
    expect(made()).toEqual(["https://page.test/worker.js", "https://page.test/w.js"]);
  });

  test("of another origin is imported by one of this page", async () => {
    startWorker({ workerUrl: 'https://cdn.test/a"b.js' });
    const [url] = made();
    expect(url).toMatch(/^blob:/);
    expect(await (await fetch(url!)).text()).toBe('import "https://cdn.test/a%22b.js";\n');
  });

  test("whose address a bundler wrote relative to the page is found", () => {
    /** What Turbopack puts in place of an address beside a module. */
    class RelativeUrl extends URL {
      private readonly written: string | undefined;

      constructor(url: string | URL, base?: string | URL) {
        super(url, base);
        if (base === undefined || !String(base).startsWith("file:")) return;
        this.written = "/_next/static/media/worker.123.js";
      }

      override get href(): string {
        return this.written ?? super.href;
      }
    }
    vi.stubGlobal("URL", RelativeUrl);
    startWorker();
    expect(made()).toEqual(["https://page.test/_next/static/media/worker.123.js"]);
  });

  test.each([
    ["file:///home/me/node_modules/web-stable-diffusion/dist/worker.js", "is not an address"],
    ["http://", "not known"],
  ])("whose address a bundler left as it was is named: %s", (written, said) => {
    vi.stubGlobal("WORKER_URL", written);
    expect(() => startWorker()).toThrow(said);
    expect(made()).toEqual([]);
    startWorker({ workerUrl: "/worker.js" });
    expect(made()).toEqual(["https://page.test/worker.js"]);
  });
});

describe("a given worker", () => {
  test("is taken, once", () => {
    const worker = new SilentWorker() as unknown as Worker;
    expect(startWorker({ worker }).worker).toBe(worker);
    expect(() => startWorker({ worker })).toThrow(/belongs to another pipeline/);
    expect(() => startWorker({ worker: () => worker })).toThrow(/belongs to another pipeline/);
  });

  test("can be made by a function, again and again", () => {
    const worker = (): Worker => new SilentWorker() as unknown as Worker;
    expect(startWorker({ worker }).worker).not.toBe(startWorker({ worker }).worker);
  });

  test.each([{}, "worker.js", null, () => null, () => Promise.resolve(new SilentWorker())])(
    "%o is none",
    (worker) => {
      expect(() => startWorker({ worker: worker as never })).toThrow(/worker is not a Worker/);
    },
  );

  test("and an address are too much", () => {
    const worker = (): Worker => new SilentWorker() as unknown as Worker;
    expect(() => startWorker({ worker, workerUrl: "a.js" })).toThrow(/one of the two|both/);
  });
});

describe("a worker that does not start", () => {
  /** An answer of a type, without a body. */
  const typed = (type: string): Answer => whole(new Uint8Array(), type);

  test.each<[string, Answer, RegExp]>([
    ["is missing", status(404), /FetchError.*answered 404.*optimizeDeps.*workerUrl/],
    ["is a web page", typed("text/html"), /FetchError.*a web page, not the worker.*workerUrl/],
    ["is of another type", typed("application/wasm"), /application\/wasm.*text\/javascript/],
    ["is a script", typed("text/javascript"), /could not be run.*worker-src blob: http/],
  ])("because its script %s", async (_, answer, said) => {
    await withServer([answer], async (address) => {
      const workerUrl = `${address}worker.js`;
      expect(await failure(new Event("error"), { workerUrl })).toMatch(said);
      vi.stubGlobal("origin", new URL(address).origin);
      if (!said.source.includes("blob")) {
        expect(await failure(new Event("error"), { workerUrl })).toMatch(said);
        return;
      }
      expect(await failure(new Event("error"), { workerUrl })).toMatch(/module workers/);
      vi.stubGlobal("crossOriginIsolated", true);
      expect(await failure(new Event("error"), { workerUrl })).toMatch(/Embedder-Policy/);
      vi.stubGlobal("origin", "null");
      expect(await failure(new Event("error"), { workerUrl })).toMatch(/allow-same-origin/);
    });
  });

  test("because there is no server", async () => {
    const workerUrl = "http://127.0.0.1:1/worker.js";
    expect(await failure(new Event("error"), { workerUrl })).toMatch(
      /could not be fetched.*Access-Control-Allow-Origin: https:\/\/page\.test/,
    );
    vi.stubGlobal("origin", "http://127.0.0.1:1");
    expect(await failure(new Event("error"), { workerUrl })).toMatch(/reload the page/);
  });

  test("says what the browser says, where it does", async () => {
    const event = Object.assign(new Event("error"), { message: "SyntaxError: #" });
    expect(await failure(event, {})).toMatch(/UnsupportedError.*SyntaxError: #.*current version/);
  });

  test("may be the caller's own", async () => {
    const worker = (): Worker => new SilentWorker() as unknown as Worker;
    expect(await failure(new Event("error"), { worker })).toMatch(/could not read its script/);
  });

  test("because the browser refuses it, or has none", () => {
    const refuse = (error: Error): void =>
      void vi.stubGlobal("Worker", function () { throw error; }); // prettier-ignore
    refuse(new DOMException("no", "SecurityError"));
    expect(() => startWorker()).toThrow(/does not allow this worker/);
    refuse(new TypeError("This document requires 'TrustedScriptURL' assignment."));
    expect(() => startWorker()).toThrow(/requires Trusted Types/);
    vi.unstubAllGlobals();
    expect(() => startWorker()).toThrow(/gives no workers here/);
  });

  test("but is silent, is given up in minutes", async () => {
    vi.useFakeTimers();
    const { failed } = startWorker();
    const heard = startWorker();
    heard.worker.dispatchEvent(new Event("message"));
    const states: string[] = [];
    failed.catch((error: unknown) => states.push((error as Error).message));
    heard.failed.catch(() => states.push("heard"));
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    vi.useRealTimers();
    expect(states).toEqual([expect.stringContaining("does not answer")]);
  });
});

test("a worker that stops later says to call again", async () => {
  for (const event of [new Event("error"), new Event("messageerror")]) {
    const { worker, failed } = startWorker();
    worker.dispatchEvent(new Event("message"));
    worker.dispatchEvent(event);
    await expect(failed).rejects.toMatchObject({
      name: "WsdError",
      hint: expect.stringContaining("call again") as string,
    });
  }
});
