// @vitest-environment happy-dom
/** Settings that come in by file button, drop and paste, on a document of happy-dom. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Field, Offer } from "../../src/app/dropped_settings";
import { warnBeforeLeaving } from "../../src/app/leaving";
import { mountSettingsImport } from "../../src/app/settings_import";
import { inWords } from "../../src/app/strings";
import type { AppliedLora } from "../../src/index";
import { formatLink, readSettingsText } from "../../src/index";
import { writeText } from "../../src/settings/png";

const PNG = Uint8Array.from(
  atob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAfbLI3wAAAABJRU5ErkJggg==",
  ),
  (character) => character.charCodeAt(0),
);
const SETTINGS = "a cat\nSteps: 9, Sampler: Restart, Seed: 5, Size: 999x16, Clip skip: 2";

const offer = {
  model: { name: "speck", source: "speck.safetensors" },
  sizes: [[16, 16]],
  schedulers: { euler: { title: "Euler", algorithm: "euler", max_steps: 100 } },
  ...{ scheduler: "euler", steps: 20, guidance: { min: 0, max: 50 }, maxImages: 16, eta: 0 },
  takesNegativePrompt: true,
  ...{ takesSecondPrompt: false, takesThirdPrompt: false, maxClipSkip: 0 },
  ...{ takesPicture: true, hasPicture: false, size: "16x16" },
} as unknown as Offer;

interface Page {
  fields: Partial<Record<Field, string>>;
  said: string[];
  offer: Offer | undefined;
  canStart: boolean;
  /** Names of the pictures that drawing begins with, and of those that were offered for that. */
  started: string[];
  offered: string[];
  /** LoRAs that are on, and names of files that are added. */
  loras: readonly AppliedLora[] | undefined;
  added: string[];
}
const newPage = (): Page => ({
  ...{ fields: {}, said: [], offer, canStart: false, started: [], offered: [] },
  ...{ loras: undefined, added: [] },
});
let page = newPage();
// The listeners are the document's, so it is mounted once.
document.body.innerHTML = `<div id="import"></div><textarea id="prompt"></textarea>`;
const root = document.getElementById("import")!;
const imported = mountSettingsImport(root, {
  offer: () => page.offer,
  apply: (fields) => Object.assign(page.fields, fields),
  read: () => ({ prompt: "a dog", seed: "", images: "3", image: "2" }),
  model: () => "speck",
  say: (sentence) => page.said.push(inWords(sentence)),
  canStart: () => page.canStart,
  start: (_file, name) => Promise.resolve(void page.started.push(inWords(name))),
  offerStart: (_file, name) => page.offered.push(inWords(name)),
  applyLoras: (loras) => (page.loras = loras),
  isLora: ({ name }) => name.endsWith(".safetensors"),
  addLoras: (files) => page.added.push(...files.map(({ name }) => name)),
});

beforeEach(() => {
  page = newPage();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const file = (text: string | undefined, name = "it.png"): File =>
  new File([text === undefined ? PNG : writeText(PNG, text)], name);
const editable = document.getElementById("prompt")!;

interface Carried {
  files?: File[];
  text?: string;
}

/** An event with what a clipboard or a drag carries. */
function send(
  type: string,
  { files = [], text = "" }: Carried,
  target: Element = document.body,
): Event {
  const event = new Event(type, { bubbles: true, cancelable: true });
  const types = [...(files.length > 0 ? ["Files"] : []), ...(text === "" ? [] : ["text/plain"])];
  const data = { files, types, getData: () => text };
  Object.assign(event, { clipboardData: data, dataTransfer: data });
  target.dispatchEvent(event);
  return event;
}

async function lastSaid(): Promise<string> {
  await vi.waitFor(() => {
    expect(page.said).not.toEqual([]);
  });
  return page.said.at(-1)!;
}

test("a dropped picture fills the form, and a list says what was not taken and why", async () => {
  send("dragover", { files: [file(SETTINGS)] });
  expect(document.documentElement.dataset.dragging).toBe("");
  send("drop", { files: [file(SETTINGS)] });
  expect(document.documentElement.dataset.dragging).toBeUndefined();
  expect(await lastSaid()).toMatch(/^Settings taken from it\.png: prompt, seed, steps\. Changed: /);
  expect(page.fields).toEqual({
    ...{ prompt: "a cat", negative: "", seed: "5", steps: "9", size: "16x16" },
    ...{ promptSyntax: "", clipSkip: "", cacheInterval: "" },
    ...{ prompt2: "", negative2: "" },
    ...{ prompt3: "", negative3: "" },
    ...{ images: "1", image: "", secondPass: "", variationSeed: "", variationStrength: "" },
  });
  expect([page.started, page.offered]).toEqual([[], ["it.png"]]);
  const report = root.querySelector("section")!;
  expect([report.hidden, report.getAttribute("aria-label")]).toEqual([
    false,
    "Settings from it.png",
  ]);
  expect([...report.querySelectorAll("li")].map(({ textContent }) => textContent)).toEqual([
    "Taken: prompt, seed, steps.",
    "Changed: size from 999x16 to 16x16 (not among this model's sizes).",
    "Not taken: skipped text layers 1 (this model does not use it).",
    "Not taken: sampler Restart (unknown, Euler stays).",
  ]);
  report.querySelector("button")!.click();
  expect(report.hidden).toBe(true);
});

test("all that is not taken can be found in the list", async () => {
  const keys = Array.from({ length: 9 }, (_, index) => `Key ${index}: ${index}`);
  send("drop", { files: [file(`a cat\nSteps: 9, ${keys.join(", ")}`)] });
  expect(await lastSaid()).toContain("Key 5 5; and 3 more.");
  const report = root.querySelector("section")!;
  const folded = report.querySelector("details")!;
  expect(folded.querySelector("summary")!.textContent).toBe("and 3 more");
  expect([...folded.querySelectorAll("li")].map(({ textContent }) => textContent)).toEqual(
    [6, 7, 8].map((index) => `Not taken: Key ${index} ${index}.`),
  );
  for (let index = 0; index < 6; index++)
    expect(report.textContent).toContain(`Not taken: Key ${index} ${index}.`);
});

test("a picture without settings is begun with, unless the button for settings was pressed", async () => {
  page.canStart = true;
  send("dragover", { files: [file(undefined)] });
  expect(document.querySelector(".drop-here")!.textContent).toBe(
    "Drop the picture to start from it",
  );
  send("drop", { files: [file(undefined)] });
  send("paste", { files: [file(undefined)] });
  await vi.waitFor(() => expect(page.started).toEqual(["the pasted picture"]));
  send("drop", { files: [new File(["GIF"], "moon.gif")] });
  await vi.waitFor(() => expect(page.started).toEqual(["the pasted picture", "moon.gif"]));
  expect([page.said, page.offered, page.fields]).toEqual([[], [], {}]);
  const chooser = root.querySelector<HTMLInputElement>("input[type=file]")!;
  Object.defineProperty(chooser, "files", { value: [file(undefined)], configurable: true });
  chooser.dispatchEvent(new Event("change"));
  expect(await lastSaid()).toBe("it.png holds no settings.");
  expect(page.started).toHaveLength(2);
});

test.each([
  ["drop", { files: [file(undefined)] }, "it.png holds no settings."],
  [
    "drop",
    { files: [new File(["GIF"], "it.png")] },
    "it.png is not a PNG. Settings are read from PNG files only.",
  ],
  [
    "paste",
    { files: [file(undefined)] },
    "The pasted picture holds no settings: copying a picture drops them.",
  ],
  [
    "paste",
    { files: [new File(["GIF"], "image.png")] },
    "The pasted picture is not a PNG. Settings are read from PNG files only.",
  ],
  ["paste", { files: [file(SETTINGS), file(SETTINGS)] }, "the first of 2 pasted pictures is read."],
  ["paste", { text: "hello" }, "The pasted text holds no settings."],
  ["paste", { text: `Steps: 2, Seed: 3${" ".repeat(2 ** 20)}, Size: 1x1` }, "holds no settings."],
  ["paste", { text: "https://x.org/#top" }, "The pasted text holds no settings."],
  ["paste", { text: "https://x.org/#seed=NaN&steps=1e9" }, "Changed: steps from 1000000000 to 100"],
  [
    "paste",
    { text: "https://x.org/?model=sd%2D15#seed=1&steps=5" },
    "from the link: seed, steps. Its model was sd-15; this one is speck.",
  ],
  [
    "paste",
    { text: "https://x.org/?model=%zz#seed=1&steps=5" },
    "Its model was %zz; this one is speck.",
  ],
  [
    "paste",
    { text: "https://x.org/#seed=NaN" },
    "No settings taken from the link. Not taken: seed NaN.",
  ],
  [
    "paste",
    { text: '{"num_inference_steps": 3, "prompt": "a"}' },
    "the pasted text, drawn with diffusers",
  ],
  [
    "drop",
    { text: "a\nSteps: 7, Seed: 1, Size: 16x16" },
    "from the pasted text: prompt, seed, size, steps.",
  ],
  [
    "drop",
    { files: [file(SETTINGS), file(SETTINGS)] },
    "Only the first of 2 files is read: it.png.",
  ],
])("%s of %j says so", async (type, carried: Carried, said) => {
  const event = send(type, carried);
  expect(event.defaultPrevented).toBe(true);
  expect(await lastSaid()).toContain(said);
});

test("dropped LoRAs are added, all of them, and a picture beside them is read", async () => {
  const items = [{ kind: "file", type: "" }];
  const event = new Event("dragover", { bubbles: true, cancelable: true });
  Object.assign(event, { dataTransfer: { types: ["Files"], items } });
  document.body.dispatchEvent(event);
  expect(document.querySelector(".drop-here")!.textContent).toBe("Drop the LoRA to add it");
  send("drop", {
    files: [file(SETTINGS), file(undefined, "a.safetensors"), file(undefined, "b.safetensors")],
  });
  await vi.waitFor(() => expect(page.added).toEqual(["a.safetensors", "b.safetensors"]));
  // There is one picture, so none is left out.
  expect(await lastSaid()).toContain("Settings taken from it.png");
  expect(page.fields.seed).toBe("5");
});

test("LoRAs of settings are set, missing ones named; an example leaves them as they are", async () => {
  const known = [
    { name: "style", hash: "0".repeat(12), on: false },
    { name: "noise", hash: "1".repeat(12), on: true },
  ];
  page.offer = { ...offer, loras: known };
  const tags = "a cat <lora:style:0.8> <lora:gone:1.5>";
  send("drop", { files: [file(`${tags}\nSteps: 9, Sampler: Euler, Seed: 5, Size: 16x16`)] });
  expect(await lastSaid()).toBe(
    "Settings taken from it.png: prompt, seed, size, scheduler, steps, LoRA style 0.8. " +
      "Changed: LoRAs that it was drawn without are off: noise. " +
      "Not taken: LoRA gone 1.5 (not in the list: add its file).",
  );
  expect([page.fields.prompt, page.loras]).toEqual(["a cat", [{ name: "style", scale: 0.8 }]]);
  const plain = readSettingsText("a cat\nSteps: 9, Sampler: Euler, Seed: 5, Size: 16x16")!;
  page.loras = undefined;
  imported.take(plain, "an example", true);
  expect(page.loras).toBeUndefined();
  imported.take(plain, "it.png");
  expect(page.loras).toEqual([]);
  // A link carries them in its prompt.
  send("paste", { text: `https://x.org/#${formatLink({ prompt: "a dog <lora:noise:-0.5>" })}` });
  expect([page.fields.prompt, page.loras]).toEqual(["a dog", [{ name: "noise", scale: -0.5 }]]);
});

test("a LoRA is known by its file before its name; another file of its name is said", async () => {
  page.offer = { ...offer, loras: [{ name: "mine", hash: "a".repeat(12), on: true }] };
  const settings = (hash: string): string =>
    `a <lora:theirs:1> <lora:mine:2>\nSteps: 9, Sampler: Euler, Seed: 5, Lora hashes: "${hash}"`;
  send("drop", { files: [file(settings(`theirs: ${"a".repeat(12)}, mine: ${"b".repeat(12)}`))] });
  const said = await lastSaid();
  expect(said).toContain("steps, LoRA theirs 1.");
  expect(said).toContain("Changed: LoRA mine 2 (another file of this name).");
});

test("a file that is too large or cannot be read", async () => {
  const large = file(SETTINGS);
  Object.defineProperty(large, "size", { value: 2 ** 40 });
  send("drop", { files: [large] });
  expect(await lastSaid()).toBe("it.png is too large to be a picture.");
  page.said = [];
  const folder = file(SETTINGS, "folder");
  folder.arrayBuffer = () => Promise.reject(new DOMException("a folder", "NotReadableError"));
  send("drop", { files: [folder] });
  expect(await lastSaid()).toBe("folder cannot be read.");
});

test("of two files, the one that came last counts, however long each is read", async () => {
  const slow = file("slow\nSteps: 1, Seed: 1");
  const bytes = await slow.arrayBuffer();
  let finish = (): void => undefined;
  slow.arrayBuffer = () => new Promise((resolve) => (finish = () => resolve(bytes)));
  send("drop", { files: [slow] });
  send("drop", { files: [file("fast\nSteps: 2, Seed: 2")] });
  await lastSaid();
  finish();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([page.fields.prompt, page.said.length]).toEqual(["fast", 1]);
});

test("a field takes text that is pasted or dropped into it, and the form takes pictures", async () => {
  for (const type of ["paste", "drop", "dragover"]) {
    expect(send(type, { text: SETTINGS }, editable).defaultPrevented).toBe(false);
  }
  // A spreadsheet copies its cells as text and as a picture.
  expect(send("paste", { text: "cells", files: [file("")] }, editable).defaultPrevented).toBe(
    false,
  );
  expect(send("paste", {}).defaultPrevented).toBe(false);
  expect(page.said).toEqual([]);
  expect(send("paste", { files: [file(SETTINGS)] }, editable).defaultPrevented).toBe(true);
  expect(await lastSaid()).toContain("Settings taken from the pasted picture");
});

test("what is dragged from the page itself is left alone", () => {
  send("dragstart", {});
  send("dragover", { files: [file(SETTINGS)] });
  expect(document.documentElement.dataset.dragging).toBeUndefined();
  expect(send("drop", { files: [file(SETTINGS)] }).defaultPrevented).toBe(true);
  send("dragend", {});
  expect(page.said).toEqual([]);
});

test("a paste while a dialog is open closes it, so that the form is seen", async () => {
  const dialog = document.createElement("dialog");
  document.body.append(dialog);
  dialog.showModal();
  send("paste", { text: SETTINGS }, dialog);
  expect(dialog.open).toBe(false);
  expect(await lastSaid()).toContain("Settings taken");
  dialog.remove();
});

test("before a model is chosen, nothing is taken, and the visitor is told", async () => {
  page.offer = undefined;
  send("drop", { files: [file(SETTINGS)] });
  expect(await lastSaid()).toBe("The settings of it.png can be taken when a model is chosen.");
  expect(page.fields).toEqual({});
});

test("texts of others are texts, and are short", async () => {
  const evil = `<img src=x onerror="alert(1)">${"x".repeat(1e5)}`;
  send("drop", { files: [file(`a\nSteps: 1, Sampler: ${evil}, Model: ${evil}`, `${evil}.png`)] });
  const said = await lastSaid();
  expect(said.length).toBeLessThan(600);
  expect(said).toContain("<img src=x");
  expect(root.querySelector("img")).toBeNull();
});

test("the link of the form is copied, or shown where the browser forbids that", async () => {
  const copied: string[] = [];
  const writing = vi.fn((text: string) => Promise.resolve(void copied.push(text)));
  vi.stubGlobal(
    "navigator",
    Object.create(navigator, { clipboard: { value: { writeText: writing } } }),
  );
  const button = [...root.querySelectorAll("button")].find(
    (each) => each.textContent === "Copy link",
  )!;
  button.click();
  expect(await lastSaid()).toContain("The link is copied.");
  const { search, hash } = new URL(copied[0]!);
  expect([search, hash]).toEqual(["?model=speck", "#prompt=a+dog&images=3&image=2"]);
  writing.mockRejectedValue(new Error("forbidden"));
  page.said = [];
  button.click();
  expect(await lastSaid()).toContain(`The link is: ${copied[0]}`);
  vi.unstubAllGlobals();
});

test("all of it is taken in silence if asked for", () => {
  const found = {
    ...{
      program: "link",
      prompt: "a",
      negativePrompt: undefined,
      steps: 5,
      guidanceScale: undefined,
    },
    ...{ seed: 1, width: undefined, height: undefined, sampler: undefined, schedule: undefined },
    ...{ model: undefined, eta: undefined, picture: undefined, others: [] },
  };
  expect(imported.take(found, "your last visit", true)).toBe(true);
  expect([page.said, page.fields.prompt]).toEqual([[], "a"]);
  imported.take({ ...found, steps: 500 }, "your last visit", true);
  expect(page.said[0]).toContain("Changed: steps from 500 to 100");
});

test("leaving the page is asked about only while a picture is drawn", () => {
  const leave = (): boolean => {
    const event = new Event("beforeunload", { cancelable: true });
    dispatchEvent(event);
    return event.defaultPrevented;
  };
  expect(leave()).toBe(false);
  const done = warnBeforeLeaving();
  expect(leave()).toBe(true);
  done();
  expect(leave()).toBe(false);
});
