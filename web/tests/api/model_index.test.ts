/** The chain from a list's digest to a model, as programs follow it without a page. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IntegrityError, OptionError } from "../../src/util/errors";
import { chooseVariant, listModels } from "../../src/api/model_index";
import { preflight } from "../../src/api/preflight";
import type { FetchFunction } from "../../src/api/load_options";
import type { Manifest } from "../../src/bundle/manifest";
import type { Answer } from "../server";
import { withServer } from "../server";

const MANIFEST = readFileSync("../tests/fixtures/manifest-v2.json", "utf8");

beforeEach(() => {
  // A browser without a GPU and without a store.
  vi.stubGlobal("document", { baseURI: "http://127.0.0.1/" });
  vi.stubGlobal("navigator", {});
});

afterEach(() => vi.unstubAllGlobals());

function digest(text: string): string {
  return `sha384-${createHash("sha384").update(text).digest("base64")}`;
}

function list(manifest: string): string {
  const entry = { name: "m", title: "M", dtype: "f32", manifest: "m/" };
  return JSON.stringify([{ ...entry, integrity: digest(manifest) }]);
}

/** A server of a list and a manifest. */
function files(index: string, manifest: string): Answer {
  return ({ url }, response) => {
    response.setHeader("Content-Type", "application/json");
    response.end(url === "/index.json" ? index : manifest);
  };
}

test("what the list's digest leads to is taken", async () => {
  const index = list(MANIFEST);
  await withServer([files(index, MANIFEST)], async (address) => {
    const [model] = await listModels(`${address}index.json`, { integrity: digest(index) });
    expect(model!.variants).toEqual([
      { dtype: "f32", manifest: `${address}m/manifest.json`, integrity: digest(MANIFEST) },
    ]);
    const { manifest, integrity, problems } = await chooseVariant(model!);
    expect(manifest.model.name).toBe("tiny-sdxl");
    expect(integrity).toBe(digest(MANIFEST));
    expect(problems.map(({ message }) => message)).toEqual(["this browser has no WebGPU"]);
  });
});

test("an altered list is refused, and so is an altered manifest", async () => {
  const manifest = JSON.parse(MANIFEST) as Manifest;
  const alphas_cumprod = manifest.noise_schedule.alphas_cumprod.map((alpha) => alpha / 2);
  const noise_schedule = { ...manifest.noise_schedule, alphas_cumprod };
  const altered = JSON.stringify({ ...manifest, noise_schedule });
  const index = list(MANIFEST);
  await withServer([files(list(altered), altered)], async (address) => {
    const failure = listModels(`${address}index.json`, { integrity: digest(index) });
    await expect(failure).rejects.toThrow(IntegrityError);
  });
  await withServer([files(index, altered)], async (address) => {
    const [model] = await listModels(`${address}index.json`, { integrity: digest(index) });
    await expect(chooseVariant(model!)).rejects.toThrow(IntegrityError);
  });
});

test("a digest that cannot be read is refused before anything is fetched", async () => {
  await withServer([files(list(MANIFEST), MANIFEST)], async (address, requests) => {
    await expect(listModels(`${address}index.json`, { integrity: "md5-1" })).rejects.toThrow(
      OptionError,
    );
    expect(requests.length).toBe(0);
  });
});

test("the caller's headers and the list's query reach every request", async () => {
  const index = list(MANIFEST);
  const answer: Answer = ({ url }, response) => {
    response.setHeader("Content-Type", "application/json");
    response.end(url!.startsWith("/models/index.json") ? index : MANIFEST);
  };
  await withServer([answer], async (address, requests) => {
    const asked: string[] = [];
    const fetch: FetchFunction = (url, init) => {
      asked.push(url);
      return globalThis.fetch(url, init);
    };
    const [model] = await listModels(`${address}?sig=a%2Fb`, { fetch });
    await chooseVariant(model!, { fetch, headers: { "X-A": "1" } });
    const [first, second] = asked;
    expect(first).toBe(`${address}models/index.json?sig=a%2Fb`);
    expect(second).toBe(`${address}models/m/manifest.json?sig=a%2Fb`);
    expect(requests.map(({ headers }) => headers["x-a"])).toEqual([undefined, "1"]);
  });
});

test("without digests a bundle is taken as it is", async () => {
  const before = JSON.stringify([{ name: "m", title: "M", dtype: "f32", manifest: "m/" }]);
  await withServer([files(before, MANIFEST)], async (address) => {
    const [model] = await listModels(`${address}index.json`);
    expect((await chooseVariant(model!)).integrity).toBeUndefined();
  });
});

test("where the list says that pictures are checked, the safety checker is counted", async () => {
  const manifest = JSON.parse(MANIFEST) as Manifest;
  const [checker] = Object.values(manifest.components);
  const shards = [{ file: "c.bin", bytes: 600, sha256: "c".repeat(64) }];
  const components = {
    ...manifest.components,
    safety_checker: { ...checker, role: "safety_checker", shards },
  };
  const text = JSON.stringify({ ...manifest, components });
  const entry = { name: "m", title: "M", dtype: "f32", manifest: "m/" };
  const index = JSON.stringify([{ ...entry, safety_checker: true }]);
  await withServer([files(index, text)], async (address) => {
    const [model] = await listModels(`${address}index.json`);
    const [variant] = model!.variants;
    const unchecked = await preflight(variant.manifest);
    const chosen = await chooseVariant(model!);
    expect([unchecked.safetyChecker, chosen.safetyChecker]).toEqual([false, true]);
    expect(chosen.bytes.total).toBe(unchecked.bytes.total + 600);
    const options = { safetyChecker: true } as object;
    await expect(listModels(`${address}index.json`, options)).rejects.toThrow(
      'listModels has no option "safetyChecker"',
    );
  });
});

test("a model that guides itself takes no negative prompt, and any other does", async () => {
  const manifest = JSON.parse(MANIFEST) as Manifest;
  for (const guides of [false, true]) {
    const inputs = guides ? [{ name: "timestep_cond", shape: [1, 256], dtype: "float32" }] : [];
    const entry_points = manifest.entry_points.map((entry) => ({
      ...entry,
      inputs: [...entry.inputs, ...(entry.role === "denoiser" ? inputs : [])],
    }));
    const text = JSON.stringify({ ...manifest, entry_points });
    await withServer([files("", text)], async (address) => {
      const found = await preflight(`${address}m/manifest.json`);
      expect(found.takesNegativePrompt).toBe(!guides);
    });
  }
});
