// @vitest-environment happy-dom
/**
 * The page's one button, its queue and its focus, on the page's own markup. The model is one that
 * does what a test tells it, so that each moment can be looked at.
 */

import { beforeEach, expect, test, vi } from "vitest";

import type { DrawOptions, LoadOptions } from "../../src/index";
import { AbortError, FetchError } from "../../src/index";
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
  return { loads, draws, bytes: { total: 2_000_000_000, kept: 0 } };
});

vi.mock("../../src/index", async (original) => {
  const call = (calls: unknown[], options: { signal?: AbortSignal }, result: unknown) =>
    new Promise((resolve, reject) => {
      options.signal?.addEventListener("abort", () => reject(new AbortError()));
      calls.push({ options, resolve: () => resolve(result), reject });
    });
  const pixels = { width: 16, height: 16 };
  const drawn = {
    images: [pixels],
    timings: { text: 1, denoise: 1, firstPreview: null, decode: 1, total: 2000 },
  };
  const pipeline = {
    adapter: {},
    generate: (_prompt: string, options: object) => call(model.draws, options, drawn),
    usage: () => Promise.resolve({ gpuBytes: 1, peakGpuBytes: 1, pipelines: 1, variants: {} }),
    unload: () => Promise.resolve(),
  };
  const found = () => ({
    manifestUrl: "http://localhost:3000/models/speck/manifest.json",
    integrity: undefined,
    manifest: {
      model: { name: "speck", title: "A model", source: "speck" },
      peak_bytes: [{ bytes: 5e9 }],
      defaults: { steps: 20, guidance_scale: 3, size: [16, 16] },
      schedulers: { default: "euler", available: { euler: { title: "Euler" } } },
      examples: ["a red circle", "a green star"],
    },
    ...{ problems: [], sizes: [[16, 16]], takesNegativePrompt: true, bytes: { ...model.bytes } },
  });
  const variant = { dtype: "f32", manifest: "a" };
  return {
    ...(await original<object>()),
    listModels: () => Promise.resolve([{ name: "speck", title: "A", variants: [variant] }]),
    chooseVariant: () => Promise.resolve({ ...found(), variant, passedOver: [] }),
    preflight: () => Promise.resolve(found()),
    StableDiffusionPipeline: {
      fromPretrained: (_url: string, options: object) => call(model.loads, options, pipeline),
      purge: () => Promise.resolve(),
    },
  };
});
vi.mock("../../src/app/gallery", () => ({
  mountGallery: () => ({ add: () => Promise.resolve() }),
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

/** Open the page anew, with a model of which so many bytes are kept. */
async function open(kept: number): Promise<void> {
  [loads.length, draws.length] = [0, 0];
  for (const [name, listener] of listeners.splice(0)) document.removeEventListener(name, listener);
  localStorage.clear();
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
  expect([card(), said()]).toEqual(["offer", "Paused. What has arrived is kept."]);
  expect(byId("load").textContent).toBe("Download 500 MB");
  expect(byId<HTMLProgressElement>("progress").hidden).toBe(true);
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
  byId("draw").click();
  expect(button()).toBe("Stop");
  // A double click is no wish to stop.
  byId("draw").dispatchEvent(
    new MouseEvent("click", { detail: 2, bubbles: true, cancelable: true }),
  );
  expect(button()).toBe("Stop");
  expect(document.activeElement).toBe(byId("draw"));
  byId("draw").click();
  await settle();
  expect([button(), said()]).toEqual(["Draw", "Stopped."]);
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
  // Stop takes back what waits as well.
  document.querySelectorAll<HTMLElement>("#examples button")[0]!.click();
  byId("draw").click();
  await settle();
  expect([button(), said(), draws.length]).toEqual(["Draw", "Stopped.", 2]);
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
