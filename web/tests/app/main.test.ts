// @vitest-environment happy-dom
/**
 * The page's one button, its queue and its focus, on the page's own markup. The model is one that
 * does what a test tells it, so that each moment can be looked at.
 */

import { beforeEach, expect, test, vi } from "vitest";

import type { DrawOptions, LoadOptions } from "../../src/index";
import type { GalleryPage } from "../../src/app/gallery";
import { AbortError, FetchError } from "../../src/index";
import { noSettings } from "../../src/settings/found_settings";
import { openPage } from "./page_document";

/** A call of the model that a test ends. */
interface Call<Options> {
  options: Options;
  resolve: () => void;
  reject: (error: unknown) => void;
}

const model = vi.hoisted(() => {
  const loads: unknown[] = [];
  const draws: unknown[] = [];
  /** What the model's examination throws, once. */
  const faults: Error[] = [];
  /** Models whose examination waits, and what ends it. */
  const waiting = new Map<string, Promise<void>>();
  /** What the safety checker says of the drawn picture; undefined if none runs. */
  const safety: { flagged: boolean }[] | undefined = undefined;
  const checks = {
    /** The models whose pictures the page's owner has checked. */
    models: [] as string[],
    safety: safety as { flagged: boolean }[] | undefined,
  };
  const bytes = { total: 2_000_000_000, kept: 0 };
  /** Whether the models have a third text encoder. */
  return { loads, draws, faults, waiting, checks, bytes, hasThird: false };
});

vi.mock("../../src/index", async (original) => {
  const call = (calls: unknown[], options: { signal?: AbortSignal }, result: unknown) =>
    new Promise((resolve, reject) => {
      options.signal?.addEventListener("abort", () => reject(new AbortError()));
      calls.push({ options, resolve: () => resolve(result), reject });
    });
  const pixels = { width: 24, height: 48, data: new Uint8ClampedArray(4 * 24 * 48).fill(200) };
  const drawn = {
    images: [pixels],
    imageSettings: [{}],
    timings: { text: 1, denoise: 1, firstPreview: null, decode: 1, total: 2000 },
  };
  const pipeline = {
    adapter: {},
    loadTimes: {
      start: 1,
      weights: 1,
      pipelines: 1,
      fetch: 1,
      read: 1,
      hash: 1,
      write: 1,
      upload: 1,
    },
    loras: [],
    generate: (_prompt: string, options: object) =>
      call(model.draws, options, { ...drawn, safety: model.checks.safety }),
    usage: () => Promise.resolve({ gpuBytes: 1, peakGpuBytes: 1, pipelines: 1, variants: {} }),
    unload: () => Promise.resolve(),
    countTokens: (prompt: string) => {
      const words = prompt.split(" ");
      const cut = words.slice(5).join(" ");
      return Promise.resolve([{ encoder: "text_encoder", tokens: words.length, limit: 5, cut }]);
    },
  };
  const moon = { file: "moon.webp", bytes: 1, sha256: "00", prompt: "a moon" };
  const found = (name = "speck") => ({
    manifestUrl: `http://localhost:3000/models/${name}/manifest.json`,
    integrity: undefined,
    manifest: {
      model: { name, title: "A model", source: "speck" },
      entry_points: [{ role: "denoiser" }],
      conditioning: { encoders: [{}] },
      components: { safety_checker: { role: "safety_checker", bytes: 1e9 } },
      peak_bytes: [{ bytes: 5e9, offload: false }],
      defaults: { steps: 20, guidance_scale: 3, size: [16, 16] },
      schedulers: { default: "euler", available: { euler: { title: "Euler" } } },
      examples: ["a red circle", "a green star", "a moon"],
      example_pictures: [{ ...moon, settings: "a moon\nSteps: 7, Sampler: Euler, Seed: 11" }],
    },
    ...{ problems: [], sizes: [[16, 16]], takesNegativePrompt: true, bytes: { ...model.bytes } },
  });
  const variant = { dtype: "f32", manifest: "a" };
  const listed = ["speck", "twin"].map((name) => ({ name, title: "A", variants: [variant] }));
  return {
    ...(await original<object>()),
    listModels: () => Promise.resolve(listed),
    chooseVariant: async ({ name }: { name: string }, asked: { textEncoder3?: boolean }) => {
      const fault = model.faults.pop();
      if (fault !== undefined) throw fault;
      await model.waiting.get(name);
      const safetyChecker = model.checks.models.includes(name);
      const textEncoder3 = model.hasThird ? asked.textEncoder3 !== false : undefined;
      return { ...found(name), safetyChecker, textEncoder3, variant, passedOver: [] };
    },
    preflight: (_url: string, options: object) => Promise.resolve({ ...found(), ...options }),
    StableDiffusionPipeline: {
      fromPretrained: (_url: string, options: object) => call(model.loads, options, pipeline),
      purge: () => Promise.resolve(void (model.bytes.kept = 0)),
    },
  };
});
/** What the page gave to the gallery, and how many pictures it added with each call. */
let galleryPage: GalleryPage;
const added: number[] = [];
vi.mock("../../src/app/gallery", () => ({
  mountGallery: (_root: HTMLElement, page: GalleryPage) => {
    galleryPage = page;
    const add = ({ images }: { images: unknown[] }): Promise<void> =>
      Promise.resolve(void added.push(images.length));
    return { add, enlarge: () => undefined };
  },
}));

const loads = model.loads as Call<LoadOptions>[];
const draws = model.draws as Call<DrawOptions>[];
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as the page has it
const byId = <T extends HTMLElement = HTMLElement>(id: string): T =>
  document.getElementById(id) as T;
const said = (): string => byId("status").textContent;
const button = (): string =>
  `${byId("draw-text").textContent}${byId("draw").getAttribute("aria-disabled") === "true" ? ", disabled" : ""}`;
const card = (): string | undefined =>
  document.querySelector<HTMLElement>("[data-card]:not([hidden])")?.dataset.card;
/** Let promises that are settled call what waits for them. */
const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 20));

function press(target: EventTarget, key: string, more: KeyboardEventInit = {}): void {
  target.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }),
  );
}

vi.stubGlobal("isSecureContext", true);
// The examples' pictures do not arrive, so that their texts stay.
vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
vi.stubGlobal("ImageData", class {
  data: Uint8ClampedArray;
  constructor(readonly width: number, readonly height: number) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }
}); // prettier-ignore

/** What a page listens to on the document, which the next one's document does not have. */
const listeners: Parameters<typeof document.addEventListener>[] = [];
const listen = document.addEventListener.bind(document);
document.addEventListener = (...given: Parameters<typeof document.addEventListener>): void => {
  listeners.push(given);
  listen(...given);
};

/** Open the page anew, with a model of which so many bytes are kept; or as one that comes back. */
async function open(kept: number, returning = false): Promise<void> {
  [loads.length, draws.length] = [0, 0];
  history.replaceState(null, "", "/");
  for (const [name, listener] of listeners.splice(0)) document.removeEventListener(name, listener);
  if (!returning) localStorage.clear();
  model.bytes.kept = kept;
  vi.resetModules();
  openPage("index.html");
  const context = { putImageData: () => undefined, drawImage: () => undefined };
  HTMLCanvasElement.prototype.getContext = (() => context) as never;
  await import("../../src/app/main");
  await settle();
}

async function openReady(): Promise<void> {
  await open(model.bytes.total);
  loads[0]!.resolve();
  await settle();
}

beforeEach(() => {
  document.body.replaceChildren();
});

test("a large model is offered, and Draw says what is missing", async () => {
  await open(0);
  expect([card(), button(), said()]).toEqual([
    "offer",
    "Draw, disabled",
    "Choose Download to begin.",
  ]);
  expect(byId("load").textContent).toBe("Download 2.00 GB");
  byId("draw").click();
  expect(said()).toContain("Download the model first");
  expect(document.activeElement).toBe(byId("load"));
  expect(loads).toEqual([]);
  // The download's button gives way to the one that pauses it, and the focus goes along.
  byId("load").click();
  expect([card(), button()]).toEqual(["preparing", "Draw"]);
  expect(document.activeElement).toBe(byId("pause"));
  // What has arrived meanwhile is kept, and not offered again.
  model.bytes.kept = 1_500_000_000;
  byId("pause").click();
  await settle();
  expect([card(), said()]).toEqual(["offer", "Paused. What has been downloaded is kept."]);
  expect(byId("load").textContent).toBe("Download 500 MB");
  expect(byId<HTMLProgressElement>("progress").hidden).toBe(true);
});

test("the third text encoder is left out as a visitor has chosen, at the next visit too", async () => {
  await open(0);
  expect(byId("encoder3-row").hidden).toBe(true);
  model.hasThird = true;
  try {
    await openReady();
    const box = byId<HTMLInputElement>("encoder3");
    expect([byId("encoder3-row").hidden, box.checked]).toEqual([false, true]);
    expect(loads[0]!.options.textEncoder3).toBe(true);
    box.click();
    await settle();
    expect(loads[1]!.options.textEncoder3).toBe(false);
    await open(model.bytes.total, true);
    expect(byId<HTMLInputElement>("encoder3").checked).toBe(false);
    expect(loads[0]!.options.textEncoder3).toBe(false);
    byId<HTMLInputElement>("encoder3").click();
    await settle();
    expect(loads[1]!.options.textEncoder3).toBe(true);
  } finally {
    model.hasThird = false;
  }
});

test("a picture waits for the model, and can be taken back", async () => {
  await open(model.bytes.total);
  expect([card(), button()]).toEqual(["preparing", "Draw"]);
  byId("draw").click();
  expect(button()).toBe("Stop");
  expect(byId("preparing-how").textContent).toContain("Your picture is next");
  press(document.body, "Escape");
  expect([button(), said()]).toEqual(["Draw", "Stopped."]);
  byId<HTMLTextAreaElement>("prompt").value = "a cat";
  press(byId("prompt"), "Enter", { ctrlKey: true });
  expect(button()).toBe("Stop");
  expect(draws).toEqual([]);
  loads[0]!.resolve();
  await settle();
  expect(draws).toHaveLength(1);
  expect(button()).toBe("Stop");
  draws[0]!.resolve();
  await settle();
  expect([button(), said()]).toEqual(["Draw", "Done in 2.0 seconds."]);
});

test("one button draws and stops, and keeps the focus", async () => {
  await openReady();
  byId("draw").focus();
  expect(card()).toBe("welcome");
  byId("draw").click();
  expect([button(), card()]).toEqual(["Stop", undefined]);
  // A double click is no wish to stop.
  byId("draw").dispatchEvent(
    new MouseEvent("click", { detail: 2, bubbles: true, cancelable: true }),
  );
  expect(button()).toBe("Stop");
  expect(document.activeElement).toBe(byId("draw"));
  byId("draw").click();
  await settle();
  expect([button(), said(), card()]).toEqual(["Draw", "Stopped.", "welcome"]);
  expect(document.activeElement).toBe(byId("draw"));
  expect(draws).toHaveLength(1);
});

test("what is asked for while a picture is drawn is drawn after it", async () => {
  await openReady();
  byId("draw").click();
  document.querySelectorAll<HTMLElement>("#examples button")[1]!.click();
  expect(draws).toHaveLength(1);
  draws[0]!.resolve();
  await settle();
  expect(draws).toHaveLength(2);
  // What waits can be drawn at once, in place of the present picture.
  expect(byId("next").hidden).toBe(true);
  document.querySelectorAll<HTMLElement>("#examples button")[1]!.click();
  expect(byId("next").hidden).toBe(false);
  byId("skip").focus();
  byId("skip").click();
  await settle();
  expect([button(), draws.length, byId("next").hidden]).toEqual(["Stop", 3, true]);
  expect(document.activeElement).toBe(byId("draw"));
  // Stop takes back what waits as well.
  document.querySelectorAll<HTMLElement>("#examples button")[0]!.click();
  byId("draw").click();
  await settle();
  expect([button(), said(), draws.length]).toEqual(["Draw", "Stopped.", 3]);
});

test("each picture has another seed, which is shown", async () => {
  await openReady();
  const seeds = [];
  for (const index of [0, 1]) {
    byId("draw").click();
    seeds.push(draws[index]!.options.seed);
    expect(byId<HTMLInputElement>("seed").value).toBe(String(seeds[index]));
    draws[index]!.resolve();
    await settle();
  }
  expect(seeds[0]).not.toBe(seeds[1]);
});

test("an example is drawn when it is clicked", async () => {
  await openReady();
  document.querySelectorAll<HTMLElement>("#examples button")[1]!.click();
  expect(byId<HTMLTextAreaElement>("prompt").value).toBe("a green star");
  expect(draws).toHaveLength(1);
});

test("the seed of an example is left again with another prompt", async () => {
  await openReady();
  const seeds: DrawOptions["seed"][] = [];
  const draw = async (how: () => void): Promise<void> => {
    how();
    seeds.push(draws.at(-1)!.options.seed);
    draws.at(-1)!.resolve();
    await settle();
  };
  const example = document.querySelectorAll<HTMLElement>("#examples button")[2]!;
  const button = byId("draw");
  await draw(() => example.click());
  await draw(() => button.click());
  byId<HTMLTextAreaElement>("prompt").value = "a cat";
  byId("prompt").dispatchEvent(new Event("input", { bubbles: true }));
  await draw(() => button.click());
  await draw(() => button.click());
  expect(seeds.slice(0, 2)).toEqual([11, 11]);
  expect(new Set(seeds).size).toBe(3);
});

test("after an error the page can try again", async () => {
  await open(model.bytes.total);
  byId("draw").click();
  loads[0]!.reject(new FetchError("unet-0.bin: the server answered 404", "try again"));
  await settle();
  expect(byId("error").hidden).toBe(false);
  expect([card(), button()]).toEqual(["offer", "Draw, disabled"]);
  byId("load").click();
  expect(byId("error").hidden).toBe(true);
  loads[1]!.resolve();
  await settle();
  // What waited before the error does not begin by itself.
  expect([button(), said(), draws.length]).toEqual(["Draw", "Ready.", 0]);
});

test("what waits is drawn only if no field holds something wrong by then", async () => {
  await openReady();
  byId("draw").click();
  document.querySelectorAll<HTMLElement>("#examples button")[1]!.click();
  byId<HTMLInputElement>("steps").value = "";
  draws[0]!.resolve();
  await settle();
  expect([draws.length, button()]).toEqual([1, "Draw"]);
});

test("examples and Vary draw nothing while a field holds something wrong", async () => {
  await openReady();
  byId<HTMLInputElement>("steps").value = "1000";
  document.querySelectorAll<HTMLElement>("#examples button")[1]!.click();
  galleryPage.draw();
  expect(draws).toEqual([]);
  expect(byId<HTMLDetailsElement>("settings").open).toBe(true);
  byId<HTMLInputElement>("steps").value = "10";
  galleryPage.draw();
  expect(draws).toHaveLength(1);
});

test("what another one says while a picture is drawn does not end its progress", async () => {
  await openReady();
  byId("draw").click();
  expect(said()).toBe("Starting …");
  const { onProgress } = draws[0]!.options;
  const amounts = { image: 0, images: 1, overall: 0.5, remainingMs: null };
  onProgress!({ stage: "denoise", loaded: 1, total: 2, ...amounts });
  galleryPage.say("The link is copied.");
  expect([said(), byId("detail").textContent]).toEqual([
    ...["The link is copied.", "The link is copied."],
  ]);
  expect(byId("progress").hidden).toBe(false);
  draws[0]!.resolve();
  await settle();
  galleryPage.say("The link is copied.");
  expect(byId("sentence").textContent).toBe("The link is copied.");
});

test("a preview is named as one, and is not shown as squares", async () => {
  await openReady();
  byId<HTMLTextAreaElement>("prompt").value = "a cat";
  byId("draw").click();
  const canvas = byId("canvas");
  const amounts = { image: 0, images: 1, overall: 0.5, remainingMs: null };
  const preview = new ImageData(16, 16);
  draws[0]!.options.onProgress!({ stage: "denoise", loaded: 1, total: 2, ...amounts, preview });
  expect([canvas.getAttribute("aria-label"), canvas.className]).toEqual([
    ...["A preview of: a cat", ""],
  ]);
  draws[0]!.resolve();
  await settle();
  expect([canvas.getAttribute("aria-label"), canvas.className]).toEqual(["a cat", "squares"]);
});

test("a button below the picture that draws another one gives its focus to Draw", async () => {
  await openReady();
  const vary = document.createElement("button");
  byId("picture-actions").append(vary);
  vary.focus();
  galleryPage.draw();
  expect([byId("picture-actions").className, document.activeElement]).toEqual([
    ...["tools away", byId("draw")],
  ]);
});

function choose(name: string): void {
  byId<HTMLSelectElement>("model").value = name;
  byId("model").dispatchEvent(new Event("change"));
}

test("another model takes the place of the one that draws", async () => {
  await openReady();
  byId("draw").click();
  draws[0]!.options.onProgress!({
    ...{ stage: "text", loaded: 0, total: 1, images: 1, overall: 0.1, remainingMs: null },
  });
  loads[0]!.options.onNotice!("It is decoded in tiles.");
  expect(byId("notices").hidden).toBe(false);
  choose("twin");
  await settle();
  // The stopped picture takes neither the sentence nor the place of the new model.
  expect([said(), card(), byId("notices").hidden]).toEqual([
    ...["Checking the model …", "preparing", true],
  ]);
  expect(location.search).toBe("?model=twin");
  loads[1]!.resolve();
  await settle();
  expect([said(), button()]).toEqual(["Ready.", "Draw"]);
});

test("the form is kept, also where the first model cannot be looked at", async () => {
  model.faults.push(new FetchError("manifest.json: the server answered 500", "try again"));
  await open(model.bytes.total);
  expect(card()).toBe("unable");
  // Nothing else tries again.
  expect(byId("error").querySelector("button")!.textContent).toBe("Try again");
  choose("twin");
  await settle();
  expect(byId("error").hidden).toBe(true);
  byId<HTMLTextAreaElement>("prompt").value = "a cat";
  byId("prompt").dispatchEvent(new Event("input", { bubbles: true }));
  dispatchEvent(new Event("pagehide"));
  expect(JSON.parse(localStorage.getItem("wsd-form")!)).toMatchObject({
    ...{ model: "twin", form: expect.stringContaining("prompt=a+cat") as string },
  });
  // Of another model's form, a later visit takes the prompt alone.
  byId<HTMLInputElement>("steps").value = "7";
  byId("settings").dispatchEvent(new Event("input", { bubbles: true }));
  dispatchEvent(new Event("pagehide"));
  await open(model.bytes.total, true);
  expect(byId<HTMLTextAreaElement>("prompt").value).toBe("a cat");
  expect(byId<HTMLInputElement>("steps").value).toBe("20");
});

test("what is kept of the model is said after loading, forgetting and in another language", async () => {
  const facts = (): string => byId("model-facts").textContent;
  await open(0);
  expect([facts().includes("kept"), byId("forget").hidden]).toEqual([false, true]);
  byId("load").click();
  model.bytes.kept = model.bytes.total;
  loads[0]!.resolve();
  await settle();
  expect([facts().includes("2.00 GB of it kept"), byId("forget").hidden]).toEqual([true, false]);
  const { text, chooseLanguage } = await import("../../src/app/strings");
  chooseLanguage("de");
  expect([said(), button()]).toEqual(["Bereit.", "Zeichnen"]);
  expect(facts()).toContain("2,00");
  chooseLanguage("en");
  byId("forget").click();
  byId("forget-yes").click();
  await settle();
  expect([facts().includes("kept"), byId("forget").hidden]).toEqual([false, true]);
  expect(said()).toBe(text().forgotten);
});

test.each([
  { total: 2e9, room: 5e9, last: "Stays in this browser", warns: false },
  { total: 2e9, room: 1e9, last: "room for only 1.00 GB", warns: true },
  // Chromium reports no more than 10 GiB, so that nothing is known.
  { total: 20e9, room: 10 * 2 ** 30, last: "Needs 5.00 GB of graphics memory", warns: false },
])("what the offer of $total bytes says with room for $room", async ({ total, room, ...said }) => {
  const former = model.bytes.total;
  model.bytes.total = total;
  const storage = { estimate: () => Promise.resolve({ quota: room }) };
  Object.defineProperty(navigator, "storage", { value: storage, configurable: true });
  await open(0);
  const last = byId("offer-facts").lastElementChild!;
  expect(last.textContent).toContain(said.last);
  expect(last.classList.contains("warning")).toBe(said.warns);
  Reflect.deleteProperty(navigator, "storage");
  model.bytes.total = former;
});

test("a picture that the safety checker flags is blurred and not kept, and no preview is shown", async () => {
  model.checks.models = ["speck"];
  await openReady();
  expect(loads[0]!.options.safetyChecker).toBe(true);
  added.length = 0;
  model.checks.safety = [{ flagged: true }];
  byId("draw").click();
  expect(draws[0]!.options.previewEvery).toBe(0);
  draws[0]!.resolve();
  await settle();
  expect([added, byId("frame").dataset.state]).toEqual([[0], "hidden"]);
  expect(byId("canvas").classList.contains("blurred")).toBe(true);
  // Few pixels of it are in the page, whatever blurs them.
  const { width, height } = byId<HTMLCanvasElement>("canvas");
  expect([width, height]).toEqual([12, 24]);
  expect(byId("canvas").getAttribute("aria-label")).not.toContain("red circle");
  expect(byId("flagged").textContent).toContain("blurred and not kept. Change the prompt");
  expect(said()).toContain("blurred and not kept");
  // The next one is as ever.
  model.checks.safety = [{ flagged: false }];
  byId("draw").click();
  draws[1]!.resolve();
  await settle();
  expect([added, byId("frame").dataset.state]).toEqual([[0, 1], "picture"]);
  expect([byId("flagged").hidden, byId("canvas").classList.contains("blurred")]).toEqual([
    ...[true, false],
  ]);
  Object.assign(model.checks, { models: [], safety: undefined });
});

test("a model is loaded with its own safety checker, in whatever order models are examined", async () => {
  await openReady();
  const choose = byId<HTMLSelectElement>("model");
  for (const checked of [["speck"], ["twin"]]) {
    model.checks.models = checked;
    const ends: (() => void)[] = [];
    for (const name of ["speck", "twin"]) {
      model.waiting.set(name, new Promise((resolve) => ends.push(resolve)));
      choose.value = name;
      choose.dispatchEvent(new Event("change"));
      await settle();
    }
    // The model that is wanted is found first, and then the one that is wanted no more.
    for (const end of ends.reverse()) {
      end();
      await settle();
    }
    expect(loads.at(-1)!.options.safetyChecker).toBe(checked.includes("twin"));
    loads.at(-1)!.resolve();
    await settle();
    byId("draw").click();
    expect(draws.at(-1)!.options.previewEvery === 0).toBe(checked.includes("twin"));
    draws.at(-1)!.resolve();
    await settle();
    model.waiting.clear();
  }
  model.checks.models = [];
});

test("the offer of a model whose pictures are checked counts the checker's memory", async () => {
  model.checks.models = ["speck"];
  await open(0);
  expect(byId("offer-facts").textContent).toContain("6.00 GB");
  model.checks.models = [];
});

test("without a checker, previews are shown; a variation is drawn until it is taken back", async () => {
  await openReady();
  const varied = { seed: 5, variationSeed: 9, variationStrength: 0.25 };
  galleryPage.take({ ...noSettings("A1111"), ...varied }, "it.png");
  expect(byId("variation-text").textContent).toBe("A variation: 25% of the noise of seed 9.");
  byId("draw").click();
  expect(draws[0]!.options).toMatchObject({ ...varied, previewEvery: 2 });
  expect(draws[0]!.options).not.toHaveProperty("secondPass");
  expect(draws[0]!.options).not.toHaveProperty("image");
  draws[0]!.resolve();
  await settle();
  byId("no-variation").click();
  byId("draw").click();
  expect(draws[1]!.options).not.toHaveProperty("variationSeed");
  draws[1]!.resolve();
  await settle();
});
