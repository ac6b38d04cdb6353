/** Where nothing of WSD can run: each public function says so, and nothing else. */

import { afterEach, describe, expect, test, vi } from "vitest";

import { checkEnvironment } from "../../src/api/environment";
import * as wsd from "../../src/index";
import { UnsupportedError } from "../../src/util/errors";

const ADDRESS = "https://a.test/manifest.json";
const CALLS: Record<string, () => Promise<unknown>> = {
  preflight: () => wsd.preflight(ADDRESS),
  listModels: () => wsd.listModels(ADDRESS),
  chooseVariant: () =>
    wsd.chooseVariant({ name: "", title: "", variants: [{ dtype: "", manifest: ADDRESS }] }),
  fromPretrained: () => wsd.StableDiffusionPipeline.fromPretrained(ADDRESS),
  listKept: () => wsd.listKept(),
  isKept: () => wsd.isKept(ADDRESS),
  purge: () => wsd.StableDiffusionPipeline.purge(ADDRESS),
  purgeAll: () => wsd.purgeAll(),
};

afterEach(() => vi.unstubAllGlobals());

describe.each(Object.keys(CALLS))("%s", (name) => {
  test("in Node.js", async () => {
    const failure = CALLS[name]!();
    await expect(failure).rejects.toThrow(UnsupportedError);
    await expect(failure).rejects.toMatchObject({
      message: expect.stringContaining("not a browser") as string,
      hint: expect.stringContaining("use client") as string,
    });
  });

  test("on a page of plain http", async () => {
    vi.stubGlobal("location", new URL("http://lan.test/app"));
    vi.stubGlobal("isSecureContext", false);
    vi.stubGlobal("crypto", {});
    await expect(CALLS[name]!()).rejects.toMatchObject({
      name: "UnsupportedError",
      message: expect.stringContaining("http://lan.test") as string,
      hint: expect.stringContaining("https or from localhost") as string,
    });
  });
});

test("a browser that does not say whether the page is secure, and has digests, is one", () => {
  vi.stubGlobal("location", new URL("http://lan.test/app"));
  expect(checkEnvironment).not.toThrow();
});
