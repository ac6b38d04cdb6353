// @vitest-environment happy-dom
/** The form over a reload, and from the page's address. */

import { beforeEach, expect, test, vi } from "vitest";

import type { Field } from "../../src/app/dropped_settings";
import { formLink, pictureLink } from "../../src/app/form_link";
import { keepForm } from "../../src/app/stored_form";
import type { Sentence } from "../../src/app/strings";
import type { FoundSettings } from "../../src/settings/found_settings";
import { formatSettings } from "../../src/settings/infotext";
import { parseLink } from "../../src/settings/link";

const KEY = "wsd-form";

const listening = vi.spyOn(globalThis, "addEventListener");

beforeEach(() => {
  // The pages of former tests have been left.
  for (const [type, listener] of listening.mock.calls) removeEventListener(type, listener);
  listening.mockClear();
  localStorage.clear();
  history.replaceState(null, "", "/page/?model=a");
});

interface Page {
  fields: Partial<Record<Field, string>>;
  model: string;
  taken: [FoundSettings, Sentence, boolean | undefined][];
  change: () => void;
}

function open(takes = true): Page {
  const page: Page = {
    fields: { prompt: "first" },
    model: "a",
    taken: [],
    change: () => undefined,
  };
  keepForm({
    read: () => page.fields,
    model: () => page.model,
    onChange: (listener) => (page.change = listener),
    take: (...arguments_) => {
      page.taken.push([arguments_[0], arguments_[1], arguments_[2]]);
      return takes;
    },
  });
  return page;
}

test("what is written stays, also when the page is left at once", async () => {
  const page = open();
  expect(page.taken).toEqual([]);
  page.fields = { prompt: "a\ncat", seed: "", steps: "9" };
  page.change();
  await vi.waitFor(() => {
    expect(localStorage.getItem(KEY)).toBe(
      '{"version":2,"model":"a","form":"prompt=a%0Acat&steps=9"}',
    );
  });
  page.fields = { prompt: "a dog" };
  page.change();
  dispatchEvent(new Event("pagehide"));
  const [[found, , quiet]] = open().taken as [[FoundSettings, Sentence, boolean]];
  expect([found.prompt, found.seed, quiet]).toEqual(["a dog", undefined, true]);
});

test("of what was written for another model, only the prompts are taken", () => {
  const kept = (form: string): void => {
    localStorage.setItem(KEY, JSON.stringify({ version: 2, model: "b", form }));
  };
  kept("prompt=a+cat&negative=a+dog&steps=20&guidance=7.5&seed=7&size=512x512&scheduler=euler");
  const [found] = open().taken[0]!;
  expect(saidBy(found)).toEqual({ prompt: "a cat", negativePrompt: "a dog" });
  kept("steps=20");
  expect(open().taken).toEqual([]);
});

/** What settings say, without what they leave open. */
function saidBy({ program, others, ...settings }: FoundSettings): Partial<FoundSettings> {
  expect([program, others]).toEqual(["link", []]);
  const said = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said);
}

test.each([
  "",
  "no JSON",
  "null",
  "5",
  "[]",
  '{"version":1,"form":"prompt=a"}',
  '{"version":1,"model":"a","form":"prompt=a"}',
  '{"version":2,"form":"prompt=a"}',
  '{"version":2,"model":5,"form":"prompt=a"}',
  '{"model":"a","form":"prompt=a"}',
  '{"version":2,"model":"a","form":5}',
  '{"version":2,"model":"a","form":""}',
  `{"version":2,"model":"a","form":"prompt=${"x".repeat(200_000)}"}`,
])("nothing is taken of what is no form: %.40s", (kept) => {
  localStorage.setItem(KEY, kept);
  expect(open().taken).toEqual([]);
});

test("a browser that keeps nothing has an empty form, and no error", () => {
  const broken = vi.spyOn(Storage.prototype, "getItem").mockImplementation(() => {
    throw new DOMException("denied", "SecurityError");
  });
  const full = vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  const page = open();
  page.change();
  dispatchEvent(new Event("pagehide"));
  expect(page.taken).toEqual([]);
  broken.mockRestore();
  full.mockRestore();
});

test("an address comes before what was kept, once, and also later", () => {
  localStorage.setItem(KEY, '{"version":2,"model":"a","form":"prompt=kept"}');
  history.replaceState(null, "", "/page/?model=a#prompt=linked&seed=NaN");
  const page = open();
  expect(page.taken.map(([found, , quiet]) => [found.prompt, found.others, quiet])).toEqual([
    ["linked", [["seed", "NaN"]], undefined],
  ]);
  // It is not taken again on a reload, after the visitor changed the form.
  expect(location.href).toMatch(/\/page\/\?model=a$/);
  history.replaceState(null, "", "/page/?model=a#seed=7");
  dispatchEvent(new Event("hashchange"));
  expect(page.taken.at(-1)![0].seed).toBe(7);
});

test("an address that cannot be taken yet stays, and so does one that is for something else", () => {
  history.replaceState(null, "", "/page/?model=a#prompt=linked");
  open(false);
  expect(location.hash).toBe("#prompt=linked");
  localStorage.clear();
  history.replaceState(null, "", "/page/?model=a#prompt");
  expect(open().taken).toEqual([]);
  expect(location.hash).toBe("#prompt");
});

test("the address of a picture says all that it was drawn with, and where in its batch it was", () => {
  const settings = {
    ...{
      prompt: "a cat",
      negativePrompt: "",
      steps: 20,
      guidanceScale: 7.25,
      eta: 0,
      seed: 2n ** 64n - 1n,
    },
    ...{ width: 512, height: 768, scheduler: "dpmpp_2m_karras", model: "tiny-sd15" },
    ...{ numImages: 3, imageIndex: 1 },
  };
  const link = pictureLink(formatSettings(settings));
  expect(new URL(link).search).toBe("?model=tiny-sd15");
  expect(parseLink(link)).toMatchObject({
    ...{ prompt: "a cat", steps: 20, guidanceScale: 7.25, seed: 2n ** 64n - 1n, width: 512 },
    ...{ sampler: "dpmpp_2m_karras", picture: { number: 2, of: 3 }, others: [] },
  });
  expect(pictureLink("no settings at all")).toContain("#prompt=no+settings+at+all");
  expect(formLink({ prompt: "x", images: "1", image: "" }, "")).toMatch(/\/page\/#prompt=x$/);
});
