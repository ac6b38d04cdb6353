import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { chooseEncoders } from "../../src/bundle/encoders";
import { parseManifest } from "../../src/bundle/manifest";
import type { Manifest } from "../../src/bundle/manifest";
import { UnsupportedError } from "../../src/util/errors";

// tests/unit/test_sd35_checkpoint.py compares what is left with a bundle that never had more.
const MANIFEST = parseManifest(
  readFileSync("../tests/fixtures/manifest-v2.json", "utf8"),
  "m.json",
);

/** The manifest with one more text encoder, which can be left out. */
function withOptional(): Manifest {
  const [id] = MANIFEST.conditioning.encoders;
  const entry = MANIFEST.entry_points.find(({ component }) => component === id)!;
  return {
    ...MANIFEST,
    components: { ...MANIFEST.components, more: MANIFEST.components[id!]! },
    tokenizers: { ...MANIFEST.tokenizers, more: MANIFEST.tokenizers[id!]! },
    entry_points: [...MANIFEST.entry_points, { ...entry, name: "more", component: "more" }],
    conditioning: {
      ...MANIFEST.conditioning,
      encoders: [...MANIFEST.conditioning.encoders, "more"],
      optional: ["more"],
    },
  };
}

test("a model without such an encoder is as it is, whether it is wanted or not", () => {
  expect(chooseEncoders(MANIFEST, false)).toBe(MANIFEST);
  expect(chooseEncoders(MANIFEST, undefined)).toBe(MANIFEST);
});

test("an encoder that is asked for must be there", () => {
  expect(() => chooseEncoders(MANIFEST, true)).toThrow(UnsupportedError);
  expect(() => chooseEncoders(MANIFEST, true)).toThrow(/has no third text encoder/);
  const whole = withOptional();
  expect(chooseEncoders(whole, true)).toBe(whole);
});

test("nothing of an encoder that is left out is fetched, or planned for", () => {
  const whole = withOptional();
  const without = chooseEncoders(whole, false);
  expect(without.components).toEqual(MANIFEST.components);
  expect(without.tokenizers).toEqual(MANIFEST.tokenizers);
  expect(without.entry_points).toEqual(MANIFEST.entry_points);
  expect(without.conditioning).toEqual(MANIFEST.conditioning);
  expect(whole).toEqual(withOptional());
});
