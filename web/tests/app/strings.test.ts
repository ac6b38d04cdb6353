// @vitest-environment happy-dom
/** The page's sentences: complete in every language, and the same in the page's own markup. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

import type { Language } from "../../src/app/strings";
import { findLanguage, LANGUAGES } from "../../src/app/strings";
import { createWriter } from "../../src/app/strings/writer";
import { APP, openPage } from "./page_document";

const ATTRIBUTES = { label: "aria-label", placeholder: "placeholder", title: "title" };

type Sentence = string | ((...values: unknown[]) => string);

const CODES = Object.keys(LANGUAGES) as Language[];
/** The places of values that are lists of words. */
const LISTS = new Set([
  ...["gallery.taken 1", "gallery.takenLine 0", "gallery.lorasOff 0", "loras.missing 0"],
  "loras.tagParts 0",
]);
/** The places of values that the page itself says, in its language, so that they need no marks. */
const OWN_WORDS = new Set([
  ...LISTS,
  ...["gallery.change 0", "gallery.because 0", "gallery.because 1", "gallery.stays 0"],
  ...["gallery.changed 0", "gallery.notTaken 0", "secondPass 0"],
]);

/** The sentences of a language by name, for example `draw` and `gallery.fields.seed`. */
function sentencesOf(code: Language): Map<string, Sentence> {
  const { make, direction } = LANGUAGES[code];
  const flatten = (named: object, prefix: string): [string, Sentence][] =>
    Object.entries(named).flatMap(([key, value]: [string, Sentence | object]) =>
      typeof value === "object"
        ? flatten(value, `${prefix}${key}.`)
        : [[`${prefix}${key}`, value] as [string, Sentence]],
    );
  return new Map(flatten(make(createWriter(code, direction)), ""));
}

/** Say a sentence with the texts of values; numbers are made of them where numbers are wanted. */
function say(key: string, sentence: Sentence, values: readonly string[]): string {
  if (typeof sentence === "string") return sentence;
  const given = values.map((value, place) => (LISTS.has(`${key} ${place}`) ? [value] : value));
  return sentence(...given.slice(0, Math.max(1, sentence.length)));
}

test.each(CODES)("%s has every sentence", (code) => {
  const sentences = sentencesOf(code);
  expect([...sentences.keys()]).toEqual([...sentencesOf("en").keys()]);
  for (const [key, sentence] of sentences) {
    const said = say(key, sentence, ["3", "4", "5", "6", "7"]);
    expect(said.trim(), key).not.toBe("");
    expect(said, key).not.toMatch(/undefined|NaN|\[object|# /);
  }
});

test.each(["de", "ar"] as const)("what %s says names all that English names", (code) => {
  const theirs = sentencesOf(code);
  for (const [key, sentence] of sentencesOf("en")) {
    if (typeof sentence === "string") continue;
    for (let place = 0; place < sentence.length; place++) {
      // Texts in place of numbers come out as they are, whatever a language's digits are.
      const [one, other] = ["30000000", "40000000"].map((value) =>
        ["3", "4", "5", "6", "7"].map((given, index) => (index === place ? value : given)),
      );
      const differs = say(key, sentence, one!) !== say(key, sentence, other!);
      const made = theirs.get(key)!;
      expect(say(key, made, one!) !== say(key, made, other!), `${key}, ${place}`).toBe(differs);
    }
  }
});

test.each(CODES)("in %s, words of the other direction leave the sentence in its order", (code) => {
  const foreign = LANGUAGES[code].direction === "rtl" ? "https://a.org/" : "قطة (١)";
  let found = 0;
  for (const [key, sentence] of sentencesOf(code)) {
    if (typeof sentence === "string") continue;
    for (let place = 0; place < sentence.length; place++) {
      if (OWN_WORDS.has(`${key} ${place}`)) continue;
      const values = ["3", "4", "5", "6", "7"].map((given, index) =>
        index === place ? foreign : given,
      );
      let said;
      try {
        said = say(key, sentence, values);
      } catch {
        continue; // A number is wanted there.
      }
      if (!said.includes(foreign)) continue;
      found += 1;
      expect(said, key).toContain(`\u2068${foreign}\u2069`);
    }
  }
  expect(found).toBeGreaterThan(20);
});

test("marks of direction in a name cannot reach beyond it", () => {
  const [en, ar] = [createWriter("en"), createWriter("ar", "rtl")];
  expect(en.isolate("a.png")).toBe("a.png");
  expect(en.isolate("a\u202Egnp.exe")).toBe("agnp.exe");
  expect(ar.isolate("a\u2069.png")).toBe("\u2068a.png\u2069");
  expect(ar.isolate("")).toBe("");
});

test("every sentence is used", () => {
  /* eslint-disable security/detect-non-literal-fs-filename -- all of the page's own sources */
  const sources = readdirSync(APP, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:ts|html)$/.test(file) && !file.startsWith("strings"))
    .map((file) => readFileSync(path.join(APP, file), "utf8"))
    .join("\n");
  /* eslint-enable security/detect-non-literal-fs-filename */
  /* eslint-disable security/detect-non-literal-regexp -- made of the names of our own sentences */
  const isUsed = (name: string): boolean => {
    // What is chosen by a browser or by a kind of problem is named by that alone.
    const chosen = /^(?:(?:use|accelerate)(?=[A-Z])|gallery\.(?:fields|problems|pastedProblems)\.)/;
    const [key, ...rest] = name.replace(chosen, "").split(".").reverse();
    if (chosen.test(name)) return new RegExp(`\\b${key}\\b`).test(sources);
    const group = rest.at(-1);
    const tables = group === undefined ? ["text", "text\\(\\)", "words"] : ["strings"];
    if (group === "gallery") tables.push("galleryText\\(\\)");
    else if (group !== undefined) tables.push(`(?:text\\(\\)|words)\\.${group}`);
    const table = `(?:${tables.join("|")})`;
    const read = `${table}\\.${key}\\b|data-(?:text|label|placeholder|title)="${name}"`;
    const taken = `\\{[^{}]*\\b${key}\\b[^{}]*\\} = (?:this\\.)?${table}`;
    return new RegExp(`${read}|${taken}`).test(sources);
  };
  /* eslint-enable security/detect-non-literal-regexp */
  expect([...sentencesOf("en").keys()].filter((name) => !isUsed(name))).toEqual([]);
});

test.each(["index.html", "selftest.html"])("%s has the English sentences", (file) => {
  openPage(file);
  const sentences = Object.fromEntries(sentencesOf("en"));
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

test.each(CODES)("in %s, the version of Chrome is the one that the documents require", (code) => {
  // eslint-disable-next-line security/detect-non-literal-fs-filename -- the repository's own document
  const requirements = readFileSync(path.join(APP, "../../../docs/requirements.md"), "utf8");
  const [, least] = /a browser with WebGPU: Chrome or Edge (\d+)/.exec(requirements)!;
  const { useChrome } = LANGUAGES[code].make(createWriter(code));
  expect(useChrome.match(/\d{3}/g)).toEqual([least]);
});
