import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { compiledSizes, drawingFiles, findEntryPoint, parseIndex } from "../../src/bundle/manifest";
import { parseManifest } from "../../src/bundle/manifest";
import type { ComponentEntry, FileEntry, Manifest } from "../../src/bundle/manifest";
import { isName } from "../../src/bundle/paths";
import { SCHEMA_VERSION } from "../../src/util/constants.generated";
import { FetchError } from "../../src/util/errors";

// The same manifest of version 1 and of version 2; tests of Python read them too.
const VERSION_1 = readFileSync("../tests/fixtures/manifest-v1.json", "utf8");
const VERSION_2 = readFileSync("../tests/fixtures/manifest-v2.json", "utf8");

test("a manifest of a newer version is refused, and the hint says what to do", () => {
  const newer = JSON.stringify({ schema_version: SCHEMA_VERSION + 1 });
  expect(() => parseManifest(newer, "m.json")).toThrow(FetchError);
  expect(() => parseManifest(newer, "m.json")).toThrow(/version 3, this page reads 1 to 2/);
  try {
    parseManifest(newer, "m.json");
  } catch (error) {
    expect((error as FetchError).hint).toMatch(/reload the page, or rebuild the bundle/);
  }
});

test("what is not JSON is refused by address", () => {
  expect(() => parseManifest("<html>", "m.json")).toThrow(/m\.json is not JSON/);
  expect(() => parseManifest('{"schema_version":99}', "m.json")).toThrow(
    /m\.json has schema version 99/,
  );
});

describe("version 1", () => {
  test("is upgraded to what Python upgrades it to", () => {
    const upgraded = parseManifest(VERSION_1, "m.json");
    expect(upgraded).toEqual(JSON.parse(VERSION_2));
  });

  test("the negative prompt of SD 1.5 is encoded", () => {
    const text = VERSION_1.replace(
      '"force_zeros_for_empty_prompt": true',
      '"force_zeros_for_empty_prompt": false',
    );
    expect(parseManifest(text, "m.json").conditioning.empty_negative).toBe("encode");
  });

  test("a manifest that lacks something is refused", () => {
    expect(() => parseManifest('{"schema_version": 1}', "m.json")).toThrow(FetchError);
    expect(() => parseManifest('{"schema_version": 1}', "m.json")).toThrow(
      /m\.json is not a manifest of version 1/,
    );
  });
});

test("what was the fastest in kernels is one of the files that drawing takes", () => {
  const manifest = JSON.parse(VERSION_2) as Manifest;
  const before = drawingFiles(manifest);
  const entry = { file: "kernel-choices.json", bytes: 3, sha256: "0".repeat(64) };
  const after = drawingFiles({ ...manifest, kernel_choices: entry });
  expect(after.filter((each) => !before.includes(each))).toEqual([entry]);
  const odd = { ...manifest, kernel_choices: { ...entry, file: "../other.json" } };
  expect(() => parseManifest(JSON.stringify(odd), "m.json")).toThrow(FetchError);
});

test("version 2 is taken as it is", () => {
  expect(parseManifest(VERSION_2, "m.json")).toEqual(JSON.parse(VERSION_2));
});

describe("files", () => {
  const base = JSON.parse(VERSION_2) as Manifest;
  const entry = base.library;

  test.each([
    ...["../library.wasm", "/library.wasm", "https://elsewhere/a", "//elsewhere/a", "a\\b", ""],
    ...[
      "a/b",
      ".",
      "..",
      ".hidden",
      "a\u0000",
      "a\n",
      "a?b",
      "a#b",
      "a%2e",
      "data:,",
      "x".repeat(201),
    ],
    ...["a.", "-a", "CON", "nul.bin", "a\u202eb", 7, null],
  ])("a file named %j is refused, wherever it is named", (file) => {
    const odd = { ...entry, file } as FileEntry;
    const [[id, component]] = Object.entries(base.components) as [[string, ComponentEntry]];
    const changes: object[] = [
      { library: odd },
      { kernels: odd },
      { self_test: odd },
      { tokenizers: { text: odd } },
      { components: { [id]: { ...component, shards: [entry, odd] } } },
    ];
    for (const change of changes) {
      const text = JSON.stringify({ ...base, ...change });
      expect(() => parseManifest(text, "m.json")).toThrow(FetchError);
      expect(() => parseManifest(text, "m.json")).toThrow(/m\.json names a file that cannot/);
    }
  });

  test.each([
    { bytes: -1 },
    { bytes: 1.5 },
    { bytes: 2 ** 53 },
    { bytes: "1" },
    { sha256: "" },
    { sha256: "A".repeat(64) },
    { sha256: [] },
  ])("a file of %j is refused", (change) => {
    const text = JSON.stringify({ ...base, library: { ...entry, ...change } });
    expect(() => parseManifest(text, "m.json")).toThrow(/cannot lie beside it/);
  });

  test.each(["library", "tokenizers", "components"])("a manifest without %s is none", (key) => {
    const text = JSON.stringify({ ...base, [key]: undefined });
    expect(() => parseManifest(text, "m.json")).toThrow(FetchError);
  });

  test("names that WSD writes are taken", () => {
    const digest = "0".repeat(64);
    for (const name of [`unet-0.${digest}.bin`, "a", "_@+-x", "Upper.Case", "console.js"]) {
      expect(isName(name)).toBe(true);
    }
  });
});

describe("the list of models", () => {
  const model = { name: "a", title: "b", dtype: "f32", manifest: "a/" };
  const integrity = `sha384-${"A".repeat(64)}`;

  test("digests are kept, and may be missing", () => {
    const list = [model, { ...model, integrity }];
    expect(parseIndex(JSON.stringify(list), "i.json")).toEqual(list);
  });

  test.each([
    ...["../", "a", "https://elsewhere/", "//elsewhere/", "/", "a/b/", "..\\", ""].map(
      (manifest) => ({
        manifest,
      }),
    ),
    ...["", "none", "sha1-AAAA", `${integrity} x`, 7, null].map((digest) => ({
      integrity: digest,
    })),
    ...["../a", "a b", "<b>"].map((name) => ({ name })),
  ])("an entry of %j is refused", (change) => {
    const text = JSON.stringify([{ ...model, ...change }]);
    expect(() => parseIndex(text, "i.json")).toThrow(FetchError);
  });
});

describe("entry points", () => {
  const entries = [
    { name: "text", role: "text_encoder", size: null },
    { name: "denoiser_8x8", role: "denoiser", size: [8, 8] },
    { name: "denoiser_8x16", role: "denoiser", size: [8, 16] },
  ];
  const text = JSON.stringify({ ...JSON.parse(VERSION_2), entry_points: entries });
  const manifest = parseManifest(text, "url");

  test("functions are found by role and size", () => {
    expect(findEntryPoint(manifest, "text_encoder", [8, 8]).name).toBe("text");
    expect(findEntryPoint(manifest, "denoiser", [8, 16]).name).toBe("denoiser_8x16");
    expect(compiledSizes(manifest)).toEqual([[8, 8], [8, 16]]); // prettier-ignore
  });

  test("a size that was not compiled is named", () => {
    expect(() => findEntryPoint(manifest, "denoiser", [16, 8])).toThrow("16x8 was not compiled");
  });
});
