/**
 * The LoRAs and textual inversions on the page: how they come in and go, how strongly each counts, and
 * that they stay.
 */

import type {
  AppliedLora,
  CallOptions,
  ExampleLora,
  LoadedInversion,
  LoadedLora,
  Preflight,
  StableDiffusionPipeline,
} from "../../index";
import {
  AbortError,
  IntegrityError,
  LoraError,
  OptionError,
  purgeFile,
  readLoraTags,
  writeLoraTags,
} from "../../index";
import { element } from "../dom";
import type { KnownInversion, KnownLora } from "../dropped_settings";
import { make, makeButton } from "../gallery/elements";
import { clamp } from "../numbers";
import type { Sentence } from "../strings";
import { inWords, onLanguage, text, write } from "../strings";
import type { FastForm } from "./fast_settings";
import { FastSettings } from "./fast_settings";
import type { KeptLora } from "./kept_loras";
import { LoraStore, MOST_LORAS, MOST_SCALE } from "./kept_loras";
import { LoraItem } from "./lora_item";
import type { Source } from "./sources";
import {
  addressOf,
  freeName,
  isAdapterFile,
  isInversion,
  LARGEST,
  lastOf,
  nameOf,
} from "./sources";

/** What the page does for it. */
export interface LoraPage extends FastForm {
  /** Show a sentence, which screen readers say. */
  say: (sentence: Sentence) => void;
  /** Show an error, below what happened and what to do if a LoRA is at fault. */
  fail: (error: unknown, title?: Sentence, steps?: Sentence) => void;
  /** Read and write the prompt. */
  prompt: () => string;
  setPrompt: (prompt: string) => void;
}

/** What of the pipeline it uses. */
export type LoraPipeline = Pick<
  StableDiffusionPipeline,
  | "loadLora"
  | "setAdapters"
  | "unloadLora"
  | "loras"
  | "loadTextualInversion"
  | "unloadTextualInversion"
  | "textualInversions"
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
  knownInversions: () => KnownInversion[];
  /** Have those that are named on, as strongly as they say, and all others off. */
  apply: (loras: readonly AppliedLora[]) => void;
  /** A prompt with a tag for each that is on. */
  tagged: (prompt: string) => string;
  /**
   * Take the tags in the prompt's field; return what is wrong if one of them is not listed, or says what
   * is not applied.
   */
  takeTags: () => Sentence | undefined;
  /** The share of noise that a LoRA of few steps needs with a scheduler; undefined for the model's own. */
  eta: (scheduler: string) => number | undefined;
  /**
   * Bring the pipeline to what the list says, before it draws.
   *
   * @returns true at once if there is nothing to do; false if one could not be loaded, which has been
   *   said.
   */
  prepare: (options: CallOptions) => true | Promise<boolean>;
}

/** The model waits at most so many milliseconds for the list. */
const LIST_MS = 1000;

/** What is known of a file that was read. */
type Facts = Omit<KeptLora, "family" | "scale" | "on" | "time" | "address">;

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
  private readonly fast: FastSettings;
  private isListed = false;
  /** The LoRA that was turned on last. */
  private newest: KeptLora | undefined;
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
    this.fast = new FastSettings(page);
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
      for (const lora of kept) {
        this.renameDouble(lora);
        this.items.push(this.itemOf(lora));
      }
      this.isListed = true;
      this.describe();
      this.readThoseOn();
    });
    this.describe();
  }

  offerModel: LoraPanel["offerModel"] = async ({ manifest, manifestUrl }) => {
    const { model, example_loras: examples = [] } = manifest;
    this.family = model.family === "" ? model.name : model.family;
    this.pipeline = undefined;
    this.fast.offerModel(manifest);
    this.offered = examples.map((lora) => {
      const url = new URL(lora.file, manifestUrl);
      // A query may be the token by which a server gives out the files of a folder.
      url.search = new URL(manifestUrl).search;
      return { lora, url: url.href };
    });
    this.describe();
    const late = new Promise<void>((done) => setTimeout(done, LIST_MS));
    await Promise.race([this.listed, late]);
    // The form has the model's own settings now. Those of a link or of the last visit come after this.
    if (this.isListed) this.fast.follow(this.on);
    else void this.listed.then(() => this.fast.accept(this.on));
  };

  attach = (pipeline: LoraPipeline): void => {
    this.pipeline = pipeline;
    this.readThoseOn();
    for (const source of this.waiting.splice(0)) this.take(source);
  };

  isFor = isAdapterFile;

  eta = (scheduler: string): number | undefined => this.fast.eta(scheduler);

  add = (files: readonly File[]): void => {
    for (const file of files) {
      if (file.size > LARGEST) this.page.say(() => text().loras.tooLarge(file.name));
      else this.take({ from: file, title: file.name });
    }
  };

  known = (): KnownLora[] =>
    this.ofWeights.map(({ lora: { name, hash, on } }) => ({ name, hash, on }));

  knownInversions = (): KnownInversion[] =>
    this.inversions.map(({ lora: { token, on } }) => ({ token, on }));

  apply = (loras: readonly AppliedLora[]): void => {
    for (const item of this.ofWeights) {
      const found = loras.find(({ name }) => name === item.lora.name);
      const before = { ...item.lora };
      item.lora.on = found !== undefined;
      if (found !== undefined) item.lora.scale = clamp(found.scale, -MOST_SCALE, MOST_SCALE);
      if (before.on !== item.lora.on || before.scale !== item.lora.scale) this.keepChange(item);
      item.write();
    }
    // The same settings have said what the form has.
    this.fast.accept(this.on);
    this.describeLine();
  };

  tagged = (prompt: string): string => writeLoraTags(prompt, this.on);

  takeTags = (): Sentence | undefined => {
    const { prompt, loras, others } = readLoraTags(this.page.prompt());
    if (loras.length === 0) return undefined;
    const parts = others.map(([name, value]) => (value === "" ? name : `${name}=${value}`));
    if (parts.length > 0) return () => text().loras.tagParts(parts);
    const named = loras.map((lora) => ({ lora, item: this.find(lora.name) }));
    const missing = named.flatMap(({ lora, item }) => (item === undefined ? [lora.name] : []));
    if (missing.length > 0) return () => text().loras.missing(missing);
    for (const { lora, item } of named) {
      item!.lora.scale = clamp(lora.scale, -MOST_SCALE, MOST_SCALE);
      this.switchOn(item!);
    }
    this.followFast();
    this.page.setPrompt(prompt.trim());
    return undefined;
  };

  prepare = (options: CallOptions): true | Promise<boolean> => {
    const { pipeline } = this;
    if (pipeline === undefined) return true;
    const isUsed = this.on.length > 0 || pipeline.loras.some(({ scale }) => scale !== 0);
    if (!isUsed && this.pending === 0 && this.areInversionsRight(pipeline)) return true;
    return this.inTurn(async () => {
      // What is switched from now on is for the next picture.
      const on = this.ofWeights.filter(({ lora }) => lora.on);
      const scales = new Map(on.map(({ lora: { name, scale } }) => [name, scale]));
      await this.unloadUnordered([...scales.keys()], pipeline, options);
      for (const item of on) {
        if (!(await this.read(item, pipeline, options))) return false;
      }
      if (!(await this.loadInversions(pipeline, options))) return false;
      if (pipeline.loras.some(({ name, scale }) => scale !== (scales.get(name) ?? 0)))
        await pipeline.setAdapters(Object.fromEntries(scales), options);
      return true;
    }, options.signal);
  };

  /**
   * Unload what would be applied in another order than that of the list: sums round differently then.
   *
   * @param wanted names in the order of the list.
   */
  private async unloadUnordered(
    wanted: readonly string[],
    pipeline: LoraPipeline,
    options: CallOptions,
  ): Promise<void> {
    const loaded = pipeline.loras.map(({ name }) => name).filter((name) => wanted.includes(name));
    const first = loaded.findIndex((name, place) => name !== wanted[place]);
    if (first < 0) return;
    for (const name of loaded.slice(first)) await pipeline.unloadLora(name, options);
  }

  /** Load the textual inversions that are on, and no others. */
  private async loadInversions(pipeline: LoraPipeline, options: CallOptions): Promise<boolean> {
    const items = this.inversions.map((item) => ({ item, isOn: item.lora.on }));
    for (const { item, isOn } of items) {
      if (isOn && !(await this.read(item, pipeline, options))) return false;
      if (!isOn) await this.unload(item.lora, pipeline);
    }
    return true;
  }

  private areInversionsRight(pipeline: LoraPipeline): boolean {
    return this.inversions.every(({ lora }) => lora.on === isLoaded(lora, pipeline));
  }

  /** Those of the model's family. */
  private get present(): LoraItem[] {
    return this.items.filter(({ lora }) => lora.family === this.family);
  }

  /** The LoRAs of them, and not the textual inversions. */
  private get ofWeights(): LoraItem[] {
    return this.present.filter(({ lora }) => lora.token === "");
  }

  private get inversions(): LoraItem[] {
    return this.present.filter(({ lora }) => lora.token !== "");
  }

  private get on(): KeptLora[] {
    return this.ofWeights.map(({ lora }) => lora).filter(({ on }) => on);
  }

  private find(name: string): LoraItem | undefined {
    return this.ofWeights.find(({ lora }) => lora.name === name);
  }

  /** Two tabs may have kept two files under one name. */
  private renameDouble(lora: KeptLora): void {
    const others = this.items.filter((item) => item.lora.family === lora.family);
    const name = freeName(lora.name, (each) => others.some((item) => item.lora.name === each));
    if (name === lora.name) return;
    lora.name = name;
    this.store.update(lora).catch(() => undefined);
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
      let facts: Facts;
      try {
        facts = await this.loadNew(source, pipeline);
      } catch (error) {
        // Of a model that is not there any more, nothing is said.
        if (pipeline === this.pipeline) this.fail(error, title);
        return;
      }
      if (pipeline === this.pipeline) await this.enlist(facts, source, pipeline);
    });
  }

  /** Load a LoRA or a textual inversion under a name that no other one has; it is not applied yet. */
  private async loadNew(source: Source, pipeline: LoraPipeline): Promise<Facts> {
    const { from } = source;
    if (typeof from !== "string" && (await isInversion(from)))
      return this.loadInversion(source, pipeline);
    try {
      return await this.loadLora(source, pipeline);
    } catch (error) {
      if (typeof from !== "string" || !(error instanceof LoraError)) throw error;
      // An address does not tell what is there.
      return this.loadInversion(source, pipeline).catch(() => {
        throw error;
      });
    }
  }

  private async loadLora(
    { from, title, sha256: expected }: Source,
    pipeline: LoraPipeline,
  ): Promise<Facts> {
    // An adapter.json says the name itself.
    const named = /\.json$/i.test(title) ? {} : { name: this.freeName(nameOf(title)) };
    const checked = expected === undefined ? {} : { sha256: expected };
    const loaded = await pipeline.loadLora(from, { ...named, ...checked, scale: 0 });
    const { name, sha256 } = loaded;
    if ("name" in named || this.find(name) === undefined) return factsOfLora(loaded);
    await pipeline.unloadLora(name);
    return factsOfLora(
      await pipeline.loadLora(from, { name: this.freeName(name), scale: 0, sha256 }),
    );
  }

  private async loadInversion({ from, title }: Source, pipeline: LoraPipeline): Promise<Facts> {
    const name = this.freeName(nameOf(title));
    const bytes = typeof from === "string" ? 0 : from.size;
    try {
      return factsOfInversion(await pipeline.loadTextualInversion(from), name, bytes);
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
    }
    // Its word is that of another one, or is none that a prompt can have.
    const words = new Set(pipeline.textualInversions.map(({ token }) => token.toLowerCase()));
    const token = freeName(nameOf(title).replaceAll(/\s+/g, "-"), (word) =>
      words.has(word.toLowerCase()),
    );
    return factsOfInversion(await pipeline.loadTextualInversion(from, { token }), name, bytes);
  }

  /** List what was loaded, and keep it; of a file that is listed already, there stays one. */
  private async enlist(facts: Facts, { from }: Source, pipeline: LoraPipeline): Promise<void> {
    const { name, layers, sha256, token } = facts;
    const same = this.present.find(({ lora }) => lora.sha256 === sha256);
    if (same !== undefined) {
      if (same.lora.name !== name || same.lora.token !== token)
        await this.unload({ ...same.lora, name, token }, pipeline);
      this.turnOn(same);
      return;
    }
    const [file, address] = typeof from === "string" ? [undefined, from] : [from, ""];
    const common = { family: this.family!, scale: 1, on: true, time: Date.now(), address };
    const lora: KeptLora = { ...facts, ...common };
    const item = this.itemOf(lora);
    this.items.push(item);
    if (file !== undefined) this.files.set(lora, file);
    this.newest = lora;
    // The button of an example goes away.
    const wasFocused = this.examples.contains(document.activeElement);
    this.describe();
    if (wasFocused) item.focus();
    this.sayWithFast(() => {
      const { added, inversionAdded } = text().loras;
      return token === "" ? added(name, layers) : inversionAdded(token);
    });
    void this.keep(item, file);
  }

  /** Turn on a LoRA that is added once more. */
  private turnOn(item: LoraItem): void {
    this.switchOn(item);
    this.sayWithFast(() => text().loras.already(item.lora.name));
  }

  private switchOn(item: LoraItem): void {
    if (!item.lora.on) this.newest = item.lora;
    item.lora.on = true;
    item.fault = undefined;
    item.write();
    this.keepChange(item);
    this.describeLine();
  }

  /** Say something, and what the form is set to for the LoRAs that are on. */
  private sayWithFast(sentence: Sentence): void {
    const fast = this.fastSettings();
    this.page.say(fast === undefined ? sentence : () => `${inWords(sentence)} ${inWords(fast)}`);
  }

  private followFast(): void {
    const fast = this.fastSettings();
    if (fast !== undefined) this.page.say(fast);
  }

  private fastSettings(): Sentence | undefined {
    const { on, newest } = this;
    const last = on.filter((lora) => lora === newest);
    return this.fast.follow([...on.filter((lora) => lora !== newest), ...last]);
  }

  private async keep(item: LoraItem, file: Blob | undefined): Promise<void> {
    const problem = await this.store.add(item.lora, file);
    if (problem === undefined || !this.items.includes(item)) return;
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
      for (const item of this.ofWeights) {
        if (item.lora.on) await this.read(item, pipeline, {});
      }
      await this.loadInversions(pipeline, {});
    });
    // The model has been changed meanwhile, or drawing will say what is wrong.
    work.catch(() => undefined);
  }

  /**
   * Have the pipeline load a LoRA or a textual inversion, unless it has; one whose file is at fault is
   * off from then on.
   *
   * @returns whether it is loaded.
   * @throws what else prevents it: a cancelled call, a network that is away, a GPU without room.
   */
  private async read(
    item: LoraItem,
    pipeline: LoraPipeline,
    options: CallOptions,
  ): Promise<boolean> {
    const { lora } = item;
    const { name, sha256, token: word } = lora;
    if (isLoaded(lora, pipeline)) return true;
    try {
      const source = lora.address === "" ? await this.fileOf(lora) : lora.address;
      if (word !== "")
        await pipeline.loadTextualInversion(source, { ...options, token: word, sha256 });
      else {
        // Another file of this name.
        await this.unload(lora, pipeline);
        await pipeline.loadLora(source, { ...options, name, sha256, scale: 0 });
      }
      return true;
    } catch (error) {
      if (!isFileAtFault(error) || pipeline !== this.pipeline) throw error;
      // Not in the store: the next visit tries again.
      lora.on = false;
      item.fault = () => text().loras.fault;
      item.write();
      this.describeLine();
      this.fast.follow(this.on);
      this.fail(error, name);
      return false;
    }
  }

  /** Unload what has a LoRA's name, or a textual inversion's word. */
  private async unload({ name, token: word }: KeptLora, pipeline: LoraPipeline): Promise<void> {
    if (word !== "") {
      if (pipeline.textualInversions.some((each) => each.token === word))
        pipeline.unloadTextualInversion(word);
    } else if (pipeline.loras.some((each) => each.name === name)) await pipeline.unloadLora(name);
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
    if (!isFileAtFault(error)) {
      this.page.fail(error);
      return;
    }
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
    this.sayWithFast(() => text().loras.removed(lora.name));
    const unloaded = this.inTurn(async () => {
      if (pipeline !== undefined) await this.unload(lora, pipeline);
    });
    // One that stays is not applied, and a model that has ended has none.
    const settled = unloaded.catch(() => undefined);
    // The file of an address is kept beside the models' files, also for other families' lists.
    const isShared = this.items.some((each) => each.lora.sha256 === lora.sha256);
    if (lora.address !== "" && !isShared)
      void settled.then(() => purgeFile(lora.sha256)).catch(() => undefined);
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
      describeFast: () => this.fast.describe(lora),
    });
    this.list.append(item.element);
    return item;
  }

  /** The visitor has switched it or moved its slider. */
  private changed(item: LoraItem, finished: boolean): void {
    this.describeLine();
    if (!finished) return;
    this.keepChange(item);
    if (item.lora.on) this.newest = item.lora;
    // Its word is counted as its vectors from now on.
    if (item.lora.token !== "") this.readThoseOn();
    else this.followFast();
  }

  private keepChange({ lora }: LoraItem): void {
    // What cannot be kept has been said when it was added.
    this.store.update(lora).catch(() => undefined);
  }

  private freeName(wanted: string): string {
    const names = new Set(this.present.map(({ lora }) => lora.name));
    for (const { name } of this.pipeline?.loras ?? []) names.add(name);
    return freeName(wanted, (name) => names.has(name));
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
    const on = this.present
      .filter(({ lora }) => lora.on)
      .map(({ lora: { name, scale, token } }) =>
        token === "" ? `${isolate(name)} ${number(scale)}` : isolate(token),
      );
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

function factsOfLora(loaded: LoadedLora): Facts {
  const { name, layers, bytes, sha256, hash, triggerWords, unused, suggested } = loaded;
  return {
    ...{ name, layers, bytes, sha256, hash, triggerWords, unused: unused.length },
    ...{ fastVariant: suggested?.fastVariant ?? "", token: "", vectors: 0 },
  };
}

function factsOfInversion(loaded: LoadedInversion, name: string, bytes: number): Facts {
  const { token, vectors, sha256 } = loaded;
  const none = { layers: 0, hash: "", unused: 0, fastVariant: "" };
  return { ...none, name, token, vectors, sha256, bytes, triggerWords: [token] };
}

/** Whether the pipeline has this very file. */
function isLoaded({ name, sha256, token: word }: KeptLora, pipeline: LoraPipeline): boolean {
  if (word === "")
    return pipeline.loras.some((each) => each.name === name && each.sha256 === sha256);
  return pipeline.textualInversions.some((each) => each.token === word && each.sha256 === sha256);
}

/** Whether a file cannot be used, whatever the network and the GPU do. */
function isFileAtFault(error: unknown): boolean {
  return [LoraError, IntegrityError, OptionError].some((kind) => error instanceof kind);
}
