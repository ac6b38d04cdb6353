/** The chain from a list's digest to a model, as programs follow it without a page. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IntegrityError, OptionError } from "../../src/util/errors";
import type { Choice, ChooseOptions } from "../../src/api/model_index";
import { chooseVariant, listModels } from "../../src/api/model_index";
import { preflight } from "../../src/api/preflight";
import type { FetchFunction } from "../../src/api/load_options";
import type { Manifest, Rule } from "../../src/bundle/manifest";
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

/** Serve a model in two precisions, of which the first needs what the GPU lacks; choose one. */
async function chooseOfTwo(options: ChooseOptions, changes: Partial<Manifest> = {}) {
  const manifest = { ...(JSON.parse(MANIFEST) as Manifest), ...changes };
  const lacking = { ...manifest.requires, features: ["shader-f16"] };
  const model = { ...manifest.model, dtype: "f16" as const };
  const f16 = { ...manifest, model, requires: changes.requires ?? lacking };
  const entry = { name: "m", title: "M" };
  const index = JSON.stringify([
    { ...entry, dtype: "f16", manifest: "f16/" },
    { ...entry, dtype: "f32", manifest: "f32/" },
  ]);
  const limits = Object.fromEntries(
    [...Object.keys(lacking.limits), "maxBufferSize", "maxStorageBufferBindingSize"].map((name) => [
      name,
      2 ** 30,
    ]),
  );
  const adapter = { features: new Set(), limits, info: { vendor: "acme" } };
  vi.stubGlobal("navigator", { gpu: { requestAdapter: () => Promise.resolve(adapter) } });
  const answer: Answer = ({ url }, response) => {
    response.setHeader("Content-Type", "application/json");
    if (url === "/index.json") response.end(index);
    else response.end(JSON.stringify(url!.includes("f16") ? f16 : manifest));
  };
  let found: Choice | undefined;
  await withServer([answer], async (address) => {
    const [model] = await listModels(`${address}index.json`);
    found = await chooseVariant(model!, options);
  });
  return found!;
}

test("the first precision that no rule refuses is chosen", async () => {
  const { variant, refusedBy, passedOver } = await chooseOfTwo({});
  expect([variant.dtype, refusedBy]).toEqual(["f32", undefined]);
  expect(passedOver.map(({ problem }) => problem.message)).toEqual([
    "the GPU lacks the WebGPU feature shader-f16",
  ]);
});

test("a rule of the bundle decides, and is named where the GPU lacks nothing", async () => {
  const rule: Rule = {
    name: "not-on-acme",
    reason: "it computes wrongly",
    when: [
      { fact: "adapter.vendor", test: "is", value: "acme" },
      { fact: "candidate.name", test: "is", value: "f16" },
    ],
  };
  const selection = { kernels: [], precisions: [rule] };
  const requires = { features: [], limits: {} };
  const { variant, passedOver } = await chooseOfTwo({}, { selection, requires });
  expect(variant.dtype).toBe("f32");
  expect(passedOver.map(({ problem }) => problem.message)).toEqual([
    "the bundle's rule not-on-acme passes f16 over on this GPU: it computes wrongly",
  ]);
  const ignored = await chooseOfTwo({ ignoredRules: "not-on-acme" }, { selection, requires });
  expect([ignored.variant.dtype, ignored.refusedBy]).toEqual(["f16", undefined]);
});

test("what a third text encoder takes counts, unless it is left out", async () => {
  const plain = await chooseOfTwo({ textEncoder3: false });
  expect(plain.textEncoder3).toBeUndefined();
  const { conditioning, components } = JSON.parse(MANIFEST) as Manifest;
  const third = { conditioning: { ...conditioning, optional: ["text_encoder_2"] } };
  const whole = await chooseOfTwo({}, third);
  const without = await chooseOfTwo({ textEncoder3: false }, third);
  expect([whole.textEncoder3, without.textEncoder3]).toEqual([true, false]);
  // Its tokenizer counts too.
  const { bytes } = components.text_encoder_2!;
  expect(whole.bytes.total - without.bytes.total).toBeGreaterThan(bytes);
});

test("support cases take a precision, or ignore the rule that refuses it", async () => {
  const forced = await chooseOfTwo({ dtype: "f16" });
  expect([forced.variant.dtype, forced.refusedBy?.name]).toEqual(["f16", "model-features"]);
  // What the GPU lacks is said all the same.
  const { variant, problems } = await chooseOfTwo({ ignoredRules: "model-features" });
  expect([variant.dtype, problems.length]).toEqual(["f16", 1]);
});

test.each([{ dtype: "f64" }, { ignoredRules: "model-feature" }, { dtype: "" }])(
  "names that do not exist are refused: %j",
  async (options) => {
    const failure = chooseOfTwo(options);
    await expect(failure).rejects.toThrow(OptionError);
    await expect(failure).rejects.toHaveProperty(
      "hint",
      expect.stringMatching(/f16|model-features/),
    );
  },
);
