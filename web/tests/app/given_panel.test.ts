// @vitest-environment happy-dom
/** The start picture: how it comes in, what is said of it, its mask, and that it stays. */

import "fake-indexeddb/auto";

import { Blob as StoredBlob } from "node:buffer";

import { IDBFactory } from "fake-indexeddb";
import { createStore, get, set } from "idb-keyval";
import { beforeEach, expect, test, vi } from "vitest";

import type { Manifest, PictureOptions } from "../../src/index";
import type { GivenPanel } from "../../src/app/given/panel";
import { OptionError } from "../../src/index";
import { openPage } from "./page_document";

/** What files hold: width and height, or nothing that a browser can show. */
const pictures = vi.hoisted(() => new Map<unknown, { size: [number, number]; after: number }>());

vi.mock("../../src/index", async (original) => ({
  ...(await original<object>()),
  // Neither Node.js nor happy-dom decodes pictures; tests/e2e does that in a browser.
  readPicture: async (file: Blob) => {
    const found = pictures.get(await file.text());
    if (found === undefined) throw new OptionError("image does not decode", "give a PNG");
    await new Promise((done) => setTimeout(done, found.after));
    return new ImageData(...found.size);
  },
}));

vi.stubGlobal("ImageData", class {
  data: Uint8ClampedArray;
  constructor(readonly width: number, readonly height: number) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }
}); // prettier-ignore
const context = {
  ...{ putImageData: () => undefined, drawImage: () => undefined, fillRect: () => undefined },
  ...{ setTransform: () => undefined, clearRect: () => undefined, beginPath: () => undefined },
  ...{ arc: () => undefined, stroke: () => undefined },
};
HTMLCanvasElement.prototype.getContext = (() => context) as never;

// A file that a store can copy, which happy-dom's is not.
vi.stubGlobal("Blob", StoredBlob);
const file = (text: string): Blob => new Blob([text]);
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as the page has it
const byId = <T extends HTMLElement = HTMLInputElement>(id: string): T =>
  document.getElementById(id) as T;
const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 30));
const painter = (): HTMLDialogElement => document.querySelector(".painter")!;

function press(key: string, more: KeyboardEventInit = {}): void {
  const canvas = painter().querySelector("canvas")!;
  canvas.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }),
  );
}

function click(label: string, root: ParentNode = document): void {
  const buttons = [...root.querySelectorAll("button")];
  const named = ({ textContent, ariaLabel, title }: HTMLButtonElement): boolean =>
    [textContent.trim(), ariaLabel, title].includes(label);
  buttons.find(named)!.click();
}

function type(id: string, value: string): void {
  byId(id).value = value;
  byId(id).dispatchEvent(new Event("input", { bubbles: true }));
}

const manifest = (...roles: string[]): Manifest =>
  ({
    model: { name: "speck", source: "speck" },
    pipeline: "text-to-image",
    defaults: { steps: 20, guidance_scale: 3, size: [64, 64] },
    schedulers: { default: "euler", available: { euler: { title: "Euler" } } },
    entry_points: roles.map((role) => ({ role })),
    conditioning: { encoders: [{}] },
  }) as unknown as Manifest;
const ENCODES = manifest("denoiser", "vae_encoder");

let panel: GivenPanel;
let form: typeof import("../../src/app/form");
let inWords: (typeof import("../../src/app/strings"))["inWords"];
let said: string[];
let failed: string[];

async function open(): Promise<void> {
  vi.resetModules();
  openPage("index.html");
  form = await import("../../src/app/form");
  ({ inWords } = await import("../../src/app/strings"));
  const { mountGiven } = await import("../../src/app/given/panel");
  [said, failed] = [[], []];
  panel = mountGiven({
    say: (sentence) => said.push(inWords(sentence)),
    fail: (error, title, steps) =>
      failed.push(`${inWords(title)} ${inWords(steps)} ${(error as Error).message}`),
    size: form.readSize,
    changed: form.changed,
  });
  form.onFormChange(panel.describe);
  form.startForm();
  const sizes = [
    [64, 64],
    [128, 128],
  ];
  form.offerModel({ manifest: ENCODES, sizes, takesNegativePrompt: true } as never);
  panel.offerModel(ENCODES);
  await settle();
}

beforeEach(async () => {
  pictures.clear();
  for (const [name, size] of Object.entries({ moon: [64, 64], wide: [300, 100], large: [4096, 8] }))
    pictures.set(name, { size: size as [number, number], after: 0 });
  vi.stubGlobal("indexedDB", new IDBFactory());
  await open();
});

/** What the browser's store holds. */
function stored(): Promise<unknown> {
  return get("picture", createStore("wsd-start-picture", "picture"));
}

/** Give back what does not depend on the file itself. */
function options(): PictureOptions {
  const { image, ...others } = panel.options();
  expect(image).toBeInstanceOf(Blob);
  return others;
}

test("a picture is begun with: its use is said, and what can be done with it unfolds", async () => {
  expect([byId("start").hidden, byId("given").hidden]).toEqual([false, true]);
  expect(panel.options()).toEqual({});
  await panel.take(file("moon"), "moon.png");
  expect([byId("start").hidden, byId("given").hidden]).toEqual([true, false]);
  expect(said).toEqual(["moon.png is the start picture."]);
  expect(document.activeElement).toBe(byId("given-title"));
  expect(byId("given-used").textContent).toBe("64 × 64 pixels, used as they are.");
  expect(options()).toEqual({ strength: 0.8, fit: "cover" });
  expect(byId("mask-options").hidden).toBe(true);
  // The second pass is of text alone.
  expect(byId("secondPass").disabled).toBe(true);
  expect(byId("second-hint").textContent).toBe("Not with a start picture.");
});

test("a size in which the graphics card cannot begin with a picture is said", async () => {
  const missing = (): string => inWords(panel.missing() ?? "");
  panel.offerModel(ENCODES, [[64, 64]]);
  form.writeForm({ size: "128x128" });
  expect(missing()).toBe("");
  await panel.take(file("moon"), "moon.png");
  expect(missing()).toContain("cannot begin with a picture of 128 × 128: choose another size");
  form.writeForm({ size: "64x64" });
  expect(missing()).toBe("");
});

test("a picture that is set aside can be brought back; a model that changes pictures keeps it", async () => {
  panel.setAside();
  expect(byId("given-offer").hidden).toBe(true);
  await panel.take(file("moon"), "moon.png");
  const focused = document.activeElement;
  panel.setAside();
  expect([panel.options(), form.offer()!.hasPicture]).toEqual([{}, false]);
  expect(byId("given-offer-text").textContent).toBe(
    "moon.png is not the start picture any more: this picture was drawn from words alone.",
  );
  expect(document.activeElement).toBe(focused);
  byId("given-offer-yes").click();
  expect(options()).toMatchObject({ strength: 0.8 });
  panel.offerModel({ ...ENCODES, pipeline: "inpainting" });
  panel.setAside();
  expect(options()).toMatchObject({ strength: 0.8 });
});

test.each([
  ["cover", "Of 300 × 100 pixels, the middle 100 × 100 are used, as 64 × 64. The rest is cut off."],
  ["contain", "300 × 100 pixels, scaled to 64 × 21, with a border around them: 64 × 64."],
  ["stretch", "300 × 100 pixels, stretched to 64 × 64."],
])("a picture of another shape: %s", async (fit, sentence) => {
  await panel.take(file("wide"), "wide.png");
  type("fit", fit);
  expect(byId("given-used").textContent).toBe(sentence);
  expect(options()).toMatchObject({ fit });
  form.writeForm({ size: "128x128" });
  expect(byId("given-used").textContent).toContain("128 × 128");
});

test("the strength is never so little that no step is run, and stays when it was chosen", async () => {
  await panel.take(file("moon"), "moon.png");
  for (const [steps, least] of [
    [20, "0.05"],
    [3, "0.34"],
    [1, "1"],
    [7, "0.15"],
  ] as const) {
    form.writeForm({ steps: String(steps) });
    expect(byId("strength").min).toBe(least);
    expect(Math.trunc(steps * Number(least))).toBeGreaterThanOrEqual(1);
  }
  form.writeForm({ steps: "20" });
  expect(form.readForm().strength).toBe("");
  type("strength", "0.3");
  expect([form.readForm().strength, options().strength]).toEqual(["0.3", 0.3]);
  expect(byId("strength-share").textContent).toBe("30%");
});

test("a part is painted with the keyboard alone, undone, repeated, inverted and cleared", async () => {
  await panel.take(file("moon"), "moon.png");
  click("Edit a part");
  expect(painter().open).toBe(true);
  const status = (): string => painter().querySelector("[role=status]")!.textContent;
  expect(status()).toBe("Nothing is painted yet.");
  press(" ");
  expect(status()).toContain("The brush is down");
  for (let count = 0; count < 4; count++) press("ArrowRight");
  press(" ");
  const painted = status();
  expect(painted).toMatch(/^[1-9]\d?% of the picture is drawn anew\.$/);
  press("z", { ctrlKey: true });
  expect(status()).toBe("Nothing is painted yet.");
  press("z", { ctrlKey: true, shiftKey: true });
  expect(status()).toBe(painted);
  click("Invert", painter());
  expect(status()).not.toBe(painted);
  click("Clear", painter());
  expect(status()).toBe("Nothing is painted yet.");
  click("Undo", painter());
  click("Undo", painter());
  expect(status()).toBe(painted);
  // The eraser takes away what the brush painted.
  press("e");
  press("Enter");
  for (let count = 0; count < 4; count++) press("ArrowLeft");
  press("Enter");
  expect(status()).toBe("Nothing is painted yet.");
  click("Undo", painter());
  click("Done", painter());
  expect(byId("given-used").textContent).toBe(`64 × 64 pixels, used as they are. ${painted}`);
  expect(byId("mask-options").hidden).toBe(false);
  const { mask, ...others } = options();
  expect(others).toEqual({
    ...{ strength: 1, fit: "cover", maskBlur: 4, maskedContent: "original", keepUnmasked: true },
  });
  const { data, width, height } = mask as ImageData;
  expect([width, height, data[0], data[3]]).toEqual([64, 64, 0, 255]);
  const middle = 4 * (32 * 64 + 33);
  expect([...data.subarray(middle, middle + 4)]).toEqual([255, 255, 255, 255]);
  byId("onlyMasked").click();
  expect(options()).toMatchObject({ onlyMasked: true, onlyMaskedPadding: 32 });
  expect(byId("given-used").textContent).toContain("The part around what is painted is drawn");
  // What is added at the sides stays, and is drawn anew all the same.
  type("add-left", "64");
  click("Remove what is painted");
  expect(options()).toMatchObject({ strength: 1, outpaint: { left: 64 } });
  type("add-left", "0");
  expect(options()).toEqual({ strength: 0.8, fit: "cover" });
});

test("pixels at the sides are drawn anew as if they were painted", async () => {
  await panel.take(file("moon"), "moon.png");
  type("add-left", "64");
  type("add-bottom", "64");
  expect(byId("given-used").textContent).toBe("128 × 128 pixels, scaled to 64 × 64.");
  expect(options()).toMatchObject({
    strength: 1,
    outpaint: { left: 64, top: 0, right: 0, bottom: 64 },
    keepUnmasked: true,
  });
  // Another picture begins without them.
  await panel.take(file("wide"), "wide.png");
  expect(options()).toEqual({ strength: 0.8, fit: "cover" });
});

test("the mask of a large picture has its pixels, though fewer are painted", async () => {
  await panel.take(file("large"), "large.png");
  click("Edit a part");
  click("Invert", painter());
  click("Done", painter());
  const mask = panel.options().mask as ImageData;
  expect([mask.width, mask.height]).toEqual([4096, 8]);
  expect(new Set(mask.data)).toEqual(new Set([255]));
});

test("a picture that is removed can be brought back with its mask", async () => {
  await panel.take(file("moon"), "moon.png");
  click("Edit a part");
  click("Invert", painter());
  click("Done", painter());
  click("Remove the picture");
  expect([byId("given").hidden, panel.options()]).toEqual([true, {}]);
  expect(document.activeElement).toBe(byId("choose-picture"));
  expect(byId("given-offer-text").textContent).toBe("moon.png is not the start picture any more.");
  click("Undo", byId("given-offer"));
  expect(byId("given-offer").hidden).toBe(true);
  expect(options().mask).toBeDefined();
});

test("what is no picture is refused in words, and the picture from before stays", async () => {
  await panel.take(file("moon"), "moon.png");
  await panel.take(file("noise"), "noise.txt");
  expect(failed).toEqual([
    "noise.txt cannot be used as a picture. Choose a picture that this browser can show: a PNG, " +
      "JPEG or WebP in RGB (not CMYK), not animated, with at most 16384 pixels a side and 134 " +
      "million in all. image does not decode",
  ]);
  expect(await (panel.options().image as Blob).text()).toBe("moon");
});

test("a picture that is read slowly does not replace a later one", async () => {
  pictures.set("slow", { size: [8, 8], after: 20 });
  const slow = panel.take(file("slow"), "slow.png");
  await panel.take(file("moon"), "moon.png");
  await slow;
  expect(byId("given-used").textContent).toContain("64 × 64");
  expect(said).toEqual(["moon.png is the start picture."]);
});

test("a picture with settings is offered, and taken only if the visitor wants it", async () => {
  panel.offer(file("moon"), "moon.png");
  expect(byId("given-offer-text").textContent).toMatch(/^moon\.png brought its settings\./);
  click("Not now", byId("given-offer"));
  expect([byId("given-offer").hidden, panel.options()]).toEqual([true, {}]);
  panel.offer(file("moon"), "moon.png");
  click("Start from it", byId("given-offer"));
  await settle();
  expect(options()).toEqual({ strength: 0.8, fit: "cover" });
});

test("a model without an encoder says so, and the picture waits for one that has it", async () => {
  await panel.take(file("moon"), "moon.png");
  panel.offerModel(manifest("denoiser"));
  expect([byId("given").hidden, byId("start").hidden, byId("no-encoder").hidden]).toEqual([
    ...[true, true, false],
  ]);
  expect([panel.canStart(), panel.options()]).toEqual([false, {}]);
  said.length = 0;
  await panel.take(file("wide"), "wide.png");
  expect(said).toEqual(["This model draws from words alone, and cannot start from a picture."]);
  panel.offerModel(ENCODES);
  expect(byId("no-encoder").hidden).toBe(true);
  expect(byId("given-used").textContent).toContain("64 × 64");
});

test("a model that changes parts says what it still needs", async () => {
  panel.offerModel({ ...ENCODES, pipeline: "inpainting" });
  const missing = (): string => inWords(panel.missing() ?? "");
  expect(missing()).toContain("choose a picture first");
  expect(byId("choose-how").textContent).toBe(missing());
  await panel.take(file("moon"), "moon.png");
  expect(missing()).toContain("paint that part first");
  click("Edit a part");
  click("Invert", painter());
  click("Done", painter());
  expect(missing()).toBe("");
});

test("a picture that comes before the model does is shown, and fitted when the model is there", async () => {
  byId<HTMLSelectElement>("size").replaceChildren();
  await panel.take(file("wide"), "wide.png");
  expect(byId("given-used").textContent).toBe("300 × 100 pixels, used as they are.");
  form.offerModel({ manifest: ENCODES, sizes: [[64, 64]], takesNegativePrompt: true } as never);
  expect(byId("given-used").textContent).toContain("the middle 100 × 100");
});

test("the picture and its mask stay over a reload, until the picture is removed", async () => {
  await panel.take(file("moon"), "moon.png");
  click("Edit a part");
  click("Invert", painter());
  click("Done", painter());
  type("add-top", "24");
  byId("add-top").dispatchEvent(new Event("change", { bubbles: true }));
  await vi.waitFor(async () => expect(await stored()).toMatchObject({ added: [0, 0, 24, 0] }));
  await open();
  await vi.waitFor(() => expect(byId("given").hidden).toBe(false));
  expect(options()).toMatchObject({ outpaint: { left: 0, right: 0, top: 24, bottom: 0 } });
  expect(options().mask).toBeDefined();
  expect(byId("given-picture").querySelector("canvas")!.getAttribute("aria-label")).toBe(
    "The start picture: moon.png",
  );
  expect(said).toEqual([]);
  click("Remove the picture");
  await vi.waitFor(async () => expect(await stored()).toBeUndefined());
});

test.each([
  ["a text", "moon"],
  ["another version", { version: 99, file: new Blob(["moon"]), name: "a" }],
  ["no file", { version: 1, file: "moon", name: "a" }],
  ["a name without end", { version: 1, file: new Blob(["moon"]), name: "a".repeat(300) }],
  ["a file that is no picture", { version: 1, file: new Blob(["noise"]), name: "a" }],
])("%s in the browser's store is ignored", async (_, value) => {
  await set("picture", value, createStore("wsd-start-picture", "picture"));
  await open();
  expect([byId("given").hidden, said, failed]).toEqual([true, [], []]);
});

test("what the form says of a second pass is kept, and only possible sizes are offered", () => {
  byId("secondPass").click();
  byId("secondPass").dispatchEvent(new Event("input", { bubbles: true }));
  expect(byId("second-options").hidden).toBe(false);
  expect([...byId<HTMLSelectElement>("secondScale").options].map((each) => each.text)).toEqual([
    "128 × 128 (2 times)",
  ]);
  form.writeForm({ secondSteps: "7" });
  expect(byId("second-hint").textContent).toMatch(/draws its details anew\. It runs 7 steps\.$/);
  type("secondStrength", "0.55");
  expect(form.readForm()).toMatchObject({ secondPass: "2", secondStrength: "0.55", upscale: "" });
  type("size", "128x128");
  expect(byId("secondPass").disabled).toBe(true);
  expect(byId("second-options").hidden).toBe(true);
  expect(byId("second-hint").textContent).toContain("no larger size");
});
