/** The LoRAs on the page: how they come in and go, how strongly each counts, and that they stay. */

import type {
  AppliedLora,
  CallOptions,
  ExampleLora,
  LoadedLora,
  Preflight,
  StableDiffusionPipeline,
} from "../../index";
import { AbortError, isLoraName, LoraError, readLoraTags, writeLoraTags } from "../../index";
import { element } from "../dom";
import type { KnownLora } from "../dropped_settings";
import { make, makeButton } from "../gallery/elements";
import { clamp } from "../numbers";
import type { Sentence } from "../strings";
import { onLanguage, text, write } from "../strings";
import type { KeptLora } from "./kept_loras";
import { LoraStore, MOST_LORAS, MOST_SCALE } from "./kept_loras";
import { LoraItem } from "./lora_item";

/** What the page does for it. */
export interface LoraPage {
  /** Show a sentence, which screen readers say. */
  say: (sentence: Sentence) => void;
  /** Show an error about a LoRA, below what happened and what to do. */
  fail: (error: unknown, title: Sentence, steps: Sentence) => void;
  /** Read and write the prompt. */
  prompt: () => string;
  setPrompt: (prompt: string) => void;
}

/** What of the pipeline it uses. */
export type LoraPipeline = Pick<
  StableDiffusionPipeline,
  "loadLora" | "setAdapters" | "unloadLora" | "loras"
>;

/** The LoRAs, for the page. */
export interface LoraPanel {
  /**
   * Take up another model, which is not loaded yet. The LoRAs of its family are listed then, and
   * those that come with it are offered.
   */
  offerModel: (model: Pick<Preflight, "manifest" | "manifestUrl">) => Promise<void>;
  /** Take up the loaded model: what waits for it, and those that are on, are read. */
  attach: (pipeline: LoraPipeline) => void;
  /** Whether a file is for it. */
  isFor: (file: File) => boolean;
  /** Add files. */
  add: (files: readonly File[]) => void;
  /** Those that are listed; for settings from elsewhere. */
  known: () => KnownLora[];
  /** Have those that are named on, as strongly as they say, and all others off. */
  apply: (loras: readonly AppliedLora[]) => void;
  /** A prompt with a tag for each that is on. */
  tagged: (prompt: string) => string;
  /** Take the tags in the prompt's field; return what is missing if one of them is not listed. */
  takeTags: () => Sentence | undefined;
  /**
   * Bring the pipeline to what the list says, before it draws.
   *
   * @returns true at once if there is nothing to do; false if one could not be loaded, which has been
   *   said.
   */
  prepare: (options: CallOptions) => true | Promise<boolean>;
}

/** A file or an address that is to be added, and what the visitor calls it. */
interface Source {
  from: File | string;
  title: string;
  /** What it must be; undefined for any file. */
  sha256?: string;
}

/** Names of files of LoRAs; those of Python pickles too, which are refused by name. */
const FILES = /\.(?:safetensors|ckpt|pt|pth|bin)$/i;
/** Larger ones are no LoRAs, and browsers have no room for them in one piece. */
const LARGEST = 2 ** 31 - 1;
/** So many characters of a file's name are its LoRA's. */
const LONGEST_NAME = 80;
/** The model waits at most so many milliseconds for the list. */
const LIST_MS = 1000;

/** Put the controls into the page, and bring back the LoRAs of earlier visits. */
export function mountLoras(page: LoraPage): LoraPanel {
  return new MountedLoras(page);
}

class MountedLoras implements LoraPanel {
  private readonly store = new LoraStore();
  private readonly listed: Promise<void>;
  /** Of all families. */
  private items: LoraItem[] = [];
  /** Files that the browser may not keep, by their LoRAs. */
  private readonly files = new WeakMap<KeptLora, Blob>();
  private family: string | undefined;
  private pipeline: LoraPipeline | undefined;
  /** What came before the model was loaded. */
  private waiting: Source[] = [];
  private turn: Promise<unknown> = Promise.resolve();
  /** How many of {@link inTurn} are not over yet. */
  private pending = 0;

  private readonly hint = make("p", { class: "hint" });
  private readonly list = make("ul", { role: "list", class: "loras" });
  /** Those that come with the model: a button for each that is not listed. */
  private readonly examples = make("div", { class: "words", role: "group", hidden: true });
  private offered: { lora: ExampleLora; url: string }[] = [];
  private readonly open = makeButton("", () => this.chooser.click());
  private readonly chooser = make("input", {
    ...{ type: "file", accept: ".safetensors", multiple: true, hidden: true },
  });
  private readonly address = make("input", {
    ...{
      id: "lora-address",
      inputmode: "url",
      dir: "ltr",
      autocomplete: "off",
      required: true,
    },
  });
  private readonly label = make("label", { for: this.address.id });
  private readonly load = make("button");

  constructor(private readonly page: LoraPage) {
    const form = make("form", { class: "beside" }, this.label, this.address, this.load);
    element("lora-panel").replaceChildren(
      this.hint,
      this.list,
      this.examples,
      make("div", { class: "tools" }, this.open),
      this.chooser,
      form,
    );
    this.chooser.onchange = () => {
      this.add([...(this.chooser.files ?? [])]);
      // The same file can be chosen again.
      this.chooser.value = "";
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      this.addAddress(this.address.value.trim());
    };
    // A number that is out of range must be seen, or the browser cannot point at it.
    const folded = element<HTMLDetailsElement>("loras");
    folded.addEventListener("invalid", () => (folded.open = true), true);
    onLanguage(() => this.describe());
    this.listed = this.store.list().then((kept) => {
      for (const lora of kept) this.items.push(this.itemOf(lora));
      this.describe();
      this.readThoseOn();
    });
    this.describe();
  }

  offerModel: LoraPanel["offerModel"] = ({ manifest, manifestUrl }) => {
    const { model, example_loras: examples = [] } = manifest;
    this.family = model.family === "" ? model.name : model.family;
    this.pipeline = undefined;
    this.offered = examples.map((lora) => {
      const url = new URL(lora.file, manifestUrl);
      // A query may be the token by which a server gives out the files of a folder.
      url.search = new URL(manifestUrl).search;
      return { lora, url: url.href };
    });
    this.describe();
    const late = new Promise<void>((done) => setTimeout(done, LIST_MS));
    return Promise.race([this.listed, late]);
  };

  attach = (pipeline: LoraPipeline): void => {
    this.pipeline = pipeline;
    this.readThoseOn();
    for (const source of this.waiting.splice(0)) this.take(source);
  };

  isFor = ({ name }: File): boolean => FILES.test(name);

  add = (files: readonly File[]): void => {
    for (const file of files) {
      if (file.size > LARGEST) this.page.say(() => text().loras.tooLarge(file.name));
      else this.take({ from: file, title: file.name });
    }
  };

  known = (): KnownLora[] =>
    this.present.map(({ lora: { name, hash, on } }) => ({ name, hash, on }));

  apply = (loras: readonly AppliedLora[]): void => {
    for (const item of this.present) {
      const found = loras.find(({ name }) => name === item.lora.name);
      const before = { ...item.lora };
      item.lora.on = found !== undefined;
      if (found !== undefined) item.lora.scale = clamp(found.scale, -MOST_SCALE, MOST_SCALE);
      if (before.on !== item.lora.on || before.scale !== item.lora.scale) this.changed(item, true);
      item.write();
    }
  };

  tagged = (prompt: string): string => writeLoraTags(prompt, this.on);

  takeTags = (): Sentence | undefined => {
    const { prompt, loras } = readLoraTags(this.page.prompt());
    if (loras.length === 0) return undefined;
    const named = loras.map((lora) => ({ lora, item: this.find(lora.name) }));
    const missing = named.flatMap(({ lora, item }) => (item === undefined ? [lora.name] : []));
    if (missing.length > 0) return () => text().loras.missing(missing);
    for (const { lora, item } of named) {
      [item!.lora.on, item!.lora.scale] = [true, clamp(lora.scale, -MOST_SCALE, MOST_SCALE)];
      item!.write();
      this.changed(item!, true);
    }
    this.page.setPrompt(prompt.trim());
    return undefined;
  };

  prepare = (options: CallOptions): true | Promise<boolean> => {
    const { pipeline } = this;
    if (pipeline === undefined) return true;
    const isUsed = this.on.length > 0 || pipeline.loras.some(({ scale }) => scale !== 0);
    if (!isUsed && this.pending === 0) return true;
    return this.inTurn(async () => {
      await this.unloadUnordered(pipeline, options);
      for (const item of this.present) {
        if (item.lora.on && !(await this.read(item, pipeline, options))) return false;
      }
      const scales = Object.fromEntries(this.on.map(({ name, scale }) => [name, scale]));
      const scaleOf = (name: string): number => (Object.hasOwn(scales, name) ? scales[name]! : 0);
      if (pipeline.loras.some(({ name, scale }) => scale !== scaleOf(name)))
        await pipeline.setAdapters(scales, options);
      return true;
    }, options.signal);
  };

  /** Unload what would be applied in another order than that of the list: sums round differently then. */
  private async unloadUnordered(pipeline: LoraPipeline, options: CallOptions): Promise<void> {
    const wanted = this.on.map(({ name }) => name);
    const loaded = pipeline.loras.map(({ name }) => name).filter((name) => wanted.includes(name));
    const first = loaded.findIndex((name, place) => name !== wanted[place]);
    if (first < 0) return;
    for (const name of loaded.slice(first)) await pipeline.unloadLora(name, options);
  }

  /** Those of the model's family. */
  private get present(): LoraItem[] {
    return this.items.filter(({ lora }) => lora.family === this.family);
  }

  private get on(): KeptLora[] {
    return this.present.map(({ lora }) => lora).filter(({ on }) => on);
  }

  private find(name: string): LoraItem | undefined {
    return this.present.find(({ lora }) => lora.name === name);
  }

  private addAddress(given: string): void {
    const url = addressOf(given);
    if (url?.origin !== location.origin) {
      this.page.say(() => text().loras.otherSite(given));
      return;
    }
    this.address.value = "";
    url.hash = "";
    const same = this.present.find(({ lora }) => lora.address === url.href);
    if (same === undefined) this.take({ from: url.href, title: lastOf(url) });
    else this.turnOn(same);
  }

  /** Read a LoRA that is new, or as soon as there is a model. */
  private take(source: Source): void {
    const { title } = source;
    if (this.pipeline === undefined) {
      this.waiting.push(source);
      this.page.say(() => text().loras.later(title));
      return;
    }
    element<HTMLDetailsElement>("loras").open = true;
    this.page.say(() => text().loras.reading(title));
    const { pipeline } = this;
    void this.inTurn(async () => {
      let loaded: LoadedLora;
      try {
        loaded = await this.loadNew(source, pipeline);
      } catch (error) {
        // Of a model that is not there any more, nothing is said.
        if (pipeline === this.pipeline) this.fail(error, title);
        return;
      }
      if (pipeline === this.pipeline) await this.enlist(loaded, source, pipeline);
    });
  }

  /** Load a LoRA under a name that no other one has; it is not applied yet. */
  private async loadNew(
    { from, title, sha256: expected }: Source,
    pipeline: LoraPipeline,
  ): Promise<LoadedLora> {
    // An adapter.json says the name itself.
    const named = /\.json$/i.test(title) ? {} : { name: this.freeName(nameOf(title)) };
    const checked = expected === undefined ? {} : { sha256: expected };
    const loaded = await pipeline.loadLora(from, { ...named, ...checked, scale: 0 });
    const { name, sha256 } = loaded;
    if ("name" in named || this.find(name) === undefined) return loaded;
    await pipeline.unloadLora(name);
    return pipeline.loadLora(from, {
      name: this.freeName(name),
      scale: 0,
      sha256,
    });
  }

  /** List a LoRA that was loaded, and keep it; of one that is listed already, there stays one. */
  private async enlist(
    loaded: LoadedLora,
    { from }: Source,
    pipeline: LoraPipeline,
  ): Promise<void> {
    const { name, layers, unused, bytes, sha256, hash, triggerWords } = loaded;
    const same = this.present.find(({ lora }) => lora.sha256 === sha256);
    if (same !== undefined) {
      if (same.lora.name !== name) await pipeline.unloadLora(name);
      this.turnOn(same);
      return;
    }
    const [file, address] = typeof from === "string" ? [undefined, from] : [from, ""];
    const lora: KeptLora = {
      ...{ name, layers, bytes, sha256, hash, triggerWords, unused: unused.length },
      ...{ family: this.family!, scale: 1, on: true, time: Date.now() },
      address,
    };
    const item = this.itemOf(lora);
    this.items.push(item);
    if (file !== undefined) this.files.set(lora, file);
    // The button of an example goes away.
    const wasFocused = this.examples.contains(document.activeElement);
    this.describe();
    if (wasFocused) item.focus();
    this.page.say(() => text().loras.added(name, layers));
    void this.keep(item, file);
  }

  /** Turn on a LoRA that is added once more. */
  private turnOn(item: LoraItem): void {
    item.lora.on = true;
    item.fault = undefined;
    item.write();
    this.changed(item, true);
    this.page.say(() => text().loras.already(item.lora.name));
  }

  private async keep(item: LoraItem, file: Blob | undefined): Promise<void> {
    const problem = await this.store.add(item.lora, file);
    if (problem === undefined) return;
    const said = (): string => {
      const { full, noStore, tooMany, notKept } = text().loras;
      const why = { full, noStore, tooMany: tooMany(MOST_LORAS) }[problem];
      return `${why} ${notKept(item.lora.name)}`;
    };
    item.unkept = said;
    item.write();
    this.page.say(said);
  }

  /** Read the LoRAs that are on, so that it is known soon if one of them is damaged. */
  private readThoseOn(): void {
    const { pipeline } = this;
    if (pipeline === undefined) return;
    const work = this.inTurn(async () => {
      for (const item of this.present) {
        if (item.lora.on) await this.read(item, pipeline, {});
      }
    });
    // The model has been changed meanwhile.
    work.catch(() => undefined);
  }

  /**
   * Have the pipeline load a LoRA, unless it has; one that cannot be loaded is off from then on.
   *
   * @returns whether it is loaded.
   * @throws what cancels the call, or ends the model.
   */
  private async read(
    item: LoraItem,
    pipeline: LoraPipeline,
    options: CallOptions,
  ): Promise<boolean> {
    const { lora } = item;
    const { name, sha256 } = lora;
    if (pipeline.loras.some((each) => each.name === name)) return true;
    try {
      const source = lora.address === "" ? await this.fileOf(lora) : lora.address;
      await pipeline.loadLora(source, { ...options, name, sha256, scale: 0 });
      return true;
    } catch (error) {
      if (error instanceof AbortError || pipeline !== this.pipeline) throw error;
      // Not in the store: the next visit tries again.
      lora.on = false;
      item.fault = () => text().loras.fault;
      item.write();
      this.describeLine();
      this.fail(error, name);
      return false;
    }
  }

  private async fileOf(lora: KeptLora): Promise<Blob> {
    const file = (await this.store.file(lora)) ?? this.files.get(lora);
    if (file !== undefined) return file;
    throw new LoraError(
      `the browser does not have the file of ${lora.name} any more`,
      "remove it from the list, and add its file again",
    );
  }

  private fail(error: unknown, title: string): void {
    this.page.fail(
      error,
      () => text().loras.refused(title),
      () => text().loras.refusedHow,
    );
  }

  private remove(item: LoraItem): void {
    const { pipeline } = this;
    const { lora } = item;
    const next = this.present[this.present.indexOf(item) + 1] ?? this.present.at(-2);
    this.items = this.items.filter((each) => each !== item);
    item.element.remove();
    this.describe();
    if (next === undefined) this.open.focus();
    else next.focus();
    this.page.say(() => text().loras.removed(lora.name));
    const unloaded = this.inTurn(async () => {
      if (pipeline?.loras.some(({ name }) => name === lora.name) === true)
        await pipeline.unloadLora(lora.name);
    });
    // One that stays is not applied, and a model that has ended has none.
    unloaded.catch(() => undefined);
    this.store.remove(lora).catch(() => this.page.say(() => text().gallery.refusedChange));
  }

  private itemOf(lora: KeptLora): LoraItem {
    const item: LoraItem = new LoraItem(lora, {
      changed: (finished) => this.changed(item, finished),
      remove: () => this.remove(item),
      addWord: (word) => {
        const prompt = this.page.prompt().trim();
        this.page.setPrompt(prompt === "" ? word : `${prompt}, ${word}`);
        this.page.say(() => text().loras.wordAdded(word));
      },
    });
    this.list.append(item.element);
    return item;
  }

  private changed({ lora }: LoraItem, finished: boolean): void {
    this.describeLine();
    // What cannot be kept has been said when it was added.
    if (finished) this.store.update(lora).catch(() => undefined);
  }

  private freeName(wanted: string): string {
    const names = new Set(this.present.map(({ lora }) => lora.name));
    for (const { name } of this.pipeline?.loras ?? []) names.add(name);
    let name = wanted;
    for (let count = 2; names.has(name); count++) name = `${wanted}-${count}`;
    return name;
  }

  private describe(): void {
    const strings = text().loras;
    this.hint.textContent = strings.hint;
    this.open.textContent = strings.choose;
    this.label.textContent = strings.address;
    this.load.textContent = strings.load;
    for (const item of this.items) {
      item.element.hidden = item.lora.family !== this.family;
      item.write();
    }
    this.list.hidden = this.present.length === 0;
    this.describeExamples();
    this.describeLine();
  }

  /** Offer those that come with the model and are not listed. */
  private describeExamples(): void {
    const strings = text().loras;
    const listed = new Set(this.present.map(({ lora }) => lora.sha256));
    const left = this.offered.filter(({ lora }) => !listed.has(lora.sha256));
    this.examples.hidden = left.length === 0;
    this.examples.setAttribute("aria-label", strings.examples);
    this.examples.replaceChildren(
      make("small", {}, strings.examples),
      ...left.map(({ lora: { name, sha256 }, url }) => {
        const add = (): void => this.take({ from: url, title: name, sha256 });
        return makeButton(name, add, { title: strings.addExample(name), dir: "auto" });
      }),
    );
  }

  /** Say in the line below the title which are on. */
  private describeLine(): void {
    const strings = text().loras;
    const { isolate, list, number } = write();
    const on = this.on.map(({ name, scale }) => `${isolate(name)} ${number(scale)}`);
    const none = this.present.length === 0 ? strings.none : strings.allOff;
    element("loras-line").textContent = on.length === 0 ? none : list(on);
  }

  /** Do one thing after the other; whoever cancels does not wait for what is before. */
  private inTurn<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const before = this.turn;
    const cancelled = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => reject(new AbortError()), {
        once: true,
      });
    });
    this.pending += 1;
    const done = Promise.race([before, cancelled])
      .then(work)
      .finally(() => (this.pending -= 1));
    this.turn = Promise.allSettled([before, done]);
    return done;
  }
}

/** Make a LoRA's name of a file's: without its ending, and without what a tag cannot have. */
function nameOf(file: string): string {
  const stem = file.replace(FILES, "").replaceAll(/[^\p{L}\p{N}._ -]+/gu, " ");
  const name = stem.trim().slice(0, LONGEST_NAME).trim();
  return isLoraName(name) ? name : "LoRA";
}

function addressOf(given: string): URL | undefined {
  try {
    return new URL(given, document.baseURI);
  } catch {
    return undefined;
  }
}

/** The file's name in an address. */
function lastOf({ pathname }: URL): string {
  const last = pathname.split("/").at(-1)!;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}
