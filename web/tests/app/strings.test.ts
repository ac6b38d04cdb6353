// @vitest-environment happy-dom
/** The page's sentences: complete in every language, and the same in the page's own markup. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

import { findLanguage, LANGUAGES } from "../../src/app/strings";
import { english } from "../../src/app/strings/english";
import { createWriter } from "../../src/app/strings/writer";
import { APP, openPage } from "./page_document";

const ATTRIBUTES = { label: "aria-label", placeholder: "placeholder", title: "title" };

/** Values by which one sees that a sentence says what it is given. */
const GIVEN = [3, 4, 5, 6, 7];

test.each(Object.entries(LANGUAGES))("%s has every sentence", (code, { make }) => {
  const sentences = Object.entries(make(createWriter(code)));
  expect(sentences.map(([key]) => key)).toEqual(Object.keys(english(createWriter("en"))));
  for (const [key, sentence] of sentences) {
    const make = sentence as (...values: unknown[]) => string;
    const said = typeof sentence === "string" ? sentence : make(...GIVEN.slice(0, make.length));
    expect(said.trim(), key).not.toBe("");
    expect(said, key).not.toMatch(/undefined|NaN|\[object|# /);
  }
});

test.each(["de", "ar"] as const)("what %s says names all that English names", (code) => {
  const [ours, theirs] = [english(createWriter("en")), LANGUAGES[code].make(createWriter(code))];
  for (const [key, sentence] of Object.entries(ours)) {
    if (typeof sentence === "string") continue;
    // Texts in place of numbers come out as they are, whatever a language's digits are.
    const call = (made: unknown, values: unknown[]): string =>
      (made as (...values: unknown[]) => string)(...values);
    for (let place = 0; place < sentence.length; place++) {
      const [one, other] = [3, 4].map((value) => {
        return GIVEN.slice(0, sentence.length).map((given, index) =>
          index === place ? value * 1e7 : given,
        );
      });
      const differs = call(sentence, one!) !== call(sentence, other!);
      const made = theirs[key as keyof typeof theirs];
      expect(call(made, one!) !== call(made, other!), `${key}, value ${place}`).toBe(differs);
    }
  }
});

test("every sentence is used", () => {
  /* eslint-disable security/detect-non-literal-fs-filename -- all of the page's own sources */
  const sources = readdirSync(APP, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:ts|html)$/.test(file) && !file.startsWith("strings"))
    .map((file) => readFileSync(path.join(APP, file), "utf8"))
    .join("\n");
  /* eslint-enable security/detect-non-literal-fs-filename */
  const unused = Object.keys(english(createWriter("en")))
    // Of these there is one for each browser.
    .filter((key) => !/^(?:use|accelerate)(?:Chrome|Firefox|Safari|Other)$/.test(key))
    .filter((key) => !sources.includes(`.${key}`) && !sources.includes(`"${key}"`));
  expect(unused).toEqual([]);
});

test.each(["index.html", "selftest.html"])("%s has the English sentences", (file) => {
  openPage(file);
  const sentences: Record<string, unknown> = english(createWriter("en"));
  const named = [...document.querySelectorAll<HTMLElement>("[data-text]")];
  expect(named.length).toBeGreaterThan(5);
  for (const element of named) {
    const key = element.dataset.text!;
    expect(element.textContent.replaceAll(/\s+/g, " ").trim(), key).toBe(sentences[key]);
  }
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of document.querySelectorAll<HTMLElement>(`[data-${name}]`)) {
      const sentence = sentences[element.dataset[name]!];
      expect(sentence, element.outerHTML).toBeTypeOf("string");
      if (element.hasAttribute(attribute)) expect(element.getAttribute(attribute)).toBe(sentence);
    }
  }
});

test.each([
  { kept: null, preferred: ["de-AT", "en"], language: "de", locale: "de-AT" },
  { kept: null, preferred: ["fr", "ar-EG"], language: "ar", locale: "ar-EG" },
  { kept: null, preferred: ["fr"], language: "en", locale: "en" },
  { kept: null, preferred: [], language: "en", locale: "en" },
  { kept: "ar", preferred: ["de-AT"], language: "ar", locale: "ar" },
  { kept: "constructor", preferred: ["DE"], language: "de", locale: "DE" },
])("the language of $preferred, $kept being kept", ({ kept, preferred, ...expected }) => {
  expect(findLanguage(kept, preferred)).toEqual(expected);
});

test("sizes and times are written as the language does", () => {
  const [en, de] = [createWriter("en-GB"), createWriter("de")];
  expect([999, 1500, 27_300_000, 3 * 2 ** 30, 2e15].map(en.bytes)).toEqual([
    "999 byte",
    "1.50 kB",
    "27.3 MB",
    "3.22 GB",
    "2,000 TB",
  ]);
  // Units are joined by a space that does not break.
  expect(de.bytes(3 * 2 ** 30).replace("\u00a0", " ")).toBe("3,22 GB");
  expect([1, 1000, 12_300, 95_000, 2e7].map(en.time)).toEqual([
    "1 second",
    "1 second",
    "13 seconds",
    "2 minutes",
    "5.6 hours",
  ]);
  expect(de.time(12_300)).toBe("13 Sekunden");
  expect(en.shortTime(12_300)).toBe("13s");
  expect(en.seconds(3449)).toBe("3.4 seconds");
});

test.each([
  ["en", { one: "# step", other: "# steps" }, { 1: "1 step", 2: "2 steps", 1000: "1,000 steps" }],
  [
    "ar",
    { one: "خطوة واحدة", two: "خطوتان", few: "# خطوات", many: "# خطوة", other: "# خطوة" },
    { 1: "خطوة واحدة", 2: "خطوتان", 3: "3 خطوات", 11: "11 خطوة", 100: "100 خطوة" },
  ],
])("plural forms of %s", (locale, forms, expected) => {
  for (const [count, said] of Object.entries(expected)) {
    expect(createWriter(locale).plural(Number(count), forms)).toBe(said);
  }
});
