/** What the page advises visitors of several browsers to do. */

import { expect, test } from "vitest";

import { advise, browserOf, sentence } from "../../src/app/advice";
import type { Surroundings } from "../../src/app/advice";
import { english } from "../../src/app/strings/english";
import { createWriter } from "../../src/app/strings/writer";
import type { Manifest } from "../../src/index";
import {
  FetchError,
  IntegrityError,
  OptionError,
  OutOfMemoryError,
  selfTestProblem,
  UnsupportedError,
} from "../../src/index";

const text = english(createWriter("en"));
const AGENTS = {
  Chrome:
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  Firefox: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  Safari:
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
  Other: "Lynx/2.9.0",
} as const;
const EDGE = `${AGENTS.Chrome} Edg/140.0.0.0`;
const CHROME_OF_IOS =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1";

function here(changes: Partial<Surroundings> = {}): Surroundings {
  const address = "http://pictures.test/demo/?model=a#b";
  return { userAgent: AGENTS.Chrome, secure: true, online: true, address, ...changes };
}

test.each(Object.entries(AGENTS))("%s is told apart", (browser, userAgent) => {
  expect(browserOf(userAgent)).toBe(browser);
});

test("Edge is told what Chrome is, and every browser of iOS what Safari is", () => {
  expect(browserOf(EDGE)).toBe("Chrome");
  expect(browserOf(CHROME_OF_IOS)).toBe("Safari");
});

test.each(Object.keys(AGENTS) as (keyof typeof AGENTS)[])("what %s can do", (browser) => {
  const surroundings = here({ userAgent: AGENTS[browser] });
  const without = advise(
    new UnsupportedError("this browser has no WebGPU", ""),
    surroundings,
    text,
  );
  expect(without.title).toBe(text.errorNoWebGpu);
  expect(without.steps[0]).toBe(text[`use${browser}`]);
  const hidden = advise(
    new UnsupportedError("no WebGPU adapter was found", ""),
    surroundings,
    text,
  );
  expect(hidden.title).toBe(text.errorNoAdapter);
  expect(hidden.steps[0]).toBe(text[`accelerate${browser}`]);
});

test.each([
  ["http://pictures.test/demo/?model=a#b", "https://pictures.test/demo/?model=a#b"],
  ["http://pictures.test:80/", "https://pictures.test/"],
  // A port answers one of the two.
  ["http://192.168.1.5:8080/", undefined],
])("an insecure address comes before all else, with the secure one of %s", (address, secure) => {
  const error = new UnsupportedError("this browser has no WebGPU", "");
  const { title, link } = advise(error, here({ secure: false, address }), text);
  expect(title).toBe(text.errorInsecure);
  expect(link).toBe(secure);
});

test("errors of one class that mean several things have a title each", () => {
  const title = (error: unknown): string => advise(error, here(), text).title;
  const plain = { entry_points: [] } as unknown as Manifest;
  expect(title(selfTestProblem(plain))).toBe(text.errorNoSelfTest);
  expect(title(new OptionError("the seed is wrong", ""))).toBe(text.errorOption);
  expect(title(new IntegrityError("a.bin: sha256 mismatch", ""))).toBe(text.errorDamaged);
  const other = "models/index.json: this browser keeps another version than the one that is asked";
  expect(title(new IntegrityError(other, ""))).toBe(text.errorVersion);
});

test("a GPU that is too small, one that is full, and a network that is away", () => {
  const small = new UnsupportedError(
    "the GPU's maxBufferSize is 1, the model needs 2",
    "choose a smaller model",
  );
  expect(advise(small, here(), text)).toMatchObject({
    title: text.errorUnsupported,
    details: ["The GPU's maxBufferSize is 1, the model needs 2.", "Choose a smaller model."],
    complete: false,
  });
  const full = advise(new OutOfMemoryError("the GPU has no room", "close tabs"), here(), text);
  expect(full.steps).toEqual([text.errorNoRoomHow]);
  const away = advise(
    new FetchError("a.bin could not be fetched", ""),
    here({ online: false }),
    text,
  );
  expect(away.steps).toEqual([text.errorOffline]);
});

test("what nobody expected is said too", () => {
  expect(advise(new TypeError("x is undefined"), here(), text)).toMatchObject({
    title: text.errorUnexpected,
    steps: [text.errorReload],
    details: ["x is undefined."],
  });
  expect(advise("oh", here(), text).details).toEqual(["oh."]);
});

test.each([
  ["the GPU was lost", "The GPU was lost."],
  ["http://x/a.bin: sha256 mismatch", "http://x/a.bin: sha256 mismatch."],
  ["params_3.bin: sha256 mismatch", "params_3.bin: sha256 mismatch."],
  ["try again!", "Try again!"],
])("%s as a sentence", (words, expected) => {
  expect(sentence(words)).toBe(expected);
});
