import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { FetchError } from "../../src/api/errors";
import { compiledSizes, findEntryPoint, parseManifest } from "../../src/bundle/manifest";
import { SCHEMA_VERSION } from "../../src/util/constants.generated";

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
  expect(() => parseManifest("{}", "m.json")).toThrow(/m\.json has schema version undefined/);
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

test("version 2 is taken as it is", () => {
  expect(parseManifest(VERSION_2, "m.json")).toEqual(JSON.parse(VERSION_2));
});

describe("entry points", () => {
  const entries = [
    { name: "text", role: "text_encoder", size: null },
    { name: "denoiser_8x8", role: "denoiser", size: [8, 8] },
    { name: "denoiser_8x16", role: "denoiser", size: [8, 16] },
  ];
  const text = JSON.stringify({ schema_version: SCHEMA_VERSION, entry_points: entries });
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
