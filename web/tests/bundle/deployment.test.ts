/** From the configuration of a page on tvmjs to the bundle beside it. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { listModels } from "../../src/api/model_index";
import { preflight } from "../../src/api/preflight";
import { FetchError, IntegrityError } from "../../src/util/errors";
import type { Answer } from "../server";
import { withServer } from "../server";

const MANIFEST = readFileSync("../tests/fixtures/manifest-v2.json", "utf8");
const digest = (text: string): string =>
  `sha384-${createHash("sha384").update(text).digest("base64")}`;
const INDEX = JSON.stringify([
  { name: "m", title: "M", dtype: "f32", manifest: "m/", integrity: digest(MANIFEST) },
]);
/** As WSD writes it. */
const WRITTEN = {
  model_lib_map: { "Stable-Diffusion-1.5": "dist/stable_diffusion_webgpu.wasm" },
  param_dict: { "Stable-Diffusion-1.5": "web-sd-shards-v1-5/" },
  models: "models/index.json",
  integrity: digest(INDEX),
};
/** As the first version of the original had it. */
const ORIGINAL = {
  schedulerConstUrl: "dist/scheduler_consts.json",
  wasmUrl: "dist/stable_diffusion_webgpu.wasm",
  cacheUrl: "dist/webgpu-sd-v1-5/",
};

beforeEach(() => {
  vi.stubGlobal("document", { baseURI: "http://127.0.0.1/" });
  vi.stubGlobal("navigator", {});
});

afterEach(() => vi.unstubAllGlobals());

/** A site with a configuration, and with the files that are given. */
function site(config: object, files: Record<string, string>): Answer[] {
  return [
    ({ url }, response) => {
      response.setHeader("Content-Type", "application/json");
      const text = url!.startsWith("/site/stable-diffusion-config.json")
        ? JSON.stringify(config)
        : files[url!.replace(/\?.*/, "")];
      if (text === undefined) response.writeHead(404).end();
      else response.end(text);
    },
  ];
}

const BUNDLE = { "/site/models/index.json": INDEX, "/site/models/m/manifest.json": MANIFEST };

test.each([
  ["that WSD wrote", WRITTEN],
  ["of the original, beside which a bundle lies", ORIGINAL],
])("a configuration %s leads to the bundle", async (_name, config) => {
  await withServer(site(config, BUNDLE), async (address) => {
    const url = `${address}site/stable-diffusion-config.json?sig=1`;
    const manifest = `${address}site/models/m/manifest.json?sig=1`;
    const [model] = await listModels(url);
    expect(model!.variants).toEqual([{ dtype: "f32", manifest, integrity: digest(MANIFEST) }]);
    const found = await preflight(url);
    expect(found.manifestUrl).toBe(manifest);
    expect(found.integrity).toBe(digest(MANIFEST));
    expect(found.manifest.model.name).toBe("tiny-sdxl");
  });
});

test("the list must have the digest that the configuration states", async () => {
  const altered = { ...BUNDLE, "/site/models/index.json": INDEX.replace('"M"', '"N"') };
  await withServer(site(WRITTEN, altered), async (address) => {
    const url = `${address}site/stable-diffusion-config.json`;
    await expect(listModels(url)).rejects.toThrow(IntegrityError);
    await expect(preflight(url)).rejects.toThrow(IntegrityError);
  });
});

test("the configuration itself can be given a digest", async () => {
  await withServer(site(WRITTEN, BUNDLE), async (address) => {
    const url = `${address}site/stable-diffusion-config.json`;
    const integrity = digest(JSON.stringify(WRITTEN));
    expect((await preflight(url, { integrity })).integrity).toBe(digest(MANIFEST));
    await expect(preflight(url, { integrity: digest("x") })).rejects.toThrow(IntegrityError);
  });
});

test("where no bundle lies, the error says what the file is and what to do", async () => {
  await withServer(site(ORIGINAL, {}), async (address) => {
    const failure = listModels(`${address}site/stable-diffusion-config.json`);
    await expect(failure).rejects.toThrow(FetchError);
    await expect(failure).rejects.toThrow(/is the configuration of a page on tvmjs/);
    await expect(failure).rejects.toHaveProperty("hint", expect.stringContaining("--layout"));
  });
});

test.each(["../other/index.json", "https://evil.test/index.json", "//evil.test/i.json", 7])(
  "a list elsewhere is not asked for: %j",
  async (models) => {
    await withServer(site({ ...WRITTEN, models }, BUNDLE), async (address, requests) => {
      const [model] = await listModels(`${address}site/stable-diffusion-config.json`);
      expect(model!.name).toBe("m");
      expect(requests[1]!.url).toBe("/site/models/index.json");
    });
  },
);
