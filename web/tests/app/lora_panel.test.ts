// @vitest-environment happy-dom
/**
 * LoRAs and textual inversions on the page: how they are added, switched and removed, and that they stay
 * over a reload.
 */

import "fake-indexeddb/auto";

import { Blob as StoredBlob } from "node:buffer";

import { IDBFactory } from "fake-indexeddb";
import { clear, createStore, keys, set } from "idb-keyval";
import { beforeEach, expect, test, vi } from "vitest";

import type {
  InversionOptions,
  LoadedInversion,
  LoadedLora,
  LoraOptions,
  Manifest,
} from "../../src/index";
import type { FastFields } from "../../src/app/loras/fast_settings";
import type { LoraPanel, LoraPipeline } from "../../src/app/loras/panel";
import { suggestSettings } from "../../src/index";
import { writeSafetensors } from "../safetensors_file";
import { openPage } from "./page_document";

// A file that a store can copy, which happy-dom's is not.
vi.stubGlobal("Blob", StoredBlob);
class NamedBlob extends StoredBlob {
  constructor(
    text: string,
    readonly name: string,
  ) {
    super([text]);
  }
}
class NamedBytes extends StoredBlob {
  constructor(
    bytes: ArrayBuffer,
    readonly name: string,
  ) {
    super([bytes]);
  }
}
const file = (name: string, text = name): File => new NamedBlob(text, name) as unknown as File;
/** Let everything go on that has begun: in turns of the event loop, because a busy machine is slow. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 40; turn++) await new Promise((done) => setTimeout(done, 1));
}
const named = (title: string, spacing = "leading"): object => ({
  title,
  timestep_spacing: spacing,
});
/** Schedulers of a bundle that was built before there were those of trailing timesteps. */
let available: Record<string, object>;
const model = (family: string, examples?: object[]): Parameters<LoraPanel["offerModel"]>[0] => ({
  manifest: {
    model: { name: "speck", family },
    entry_points: [],
    example_loras: examples,
    conditioning: { encoders: family === "sdxl" ? ["one", "two"] : ["one"] },
    schedulers: { default: "dpmpp_2m", available },
    defaults: { steps: 25, guidance_scale: 7 },
  } as unknown as Manifest,
  manifestUrl: `${location.origin}/models/speck/manifest.json?key=1`,
});

/** Files of these names are those of fast variants. */
const FAST: Record<string, string> = { lcm: "lcm-lora", hyper: "hyper-4step", tcd: "tcd" };

/** The package as the page has it: its classes of errors are those that the page knows. */
let api: typeof import("../../src/index");

/** A pipeline that reads every file but those that begin with "bad", and notes each call. */
class Pipeline implements LoraPipeline {
  list: LoadedLora[] = [];
  textualInversions: LoadedInversion[] = [];
  /** Thrown by loadLora, if there is one. */
  failure: Error | undefined;
  /** How many calls of loadLora have begun. */
  begun = 0;
  readonly calls: string[] = [];
  /** The call waits for it, if there is one. */
  wait: Promise<void> | undefined;

  get loras(): LoadedLora[] {
    return this.list.map((lora) => ({ ...lora }));
  }

  async loadLora(source: string | URL | Blob, options: LoraOptions = {}): Promise<LoadedLora> {
    this.begun += 1;
    await this.wait;
    if (options.signal?.aborted === true) throw new api.AbortError();
    if (this.failure !== undefined) throw this.failure;
    const text = source instanceof StoredBlob ? await source.text() : (source as string);
    const { name = "bundle", scale = 1, sha256 } = options;
    this.calls.push(`load ${name} ${scale}${sha256 === undefined ? "" : " checked"}`);
    if (text.startsWith("bad")) throw new api.LoraError("it is bad", "take another one");
    const digest = text.length.toString(16).padStart(64, "0");
    if (sha256 !== undefined && sha256 !== digest) throw new api.LoraError("another file", "no");
    const suggested = suggestSettings(FAST[name], model("sd15").manifest);
    const made = {
      ...(suggested === undefined ? {} : { suggested }),
      ...{ name, scale, layers: 192, bytes: 37e6, sha256: digest, hash: digest.slice(-12) },
      unused: text.includes("pixel") ? ["a", "b"] : [],
      triggerWords: ["pixel art", "x".repeat(90)],
    };
    this.list.push(made);
    return made;
  }

  setAdapters(scales: Record<string, number>): Promise<void> {
    const unknown = Object.keys(scales).find(
      (name) => !this.list.some((each) => each.name === name),
    );
    if (unknown !== undefined) throw new api.OptionError(`${unknown} is not loaded`, "load it");
    this.calls.push(`set ${JSON.stringify(scales)}`);
    for (const lora of this.list) lora.scale = scales[lora.name] ?? 0;
    return Promise.resolve();
  }

  unloadLora(name?: string): Promise<void> {
    this.calls.push(`unload ${name}`);
    this.list = this.list.filter((lora) => lora.name !== name);
    return Promise.resolve();
  }

  async loadTextualInversion(
    source: string | URL | Blob,
    { token = "<cat>", sha256 }: InversionOptions = {},
  ): Promise<LoadedInversion> {
    const bytes = source instanceof StoredBlob ? source.size : (source as string).length;
    this.calls.push(`word ${token}${sha256 === undefined ? "" : " checked"}`);
    if (typeof source === "string" && !source.includes("word"))
      throw new api.LoraError("no word", "no");
    if (this.textualInversions.some((each) => each.token === token))
      throw new api.OptionError("there is one", "take another");
    const loaded = { token, vectors: 2, sha256: bytes.toString(16).padStart(64, "0") };
    this.textualInversions = [...this.textualInversions, loaded];
    return Promise.resolve(loaded);
  }

  unloadTextualInversion(token?: string): void {
    this.calls.push(`forget ${token}`);
    this.textualInversions = this.textualInversions.filter((each) => each.token !== token);
  }
}

let panel: LoraPanel;
let pipeline: Pipeline;
let said: string[];
let failed: string[];
let prompt: string;
let fields: FastFields;

/** Open the page, with a model of a family; it is loaded unless told else. */
async function open(family = "sd15", loaded = true, examples?: object[]): Promise<void> {
  vi.resetModules();
  openPage("index.html");
  const { inWords } = await import("../../src/app/strings");
  const { mountLoras } = await import("../../src/app/loras/panel");
  api = await import("../../src/index");
  [said, failed, prompt] = [[], [], "a fox"];
  fields = { scheduler: "dpmpp_2m", steps: "25", guidance: "7" };
  panel = mountLoras({
    say: (sentence) => said.push(inWords(sentence)),
    fail: (error, title, steps) =>
      failed.push(
        [title, steps]
          .map((each) => (each === undefined ? "" : `${inWords(each)} `))
          .concat((error as Error).message)
          .join(""),
      ),
    prompt: () => prompt,
    setPrompt: (text) => (prompt = text),
    readSettings: () => fields,
    writeSettings: (changed) => (fields = { ...fields, ...changed }),
  });
  pipeline = new Pipeline();
  await panel.offerModel(model(family, examples));
  if (loaded) panel.attach(pipeline);
  await settle();
}

beforeEach(async () => {
  available = {
    ...{ dpmpp_2m: named("DPM-Solver++ 2M"), ddim: named("DDIM"), euler: named("Euler") },
    ...{ lcm: named("LCM"), tcd: named("TCD") },
  };
  vi.stubGlobal("indexedDB", new IDBFactory());
  await open();
});

const line = (): string => document.getElementById("loras-line")!.textContent;
const shown = (): HTMLElement[] => [
  ...document.querySelectorAll<HTMLElement>(".lora:not([hidden])"),
];
const find = (selector: string, item = shown()[0]!): HTMLInputElement =>
  item.querySelector<HTMLInputElement>(selector)!;

function type(input: HTMLInputElement, value: string): void {
  input.value = value;
  for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
}

async function add(...names: string[]): Promise<void> {
  panel.add(names.map((name) => file(name)));
  await settle();
}

test("a file is read, listed with what it says, and applied when a picture is drawn", async () => {
  expect([line(), panel.prepare({})]).toEqual(["None is loaded.", true]);
  await add("pixel<art>.safetensors");
  expect(said).toEqual([
    "Reading pixel<art>.safetensors …",
    "pixel art is on: it changes 192 layers of the model.",
  ]);
  expect(line()).toBe("pixel art 1");
  expect(find("small").textContent).toBe(
    "192 layers, 37.0 MB. 2 of its tensors are for layers that this model does not run.",
  );
  expect(find("[type=range]").getAttribute("aria-label")).toBe("Strength of pixel art");
  const { min, max, value } = find("[type=range]");
  expect([min, max, value]).toEqual(["-2", "2", "1"]);
  const words = [...shown()[0]!.querySelectorAll<HTMLElement>(".words button")];
  expect(words.map(({ textContent }) => textContent.length)).toEqual([9, 61]);
  words[0]!.click();
  expect([prompt, said.at(-1)]).toEqual(["a fox, pixel art", "pixel art is in the prompt."]);
  expect(await panel.prepare({})).toBe(true);
  expect(pipeline.calls).toEqual(["load pixel art 0", 'set {"pixel art":1}']);
  // Nothing has changed since then.
  expect(await panel.prepare({})).toBe(true);
  expect(pipeline.calls).toHaveLength(2);
});

test("the slider, the number and the switch say how strongly it is applied", async () => {
  await add("one.safetensors", "another.safetensors");
  type(find("[type=range]"), "0.75");
  expect(find("[type=number]").value).toBe("0.75");
  type(find("[type=number]"), "-3.5");
  expect(find("[type=range]").value).toBe("-2");
  type(find("[type=number]"), "");
  type(find("[type=number]"), "1000");
  expect(line()).toBe("one -3.5, another 1");
  find("[type=checkbox]", shown()[1]).click();
  expect(panel.tagged("a fox")).toBe("a fox <lora:one:-3.5>");
  await panel.prepare({});
  expect(pipeline.calls.at(-1)).toBe('set {"one":-3.5}');
  find("[type=checkbox]").click();
  expect([line(), await panel.prepare({})]).toEqual(["None is on.", true]);
  expect(pipeline.calls.at(-1)).toBe("set {}");
});

test("they come back on the next visit, checked, for models of their family alone", async () => {
  await add("one.safetensors", "another.safetensors");
  type(find("[type=range]"), "0.5");
  find("[type=checkbox]", shown()[1]).click();
  await settle();
  await open("sdxl");
  expect([line(), shown()]).toEqual(["None is loaded.", []]);
  await open("sd15");
  expect([line(), shown().length]).toEqual(["one 0.5", 2]);
  // What is off is not read before it is needed.
  expect(pipeline.calls).toEqual(["load one 0 checked"]);
  expect(find("[type=checkbox]", shown()[1]).checked).toBe(false);
  find("[type=checkbox]", shown()[1]).click();
  await panel.prepare({});
  expect(pipeline.calls.slice(1)).toEqual([
    "load another 0 checked",
    'set {"one":0.5,"another":1}',
  ]);
});

test("they are applied in the order of the list, however they were switched", async () => {
  await add("one.safetensors", "another.safetensors");
  find("[type=checkbox]").click();
  await settle();
  await open();
  find("[type=checkbox]").click();
  await panel.prepare({});
  expect(pipeline.loras.map(({ name }) => name)).toEqual(["one", "another"]);
  expect(pipeline.calls).toEqual([
    "load another 0 checked",
    "unload another",
    "load one 0 checked",
    "load another 0 checked",
    'set {"one":1,"another":1}',
  ]);
});

test("removing one takes it from the model and the store, and moves the focus", async () => {
  await add("one.safetensors", "another.safetensors");
  find(".remove").click();
  await settle();
  expect([line(), said.at(-1)]).toEqual(["another 1", "one is removed."]);
  expect(pipeline.calls.at(-1)).toBe("unload one");
  expect(document.activeElement).toBe(find("[type=checkbox]"));
  find(".remove").click();
  await settle();
  expect(document.activeElement!.textContent).toBe("Add LoRAs");
  expect(await keys(createStore("wsd-loras", "loras"))).toEqual([]);
});

test("a file that is no LoRA of this model is said, and nothing is listed", async () => {
  await add("bad.safetensors");
  expect(failed).toEqual([
    "bad.safetensors cannot be used with this model. Choose the .safetensors file of a LoRA or a " +
      "textual inversion that was made for models of this family. it is bad",
  ]);
  expect([shown(), line()]).toEqual([[], "None is loaded."]);
  const large = file("large.safetensors");
  Object.defineProperty(large, "size", { value: 2 ** 31 });
  panel.add([large]);
  expect(said.at(-1)).toBe("large.safetensors is too large to be a LoRA.");
});

test("the same file stays one; another file of a name gets another name", async () => {
  await add("one.safetensors");
  find("[type=checkbox]").click();
  panel.add([file("copy.safetensors", "one.safetensors")]);
  await settle();
  expect(said.at(-1)).toBe("one is in the list already, and is on now.");
  expect(pipeline.loras.map(({ name }) => name)).toEqual(["one"]);
  panel.add([file("one.safetensors", "other weights")]);
  await settle();
  expect(line()).toBe("one 1, one-2 1");
});

test("what comes before the model is read when that is there", async () => {
  await open("sd15", false);
  await add("early.safetensors");
  expect([said, shown()]).toEqual([
    ["early.safetensors is read as soon as the model is ready."],
    [],
  ]);
  panel.attach(pipeline);
  await settle();
  expect(line()).toBe("early 1");
});

test("an address of this site is remembered, not its file; another site's is refused", async () => {
  const address = document.querySelector<HTMLInputElement>("#lora-address")!;
  const load = (text: string): Promise<void> => {
    address.value = text;
    address.form!.dispatchEvent(new Event("submit", { cancelable: true }));
    return settle();
  };
  await load("https://elsewhere.example/a.safetensors");
  await load("https://");
  expect(said.map((each) => each.split(",")[0])).toEqual([
    "https://elsewhere.example/a.safetensors is not on this site",
    "https:// is not on this site",
  ]);
  await load("loras/my%20style.safetensors#top");
  expect(line()).toBe("my style 1");
  // An adapter bundle says its name itself.
  await load("/x/adapter.json");
  expect(line()).toBe("my style 1, bundle 1");
  await load("/x/adapter.json");
  expect(said.at(-1)).toBe("bundle is in the list already, and is on now.");
  await load("/other/adapter.json");
  expect(line()).toBe("my style 1, bundle 1, bundle-2 1");
  await settle();
  await open();
  expect(pipeline.calls[0]).toBe("load my style 0 checked");
  expect(shown()).toHaveLength(3);
});

test("the file of an address leaves the cache with the last LoRA that has it", async () => {
  const removed: string[] = [];
  const cache = {
    keys: () => Promise.resolve([]),
    delete: (address: string) => Promise.resolve(removed.push(address) > 0),
  };
  vi.stubGlobal("caches", { open: () => Promise.resolve(cache) });
  const addAddress = async (): Promise<void> => {
    const address = document.querySelector<HTMLInputElement>("#lora-address")!;
    address.value = "loras/style.safetensors";
    address.form!.dispatchEvent(new Event("submit", { cancelable: true }));
    await settle();
    await settle();
  };
  const removeFirst = async (): Promise<void> => {
    find("button.remove").click();
    await settle();
    await settle();
  };
  await addAddress();
  await open("sdxl");
  await addAddress();
  await removeFirst();
  // That of the other family has the same file.
  expect(removed).toEqual([]);
  await open();
  await removeFirst();
  expect(removed).toEqual([expect.stringMatching(/\/wsd-store\/[0-9a-f]{64}$/)]);
  // A file of the visitor's own is no file of the cache.
  await add("one.safetensors");
  await removeFirst();
  expect(removed).toHaveLength(1);
});

test("those that come with the model are offered until they are listed", async () => {
  const url = `${location.origin}/models/speck/lora.1.safetensors?key=1`;
  const sha256 = url.length.toString(16).padStart(64, "0");
  const examples = [
    { file: "lora.1.safetensors", name: "dark-red", sha256 },
    { file: "lora.22.safetensors", name: "changed", sha256: "0".repeat(64) },
  ];
  const buttons = (): HTMLElement[] => [
    ...document.querySelectorAll<HTMLElement>("#lora-panel > .words:not([hidden]) button"),
  ];
  expect(buttons()).toEqual([]);
  await open("sd15", true, examples);
  expect(buttons().map(({ textContent, title }) => [textContent, title])).toEqual([
    ["dark-red", "Add dark-red"],
    ["changed", "Add changed"],
  ]);
  buttons()[0]!.focus();
  buttons()[0]!.click();
  await settle();
  expect([line(), pipeline.calls]).toEqual(["dark-red 1", ["load dark-red 0 checked"]]);
  expect(document.activeElement).toBe(find("[type=checkbox]"));
  expect(buttons().map(({ textContent }) => textContent)).toEqual(["changed"]);
  buttons()[0]!.click();
  await settle();
  expect(failed[0]).toContain("changed cannot be used with this model.");
  // It is fetched from where it was, as any address of this site.
  await open("sd15", true, examples);
  expect([line(), buttons().length]).toEqual(["dark-red 1", 1]);
  find(".remove").click();
  expect(buttons()).toHaveLength(2);
  await open("sdxl");
  expect(buttons()).toEqual([]);
});

test("tags in the prompt set those that are listed; a missing one is named, and nothing drawn", async () => {
  await add("one.safetensors");
  prompt = "a fox <lora:one:0.4>, <lora:gone:1>";
  const { inWords } = await import("../../src/app/strings");
  expect(inWords(panel.takeTags()!)).toContain("LoRAs that are not in the list: gone.");
  expect([prompt, line()]).toEqual(["a fox <lora:one:0.4>, <lora:gone:1>", "one 1"]);
  prompt = "a fox <lora:one:0.4>";
  expect([panel.takeTags(), prompt, line()]).toEqual([undefined, "a fox", "one 0.4"]);
  expect(panel.takeTags()).toBeUndefined();
  // What is not applied is named too.
  prompt = "a fox <lora:one:1:0.5:lbw=MIDD>";
  expect(inWords(panel.takeTags()!)).toContain("<lora:one> te=1, <lora:one> lbw=MIDD. Remove");
  expect([prompt, line()]).toEqual(["a fox <lora:one:1:0.5:lbw=MIDD>", "one 0.4"]);
  panel.apply([]);
  expect([line(), panel.known()[0]!.on]).toEqual(["None is on.", false]);
  panel.apply([{ name: "one", scale: 1e9 }]);
  expect(line()).toBe("one 100");
});

test("one that the browser lost is off, said, and does not stop the next picture", async () => {
  await add("one.safetensors");
  await settle();
  const store = createStore("wsd-loras", "loras");
  const [fileKey] = (await keys<string>(store)).filter((key) => key.startsWith("file/"));
  await set(fileKey!, new StoredBlob(["shorter"]), store);
  await open();
  expect(failed[0]).toMatch(/^one cannot be used with this model\..*another file$/);
  expect([line(), find(".warning").textContent]).toEqual([
    "None is on.",
    "It could not be loaded, and is off.",
  ]);
  expect(panel.prepare({})).toBe(true);
  find("[type=checkbox]").click();
  expect(await panel.prepare({})).toBe(false);
  expect(failed).toHaveLength(2);
});

test("what others wrote into the store is not listed", async () => {
  await add("one.safetensors");
  const store = createStore("wsd-loras", "loras");
  const good = {
    version: 1,
    family: "sd15",
    name: "x",
    scale: 1,
    on: true,
    hash: "",
    layers: 1,
    unused: 0,
  };
  const whole = {
    ...good,
    sha256: "0".repeat(64),
    bytes: 1,
    triggerWords: [],
    address: "",
    time: 1,
  };
  for (const [index, change] of [
    { name: "<b>" },
    { scale: 1e9 },
    { sha256: "no" },
    { triggerWords: [1] },
    { version: 2 },
    { on: "yes" },
    { bytes: "1" },
  ].entries())
    await set(`lora/${index}`, { ...whole, ...change }, store);
  await set("lora/none", null, store);
  await open();
  expect(shown()).toHaveLength(1);
  await clear(store);
});

test("a full or missing store is said, and the LoRA stays until the page is left", async () => {
  vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("no room", "QuotaExceededError");
  });
  await add("one.safetensors");
  vi.restoreAllMocks();
  expect(said.at(-1)).toBe(
    "The browser has no more room for this page. one stays until you leave the page: after a reload, add it again.",
  );
  expect(find(".warning").textContent).toBe(said.at(-1));
  await panel.prepare({});
  expect(pipeline.calls.at(-1)).toBe('set {"one":1}');
});

test("stopping does not wait for a file that is being read", async () => {
  await add("one.safetensors");
  let go = (): void => undefined;
  pipeline.wait = new Promise((done) => (go = done));
  panel.add([file("slow.safetensors")]);
  const controller = new AbortController();
  const prepared = panel.prepare({ signal: controller.signal });
  controller.abort();
  await expect(prepared).rejects.toMatchObject({ name: "AbortError" });
  go();
  await settle();
  expect(line()).toBe("one 1, slow 1");
});

test("what is switched while a picture is prepared is for the next one", async () => {
  await add("one.safetensors", "another.safetensors");
  find("[type=checkbox]", shown()[1]).click();
  await settle();
  await open();
  let go = (): void => undefined;
  pipeline.list = [];
  pipeline.wait = new Promise((done) => (go = done));
  const { begun } = pipeline;
  const prepared = panel.prepare({});
  await vi.waitFor(() => expect(pipeline.begun).toBe(begun + 1));
  find("[type=checkbox]", shown()[1]).click();
  go();
  expect(await prepared).toBe(true);
  expect(pipeline.calls.at(-1)).toBe('set {"one":1}');
  await panel.prepare({});
  expect(pipeline.calls.at(-1)).toBe('set {"one":1,"another":1}');
});

test("two that two tabs kept under one name are told apart, by name and by file", async () => {
  await add("one.safetensors");
  await settle();
  // Another tab keeps another file, which it calls by the same name.
  const store = createStore("wsd-loras", "loras");
  const [key] = (await keys<string>(store)).filter((each) => each.startsWith("lora/"));
  const { get } = await import("idb-keyval");
  const record = await get<Record<string, unknown>>(key!, store);
  const text = "other weights";
  const sha256 = text.length.toString(16).padStart(64, "0");
  await set(`lora/sd15/${sha256}`, { ...record, sha256, time: Date.now() + 1 }, store);
  await set(`file/sd15/${sha256}`, new StoredBlob([text]), store);
  await open();
  expect(line()).toBe("one 1, one-2 1");
  expect(await panel.prepare({})).toBe(true);
  expect(pipeline.loras.map((lora) => [lora.name, lora.sha256 === sha256])).toEqual([
    ["one", false],
    ["one-2", true],
  ]);
  await settle();
  await open();
  expect(line()).toBe("one 1, one-2 1");
  await vi.waitFor(() => expect(pipeline.loras).toHaveLength(2));
  // The pipeline has another file of a name: that one is not taken for it.
  pipeline.list = [{ ...pipeline.list[0]!, sha256 }];
  await panel.prepare({});
  expect(pipeline.loras.map((lora) => lora.sha256 === sha256)).toEqual([false, true]);
});

test("one that is removed while it is being kept is gone", async () => {
  panel.add([file("one.safetensors")]);
  await vi.waitFor(() => expect(shown()).toHaveLength(1), { interval: 0.1 });
  find(".remove").click();
  const store = createStore("wsd-loras", "loras");
  await settle();
  await vi.waitFor(async () => expect(await keys(store)).toEqual([]));
});

test("an error that no file is to blame for leaves the LoRA on, and is what stops drawing", async () => {
  await add("one.safetensors");
  await open();
  pipeline.list = [];
  pipeline.failure = new api.OutOfMemoryError("no room", "close other programs");
  await expect(panel.prepare({})).rejects.toMatchObject({ name: "OutOfMemoryError" });
  expect([line(), failed]).toEqual(["one 1", []]);
  panel.add([file("two.safetensors")]);
  await settle();
  expect(failed).toEqual(["no room"]);
});

test("a LoRA of few steps sets the form, and gives back what nobody has changed", async () => {
  await add("lcm.safetensors");
  expect(fields).toEqual({ scheduler: "lcm", steps: "4", guidance: "1" });
  const sentence =
    "lcm is made for few steps: the scheduler LCM, 4 steps and guidance 1 suit it, and are set.";
  expect(said.at(-1)).toBe(`lcm is on: it changes 192 layers of the model. ${sentence}`);
  expect(find(".hint").textContent).toBe(sentence);
  fields.steps = "6";
  find("[type=checkbox]").click();
  expect(fields).toEqual({ scheduler: "dpmpp_2m", steps: "6", guidance: "7" });
  expect(said.at(-1)).toBe("The settings from before are back.");
  expect(find(".hint").hidden).toBe(true);
  // Of two, the one that was turned on last counts, as long as it is on.
  find("[type=checkbox]").click();
  panel.add([file("tcd.safetensors", "other weights")]);
  await settle();
  expect([fields.scheduler, panel.eta("tcd"), panel.eta("lcm")]).toEqual(["tcd", 0.3, undefined]);
  find("[type=checkbox]", shown()[1]).click();
  expect([fields.scheduler, panel.eta("tcd")]).toEqual(["lcm", undefined]);
  find(".remove").click();
  expect(fields).toEqual({ scheduler: "dpmpp_2m", steps: "6", guidance: "7" });
  expect(said.at(-1)).toBe("lcm is removed. The settings from before are back.");
});

test("a scheduler that the bundle lacks is named, and the nearest one is set", async () => {
  await add("hyper.safetensors");
  expect(fields).toEqual({ scheduler: "ddim", steps: "4", guidance: "0" });
  expect(said.at(-1)).toContain(
    "Best would be ddim_trailing, which this model does not offer; DDIM is nearest to it.",
  );
  for (const change of [
    { ddim_trailing: named("DDIM trailing", "trailing") },
    { ddim: named("DDIM", "trailing") },
  ]) {
    available = { ...available, ...change };
    await open();
    expect(find(".hint").textContent).not.toContain("does not offer");
  }
});

test("settings of a picture are not replaced; turning off gives the model's own", async () => {
  await add("lcm.safetensors");
  find("[type=checkbox]").click();
  fields = { scheduler: "euler", steps: "8", guidance: "1" };
  panel.apply([{ name: "lcm", scale: 0.5 }]);
  expect(fields).toEqual({ scheduler: "euler", steps: "8", guidance: "1" });
  find("[type=checkbox]").click();
  expect(fields).toEqual({ scheduler: "euler", steps: "8", guidance: "7" });
  // On the next visit the form has what it had, and the model's defaults before that.
  find("[type=checkbox]").click();
  await settle();
  await open();
  expect(fields.scheduler).toBe("lcm");
  find("[type=checkbox]").click();
  expect(fields).toEqual({ scheduler: "dpmpp_2m", steps: "25", guidance: "7" });
});

/** A file of a textual inversion, as far as the page reads it. */
function wordFile(name: string, count = 1): File {
  const tensors = { emb_params: { shape: [count, 1], values: Array<number>(count).fill(0) } };
  return new NamedBytes(writeSafetensors(tensors), name) as unknown as File;
}

test("a textual inversion is known by its tensors, and its word can be added", async () => {
  panel.add([wordFile("cat.safetensors")]);
  await settle();
  expect([line(), said.at(-1)]).toEqual([
    "<cat>",
    "The word <cat> has a meaning of its own now: write it into the prompt.",
  ]);
  expect(find("small").textContent).toBe("A word for the prompt, of 2 vectors");
  expect(shown()[0]!.querySelector("[type=range]")).toBeNull();
  find(".words button").click();
  expect(prompt).toBe("a fox, <cat>");
  // It is no LoRA: pictures do not name it, and tags do not either.
  expect([panel.known(), panel.tagged(prompt), panel.prepare({})]).toEqual([[], prompt, true]);
  panel.add([wordFile("copy.safetensors")]);
  await settle();
  expect(said.at(-1)).toBe("cat is in the list already, and is on now.");
  expect(pipeline.textualInversions.map(({ token }) => token)).toEqual(["<cat>"]);
  panel.add([wordFile("my dog.safetensors", 5)]);
  await settle();
  expect(line()).toBe("<cat>, my-dog");
});

test("a textual inversion stays over a reload, and its switch says whether its word means it", async () => {
  panel.add([wordFile("cat.safetensors")]);
  await settle();
  await open();
  expect([line(), pipeline.calls]).toEqual(["<cat>", ["word <cat> checked"]]);
  find("[type=checkbox]").click();
  await settle();
  expect([line(), pipeline.calls.at(-1), panel.prepare({})]).toEqual([
    "None is on.",
    "forget <cat>",
    true,
  ]);
  find("[type=checkbox]").click();
  expect(await panel.prepare({})).toBe(true);
  expect(pipeline.textualInversions).toHaveLength(1);
  find(".remove").click();
  await settle();
  expect(pipeline.textualInversions).toEqual([]);
  expect(await keys(createStore("wsd-loras", "loras"))).toEqual([]);
});

test("an address of a textual inversion is read; of neither kind, the LoRA's error is said", async () => {
  const address = document.querySelector<HTMLInputElement>("#lora-address")!;
  for (const [place, failure] of [
    ["word.safetensors", "not a LoRA"],
    ["other.safetensors", "neither of the two"],
  ] as const) {
    pipeline.failure = new api.LoraError(failure, "no");
    address.value = place;
    address.form!.dispatchEvent(new Event("submit", { cancelable: true }));
    await settle();
  }
  expect(line()).toBe("<cat>");
  expect(failed).toHaveLength(1);
  expect(failed[0]).toContain("neither of the two");
});
