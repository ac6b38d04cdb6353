// @vitest-environment happy-dom
/** The form: what it reads, takes and says of itself. */

import { expect, test, vi } from "vitest";

import type { Preflight } from "../../src/index";
import { openPage } from "./page_document";

openPage("index.html");
const form = await import("../../src/app/form");
const { chooseLanguage } = await import("../../src/app/strings");

const input = (id: string): HTMLInputElement => document.getElementById(id) as HTMLInputElement;
const line = (): string => document.getElementById("settings-line")!.textContent;

const model = {
  manifest: {
    model: { name: "speck", source: "speck" },
    entry_points: [{ role: "vae_encoder" }],
    conditioning: { encoders: [{}, {}] },
    defaults: { steps: 20, guidance_scale: 3, size: [16, 16] },
    schedulers: {
      default: "euler",
      available: { euler: { title: "Euler" }, ddim: { title: "DDIM" } },
    },
  },
  sizes: [
    [16, 16],
    [16, 24],
  ],
  takesNegativePrompt: true,
} as unknown as Preflight;

form.startForm();
form.offerModel(model);

function type(id: string, value: string): void {
  input(id).value = value;
  input(id).dispatchEvent(new Event("input", { bubbles: true }));
}

test("each picture has a new seed unless one is given", () => {
  expect(form.readForm().seed).toBe("");
  form.showSeed("77");
  expect([input("seed").value, form.readForm().seed]).toEqual(["77", ""]);
  type("seed", "78");
  expect([input("random").checked, form.readForm().seed]).toEqual([false, "78"]);
  expect(line()).toBe("20 steps · guidance 3 · seed 78");
  // An emptied field is no seed.
  type("seed", "");
  expect([input("random").checked, form.readForm().seed]).toEqual([true, ""]);
  // Whoever wants to keep a seed before there is one gets one.
  input("random").click();
  input("random").dispatchEvent(new Event("change", { bubbles: true }));
  expect(Number(form.readForm().seed)).toBeLessThan(2 ** 32);
  expect(form.readForm().seed).toMatch(/^\d+$/);
  form.writeForm({ seed: "" });
  expect(form.readForm().seed).toBe("");
});

test("weights and second prompts are written, read and, without a second encoder, not there", () => {
  form.writeForm({ promptSyntax: "a1111", prompt2: "b", negative2: "c" });
  expect(form.readForm()).toMatchObject({ promptSyntax: "a1111", prompt2: "b", negative2: "c" });
  expect(document.getElementById("prompt2-row")!.hidden).toBe(false);
  const { manifest } = model;
  const one = { ...manifest, conditioning: { encoders: [{}] } };
  form.offerModel({ ...model, manifest: one } as unknown as Preflight);
  expect(form.readForm()).toMatchObject({ prompt2: "", negative2: "" });
  expect(document.getElementById("prompt2-row")!.hidden).toBe(true);
  form.offerModel(model);
  form.writeForm({ promptSyntax: "" });
  expect(form.readForm().promptSyntax).toBe("");
});

test("third prompts are there where a third text encoder is, and is not left out", () => {
  const { manifest } = model;
  const three = { ...manifest, conditioning: { encoders: [{}, {}, {}] } };
  const offer = (textEncoder3: boolean | undefined): void => {
    form.offerModel({ ...model, manifest: three, textEncoder3 } as unknown as Preflight);
  };
  offer(true);
  form.writeForm({ prompt3: "b", negative3: "c" });
  expect(form.readForm()).toMatchObject({ prompt3: "b", negative3: "c" });
  expect(document.getElementById("negative3-row")!.hidden).toBe(false);
  offer(false);
  expect(form.readForm()).toMatchObject({ prompt3: "", negative3: "" });
  expect(document.getElementById("prompt3-row")!.hidden).toBe(true);
  offer(true);
  form.offerModel(model);
  expect(document.getElementById("prompt3-row")!.hidden).toBe(true);
});

test("there is a cache interval where the model keeps deep features", () => {
  const row = document.getElementById("cacheInterval-row")!;
  form.offerModel(model);
  expect([row.hidden, input("cacheInterval").disabled]).toEqual([true, true]);
  const { manifest } = model;
  const entry_points = [...manifest.entry_points, { role: "shallow_denoiser" }];
  const caching = { ...manifest, entry_points } as unknown as Preflight["manifest"];
  form.offerModel({ ...model, manifest: caching });
  expect([row.hidden, form.readForm().cacheInterval]).toEqual([false, ""]);
  form.writeForm({ cacheInterval: "3" });
  expect(form.readForm().cacheInterval).toBe("3");
  form.writeForm({ cacheInterval: "" });
  expect([input("cacheInterval").value, form.readForm().cacheInterval]).toEqual(["1", ""]);
  form.offerModel(model);
});

test("layers are left out where the model has functions for it", () => {
  const row = document.getElementById("clipSkip-row")!;
  form.offerModel(model);
  expect([row.hidden, form.readForm().clipSkip]).toEqual([true, ""]);
  const states = ["text_embeddings", "text_embeddings_1", "text_embeddings_2", "pooled_text"];
  const layered = {
    ...{ name: "with_layers_text_encoder", role: "layered_text_encoder" },
    outputs: states.map((name) => ({
      name,
      shape: [1, 77, 8],
      dtype: "float32",
    })),
  };
  const { manifest } = model;
  const entry_points = [...manifest.entry_points, layered];
  const skipping = {
    ...manifest,
    entry_points,
  } as unknown as Preflight["manifest"];
  form.offerModel({ ...model, manifest: skipping });
  expect([row.hidden, input("clipSkip").max]).toEqual([false, "2"]);
  form.writeForm({ clipSkip: "1" });
  expect(form.readForm().clipSkip).toBe("1");
  form.writeForm({ clipSkip: "" });
  expect([input("clipSkip").value, form.readForm().clipSkip]).toEqual(["0", ""]);
  form.offerModel(model);
});

test("a list keeps what it has where it does not offer what is written", () => {
  form.writeForm({ size: "768x512", scheduler: "ddim", steps: "9", guidance: "4.5" });
  expect(form.readForm()).toMatchObject({ size: "16x16", scheduler: "ddim", steps: "9" });
  expect(line()).toBe("9 steps · guidance 4.5 · a new seed each time");
});

test("one picture of several is drawn alone until the number of pictures is changed", () => {
  form.writeForm({ images: "3", image: "2" });
  expect(form.readForm()).toMatchObject({ images: "3", image: "2" });
  expect(document.getElementById("only")!.hidden).toBe(false);
  expect(document.getElementById("only-text")!.textContent).toBe("Only picture 2 of 3 is drawn.");
  document.getElementById("all-images")!.click();
  expect(form.readForm()).toMatchObject({ images: "3", image: "" });
  expect(line()).toContain("3 pictures");
  form.writeForm({ images: "3", image: "2" });
  type("images", "1");
  expect(form.readForm().image).toBe("");
});

test("the line below Settings follows the language", () => {
  form.writeForm({ steps: "1", seed: "5", images: "2" });
  chooseLanguage("de");
  form.describeSettings();
  expect(line()).toBe("1 Schritt · Prompttreue 4,5 · Startwert 5 · 2 Bilder");
  chooseLanguage("en");
});

test("whoever keeps the form is told of every change", () => {
  const listener = vi.fn();
  form.onFormChange(listener);
  type("steps", "7");
  form.writeForm({ prompt: "a cat" });
  expect(listener).toHaveBeenCalledTimes(2);
});

test.each([
  ["", ""],
  ["9", "9"],
])(
  "the seed of an example goes with its prompt, and the visitor's own, %o, comes back",
  (own, seed) => {
    const borrow = (): void => {
      form.writeForm({ prompt: "a", seed: own });
      form.writeForm({ prompt: "an example", seed: "1" });
      form.borrowSeed(own);
    };
    borrow();
    expect(form.readForm().seed).toBe("1");
    type("prompt", "an example!");
    expect(form.readForm().seed).toBe(seed);
    // An example without settings has no seed of its own.
    borrow();
    form.writeForm({ prompt: "another" });
    expect(form.readForm().seed).toBe(seed);
    // A seed that is written, taken or chosen to be kept is the visitor's own.
    borrow();
    type("seed", "12");
    type("prompt", "a cat");
    expect(form.readForm().seed).toBe("12");
    borrow();
    form.writeForm({ prompt: "b", seed: "13" });
    type("prompt", "a cat");
    expect(form.readForm().seed).toBe("13");
    borrow();
    input("random").checked = false;
    input("random").dispatchEvent(new Event("change", { bubbles: true }));
    type("prompt", "a cat");
    expect(form.readForm().seed).toBe("1");
  },
);
