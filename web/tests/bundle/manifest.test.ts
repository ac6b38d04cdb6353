import { expect, test } from "vitest";

import { FetchError } from "../../src/api/errors";
import { parseManifest } from "../../src/bundle/manifest";

test("a manifest of another schema version is refused", () => {
  expect(() => parseManifest('{"schema_version": 2}', "m.json")).toThrow(FetchError);
  expect(() => parseManifest('{"schema_version": 2}', "m.json")).toThrow(/version 2, expected 1/);
});

test("what is not JSON is refused by address", () => {
  expect(() => parseManifest("<html>", "m.json")).toThrow(/m\.json is not JSON/);
});
