/** Which script addresses the policy of Trusted Types accepts, from whom it may be. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

const SHARED = Symbol.for("web-stable-diffusion.trusted-types-policy");

interface Policy {
  createScriptURL: (url: string) => unknown;
}
type Scope = typeof globalThis & { [SHARED]?: Policy };

/** An address that a policy accepted. */
class TrustedScriptUrl {
  constructor(readonly text: string) {}
}

/** A browser's Trusted Types, whose header allows a policy's name once, or again and again. */
function stubTypes(allowsDuplicates = false): void {
  let made = 0;
  vi.stubGlobal("trustedTypes", {
    createPolicy(name: string, rules: Policy): Policy {
      expect(name).toBe("wsd");
      if (made++ > 0 && !allowsDuplicates) throw new TypeError("a policy of that name exists");
      return {
        createScriptURL: (url) => new TrustedScriptUrl(rules.createScriptURL(url) as string),
      };
    },
  });
}

/** Another copy of the package's module. */
async function copy(): Promise<typeof import("../../src/worker/trusted_types")> {
  vi.resetModules();
  return import("../../src/worker/trusted_types");
}

const shared = (): Policy => (globalThis as Scope)[SHARED]!;
const blob = (code: string): string => URL.createObjectURL(new Blob([code]));

beforeEach(() => {
  vi.stubGlobal("location", new URL("https://page.test/app/"));
  vi.stubGlobal("origin", "https://page.test");
  vi.stubGlobal(SHARED, undefined);
  // Addresses that are made here have no origin, as a page's have.
  vi.spyOn(URL, "createObjectURL").mockImplementation(() => `blob:https://page.test/${++blobs}`);
});
let blobs = 0;

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test.each(["https://page.test/assets/worker.js?v=1", "/sw.js", "sw.js"])(
  "a file of the page is accepted: %s",
  async (url) => {
    stubTypes();
    const { scriptUrl } = await copy();
    const absolute = new URL(url, "https://page.test/app/");
    expect(scriptUrl(absolute)).toEqual(new TrustedScriptUrl(absolute.href));
    expect(shared().createScriptURL(url)).toEqual(new TrustedScriptUrl(url));
  },
);

test.each([
  () => blob("steal()"),
  () => "filesystem:https://page.test/temporary/a.js",
  () => "https://cdn.test/worker.js",
  () => "http://page.test/worker.js",
  () => "https://page.test:8443/worker.js",
  () => "data:text/javascript,steal()",
  () => "javascript:steal()",
])("another script of the page gets nothing else accepted: %s", async (make) => {
  stubTypes();
  const { relayUrl, scriptUrl } = await copy();
  const relay = relayUrl(new URL("https://cdn.test/worker.js")) as unknown as TrustedScriptUrl;
  const url = make();
  expect(() => shared().createScriptURL(url)).toThrow(TypeError);
  expect(() => shared().createScriptURL(`${relay.text}1`)).toThrow(TypeError);
  // What is not accepted is left to the browser, which takes it where no types are required.
  if (URL.canParse(url)) expect(scriptUrl(new URL(url))).toBeInstanceOf(URL);
});

test("a page without an origin gets no data: address accepted", async () => {
  vi.stubGlobal("origin", "null");
  stubTypes();
  const { scriptUrl } = await copy();
  scriptUrl(new URL("https://page.test/worker.js"));
  expect(() => shared().createScriptURL("data:text/javascript,steal()")).toThrow(TypeError);
});

test("the package's own relay is accepted", async () => {
  stubTypes();
  const { relayUrl } = await copy();
  const url = relayUrl(new URL('https://cdn.test/a"b.js'));
  expect(url).toBeInstanceOf(TrustedScriptUrl);
});

test("a second copy uses the first one's policy for files, and its own for a relay", async () => {
  const file = new URL("https://page.test/worker.js");
  const script = new URL("https://cdn.test/worker.js");
  for (const allowsDuplicates of [true, false]) {
    vi.stubGlobal(SHARED, undefined);
    stubTypes(allowsDuplicates);
    (await copy()).scriptUrl(file);
    const first = shared();
    const second = await copy();
    expect(second.scriptUrl(file)).toBeInstanceOf(TrustedScriptUrl);
    const relay = second.relayUrl(script);
    if (allowsDuplicates) expect(relay).toBeInstanceOf(TrustedScriptUrl);
    else expect(relay).toBeInstanceOf(URL);
    expect(shared()).toBe(first);
  }
});

test("a policy that the page refuses is asked for once", async () => {
  const createPolicy = vi.fn(() => {
    throw new TypeError("the policy is not allowed");
  });
  vi.stubGlobal("trustedTypes", { createPolicy });
  const { relayUrl, scriptUrl } = await copy();
  const file = new URL("https://page.test/worker.js");
  expect([scriptUrl(file), scriptUrl(file)]).toEqual([file, file]);
  expect(relayUrl(new URL("https://cdn.test/worker.js"))).toBeInstanceOf(URL);
  expect(createPolicy).toHaveBeenCalledTimes(1);
});

test("a browser without Trusted Types takes addresses as they are", async () => {
  const { relayUrl, scriptUrl } = await copy();
  const file = new URL("https://page.test/worker.js");
  expect(scriptUrl(file)).toBe(file);
  expect(relayUrl(new URL("https://cdn.test/worker.js")).protocol).toBe("blob:");
});
