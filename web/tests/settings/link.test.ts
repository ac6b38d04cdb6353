import fc from "fast-check";
import { expect, test } from "vitest";

import type { LinkName } from "../../src/settings/link";
import { formatLink, parseLink } from "../../src/settings/link";

test("values come back as they were, with or without what stands before them", () => {
  const values = {
    ...{ prompt: "a cat & a dog\n#1 100%", negative: "é😀", seed: "18446744073709551615" },
    ...{ steps: "20", guidance: "7.5", scheduler: "dpmpp_2m_karras", size: "512x768" },
    ...{ images: "3", image: "2" },
  };
  for (const before of ["", "#", "https://example.org/page?model=a#"]) {
    expect(parseLink(before + formatLink(values))).toMatchObject({
      ...{ program: "link", prompt: values.prompt, negativePrompt: "é😀", seed: 2n ** 64n - 1n },
      ...{ steps: 20, guidanceScale: 7.5, sampler: "dpmpp_2m_karras", width: 512, height: 768 },
      ...{ picture: { number: 2, of: 3 }, others: [] },
    });
  }
});

test("of a batch without a number, all pictures are meant", () => {
  expect(parseLink("images=3")?.picture).toEqual({ number: 1, of: 3, all: true });
  expect(parseLink("images=1&seed=1")?.picture).toBeUndefined();
});

test.each([
  ["seed=NaN", ["seed", "NaN"]],
  ["seed=1e3", ["seed", "1e3"]],
  ["seed=18446744073709551616", ["seed", "18446744073709551616"]],
  ["steps=Infinity", ["steps", "Infinity"]],
  ["guidance=1e999", ["guidance", "1e999"]],
  ["size=big", ["size", "big"]],
  ["seed=1&image=2", ["images", "2 of 1"]],
  ["images=0", ["images", "1 of 0"]],
  ["prompt=a&__proto__=b", ["__proto__", "b"]],
  ["prompt=a&toString=b", ["toString", "b"]],
])("%s: what cannot be read is named", (address, other) => {
  const found = parseLink(address);
  expect(found?.others).toEqual([other]);
  expect(found?.steps).toBeUndefined();
  expect(found?.guidanceScale).toBeUndefined();
  expect(found?.picture).toBeUndefined();
});

test.each([
  "",
  "#",
  "#prompt",
  "#top",
  "prompt=",
  "utm_source=mail",
  `prompt=${"x".repeat(200_000)}`,
])("an address without settings, or too long: %.20s", (address) => {
  expect(parseLink(address)).toBeUndefined();
});

test("any text is read, or is no address: whole numbers are whole, and nothing throws", () => {
  const name = fc.constantFrom(...["prompt", "seed", "steps", "size", "images", "image", "x"]);
  const value = fc.oneof(fc.string(), fc.double().map(String), fc.constantFrom("NaN", "1x1", "%"));
  const pairs = fc.array(fc.tuple(name, value)).map((each) => each.map((pair) => pair.join("=")));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        pairs.map((each) => each.join("&")),
      ),
      (address) => {
        const found = parseLink(address);
        if (found === undefined) return;
        for (const value of [found.steps, found.guidanceScale]) {
          if (value !== undefined) expect(value).toSatisfy(Number.isFinite);
        }
        for (const value of [found.width, found.height, found.picture?.number, found.picture?.of]) {
          if (value !== undefined) expect(value).toSatisfy(Number.isInteger);
        }
      },
    ),
  );
});

test("any values come back, or are left out where they are empty", () => {
  const names = ["prompt", "negative", "scheduler"] as const;
  const some = fc.record(
    Object.fromEntries(names.map((name) => [name, fc.string({ unit: "grapheme" })])) as Record<
      LinkName,
      fc.Arbitrary<string>
    >,
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(some, (values) => {
      const found = parseLink(formatLink(values));
      const read = [found?.prompt, found?.negativePrompt, found?.sampler].map((each) => each ?? "");
      expect(read).toEqual(names.map((name) => values[name] ?? ""));
    }),
  );
});

test("an address says how a picture was drawn from, and drawn a second time", () => {
  const values = {
    ...{ strength: "0.75", fit: "contain", maskBlur: "4", maskedContent: "noise" },
    ...{ onlyMasked: "16", keepUnmasked: "false", secondPass: "2", secondStrength: "0.5" },
    ...{ secondSteps: "12", upscale: "picture", variationSeed: "7", variationStrength: "0.1" },
  };
  expect(parseLink(formatLink(values))).toMatchObject({
    ...{ strength: 0.75, fit: "contain", maskBlur: 4, maskedContent: "noise", onlyMasked: true },
    ...{ onlyMaskedPadding: 16, keepUnmasked: false, secondScale: 2, secondStrength: 0.5 },
    ...{ secondSteps: 12, upscale: "picture", variationSeed: 7, variationStrength: 0.1 },
    others: [],
  });
  expect(parseLink("strength=0.5")).not.toHaveProperty("onlyMasked");
});
