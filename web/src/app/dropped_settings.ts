/** Decides what the form takes of settings from elsewhere, and says what it does not take and why. */

import type { AppliedLora, FoundSettings, KnownSampler, LinkName, Manifest } from "../index";
import {
  findScheduler,
  FITS,
  hasSyntax,
  MASKED_CONTENTS,
  nearestSize,
  splitTags,
  UPSCALES,
} from "../index";
import { enlargements } from "./enlargements";
import { clamp } from "./numbers";
import { write } from "./strings";
import { galleryText } from "./strings/gallery";

type Size = readonly [number, number];

/** A LoRA that is listed on the page. */
export interface KnownLora {
  name: string;
  /** The first 12 hexadecimal digits of the SHA-256 of its tensors. */
  hash: string;
  on: boolean;
}

/** A textual inversion that is listed on the page. */
export interface KnownInversion {
  /** Its word. */
  token: string;
  on: boolean;
}

/** What the form offers. */
export interface Offer {
  model: Manifest["model"];
  schedulers: Manifest["schedulers"]["available"];
  sizes: readonly Size[];
  /** The size that is chosen now, as the form has it: 512x512. */
  size: string;
  /** The scheduler that is chosen now. */
  scheduler: string;
  /** The steps that are set now. */
  steps: number;
  guidance: { min: number; max: number };
  /** How many pictures the form draws at most. */
  maxImages: number;
  /** The model's share of DDPM's noise. */
  eta: number;
  takesNegativePrompt: boolean;
  /** Whether the model has a second text encoder. */
  takesSecondPrompt: boolean;
  /** Whether the model has a third text encoder, and it is not left out. */
  takesThirdPrompt: boolean;
  /** How many of the text encoders' last layers can be left out. */
  maxClipSkip: number;
  /** Whether the model keeps deep features, and takes a cache interval. */
  hasDeepCache: boolean;
  /** Whether the model can begin with a picture. */
  takesPicture: boolean;
  /** Whether there is a picture to begin with. */
  hasPicture: boolean;
  /** LoRAs that are listed; undefined if they stay as they are. */
  loras?: readonly KnownLora[] | undefined;
  /** Textual inversions that are listed. */
  inversions?: readonly KnownInversion[] | undefined;
}

/**
 * The form's fields; `image` is the number of the one picture of a batch that is drawn alone, and
 * `secondPass` the factor by which a second pass enlarges.
 */
export type Field = LinkName;

type PromptField = "prompt" | "negative" | "prompt2" | "negative2" | "prompt3" | "negative3";

/** What the form takes, and what it does not. */
export interface Adopted {
  /** Values by the names of the form's fields; the form takes every one of them. */
  fields: Partial<Record<Field, string>>;
  /** Those of the page's LoRAs that are on from then on; undefined if they stay as they are. */
  loras: AppliedLora[] | undefined;
  /** Names of what was taken. */
  taken: string[];
  /** What was changed, from what to what, and why; all of it. */
  changed: string[];
  /** What was not taken, and why; all of it, and a hostile file can have much. */
  refused: string[];
  /** Sentences about what differs all the same. */
  remarks: string[];
}

/** The least share that the form's sliders have, and the most pixels that its fields take. */
const LEAST_STRENGTH = 0.01;
const MOST_PIXELS = 1024;
const MOST_STEPS = 100;
/** How many characters of a name or value a message shows, and how many names and values. */
const SHOWN = 40;
export const LISTED = 6;
/** A text of so many bytes or fewer has no more tokens than one chunk takes. */
const SURELY_ONE_CHUNK = 75;
/** No text encoder reads more of a prompt, by far; more of it would only slow down the page. */
const LONGEST_PROMPT = 20_000;
/** Characters of the longest name of a sampler that is looked up. */
const LONGEST_NAME = 100;
/**
 * Programs that leave out layers for the prompt alone if its brackets are text; a link is of this form.
 */
const ONE_SKIP = new Set(["diffusers", "link"]);
/** Algorithms of schedulers whose amount of noise depends on eta. */
const USES_ETA = new Set(["ddim", "tcd"]);
/** Programs that give words a weight, or name files, inside of the prompt. */
const WEIGHTS = /:\s?[\d.]+\)|<(?:lora|lyco|hypernet|embedding):/;

/** Decide what the form takes of a picture's settings. */
export function adopt(found: FoundSettings, offer: Offer): Adopted {
  return new Adoption(found, offer).result();
}

/** Say in sentences what was taken, changed and not taken. */
export function describe(adopted: Adopted, origin: string): string {
  const { taken, changed, refused, remarks } = adopted;
  const strings = galleryText();
  return [
    taken.length === 0 ? strings.nothingTaken(origin) : strings.taken(origin, taken),
    ...(changed.length === 0 ? [] : [strings.changed(list(bounded(changed)))]),
    ...(refused.length === 0 ? [] : [strings.notTaken(list(bounded(refused)))]),
    ...remarks,
  ].join(" ");
}

/** Name where settings come from, and the program if it is another one. */
export function nameOrigin({ program }: FoundSettings, name: string): string {
  // The form of AUTOMATIC1111's web UI is written by many programs, WSD among them.
  const own = program === "A1111" || program === "link";
  return own ? shorten(name) : galleryText().drawnWith(shorten(name), program);
}

class Adoption {
  private readonly fields: Adopted["fields"] = {};
  private readonly taken: string[] = [];
  private readonly changed: string[] = [];
  private readonly refused: string[] = [];
  private loras: AppliedLora[] | undefined;
  private readonly strings = galleryText();
  private readonly skipped: SkippedLayers;

  constructor(
    private readonly found: FoundSettings,
    private readonly offer: Offer,
  ) {
    this.skipped = readSkippedLayers(found, offer);
    this.takePrompts();
    this.takeReading();
    if (found.seed !== undefined) this.take("seed", found.seed.toString());
    this.takeSize();
    this.takeScheduler();
    this.takeSteps();
    this.takeGuidance();
    this.takeCacheInterval();
    this.takePicture();
    this.takePictureOptions();
    this.takeSecondPass();
    this.takeVariation();
    this.nameWhatProgramsSet();
    this.compareEta();
    this.takeLoras();
    this.nameInversions();
    for (const [name, value] of found.others) this.refused.push(pair(name, value));
  }

  result(): Adopted {
    const { fields, loras, taken, changed, refused } = this;
    return {
      fields,
      loras,
      taken,
      changed,
      refused,
      remarks: this.remarks(),
    };
  }

  private remarks(): string[] {
    const { model, prompt = "" } = this.found;
    const { name } = this.offer.model;
    return [
      ...(model === undefined || this.isModel(model)
        ? []
        : [this.strings.otherModel(shorten(model), name)]),
      ...(this.isFromPicture() && !this.offer.hasPicture ? [this.strings.fromPicture] : []),
      ...(this.isFromWords() && this.offer.hasPicture ? [this.strings.fromWords] : []),
      ...(!this.isWeighted() && WEIGHTS.test(prompt.slice(0, LONGEST_PROMPT))
        ? [this.strings.weights]
        : []),
      ...(this.skipsForPromptAlone() ? [this.strings.skipsPrompt] : []),
    ];
  }

  private take(field: Field, value: string): void {
    this.fields[field] = value;
    this.taken.push(this.strings.fields[field]);
  }

  private change(field: Field, value: string, from: string, to: string, reason: string): void {
    const { strings } = this;
    this.fields[field] = value;
    const what = strings.change(strings.fields[field], shorten(from), shorten(to));
    this.changed.push(strings.because(what, reason));
  }

  private refuse(name: string, value: string, reason: string): void {
    const what = value === "" ? name : `${name} ${write().isolate(shorten(value))}`;
    this.refused.push(this.strings.because(what, reason));
  }

  /** Take what there is; a picture that has a prompt and no negative one was drawn without it. */
  private takePrompts(): void {
    const { strings } = this;
    const { prompt: found, negativePrompt } = this.found;
    if (found !== undefined) {
      const prompt = this.withoutTags(found);
      if (prompt.trim() === "") this.refuse(strings.fields.prompt, "", strings.empty);
      else this.takeText("prompt", prompt);
    }
    if (found !== undefined || negativePrompt !== undefined)
      this.takeLine("negative", negativePrompt ?? "", this.offer.takesNegativePrompt);
  }

  /** Take a text into a field of one line, or refuse it if the model does not use it. */
  private takeLine(field: Exclude<PromptField, "prompt">, found: string, taken: boolean): void {
    // The field would drop line breaks and join the words around them.
    const text = this.withoutTags(found).replaceAll(/[\r\n]/g, " ");
    if (text !== "" && taken) this.takeText(field, text);
    else if (text !== "") this.refuse(this.strings.fields[field], "", this.strings.notUsed);
    else this.fields[field] = "";
  }

  /** Whether the prompts are read with weights, as the program says it or as it reads them. */
  private isWeighted(): boolean {
    const { promptSyntax, program, isOurs } = this.found;
    if (promptSyntax !== undefined) return promptSyntax === "a1111";
    if (isOurs === true) return false;
    const { texts } = this;
    const weighs = texts.some(hasSyntax);
    // The web UI reads the whole of a long prompt too.
    if (program === "A1111") return weighs || this.skipsForBoth() || texts.some(isLong);
    // Others mean something else by brackets.
    return this.skipsForBoth() && !weighs;
  }

  /** What is looked at of the prompts. */
  private get texts(): string[] {
    const { prompt = "", negativePrompt = "" } = this.found;
    return [prompt, negativePrompt].map((text) => text.slice(0, LONGEST_PROMPT));
  }

  /**
   * Whether the program left out layers for the negative prompt too: prompts with weights are read so
   * here, and plain ones as diffusers reads them.
   */
  private skipsForBoth(): boolean {
    const { program, isOurs, promptSyntax } = this.found;
    const { layers, problem } = this.skipped;
    const isAsHere = isOurs === true || promptSyntax !== undefined || ONE_SKIP.has(program);
    return layers !== 0 && problem === undefined && !isAsHere;
  }

  private skipsForPromptAlone(): boolean {
    return this.skipsForBoth() && !this.isWeighted();
  }

  /** Name the tags of a prompt with weights, which is taken without them. */
  private withoutTags(text: string): string {
    if (!this.isWeighted()) return text;
    const { prompt, tags } = splitTags(text);
    for (const tag of tags) this.refused.push(pair(tag, ""));
    return prompt;
  }

  /**
   * Take how the prompts are read, and what further text encoders read. What settings with a prompt do
   * not say, they do not have; without one, it stays as it is.
   */
  private takeReading(): void {
    const { prompt, promptSyntax, clipSkip, clipStop } = this.found;
    const { prompt2, negativePrompt2, prompt3, negativePrompt3 } = this.found;
    const { takesSecondPrompt, takesThirdPrompt } = this.offer;
    const isWhole = prompt !== undefined;
    if (isWhole || promptSyntax !== undefined || this.isWeighted()) {
      if (this.isWeighted()) this.take("promptSyntax", "a1111");
      else this.fields.promptSyntax = "";
    }
    if (isWhole || clipSkip !== undefined || clipStop !== undefined) this.takeClipSkip();
    for (const [field, found, taken] of [
      ["prompt2", prompt2, takesSecondPrompt],
      ["negative2", negativePrompt2, takesSecondPrompt],
      ["prompt3", prompt3, takesThirdPrompt],
      ["negative3", negativePrompt3, takesThirdPrompt],
    ] as const) {
      if (isWhole || found !== undefined) this.takeLine(field, found ?? "", taken);
    }
  }

  /** Take how many layers were left out, or leave out none. */
  private takeClipSkip(): void {
    const { layers, problem } = this.skipped;
    const { fields, skipsNone, notUsed, neverLast } = this.strings;
    this.fields.clipSkip = "";
    if (problem !== undefined) {
      const reason = { skipsNone, notUsed, neverLast }[problem];
      this.refuse(fields.clipSkip, String(layers), reason);
    } else if (layers > 0) this.takeWithin("clipSkip", layers, 0, this.offer.maxClipSkip);
  }

  /** Take the cache interval, or let the whole UNet always run. */
  private takeCacheInterval(): void {
    const { prompt, cacheInterval = 1 } = this.found;
    if (prompt === undefined && this.found.cacheInterval === undefined) return;
    this.fields.cacheInterval = "";
    const { fields, notUsed } = this.strings;
    if (cacheInterval === 1) return;
    if (this.offer.hasDeepCache) this.takeWithin("cacheInterval", cacheInterval, 1, MOST_STEPS);
    else this.refuse(fields.cacheInterval, String(cacheInterval), notUsed);
  }

  private takeText(field: PromptField, text: string): void {
    const { strings } = this;
    if (text.length <= LONGEST_PROMPT) {
      this.take(field, text);
      return;
    }
    // Not between the two halves of a character.
    this.fields[field] = text.slice(0, LONGEST_PROMPT).replace(/[\uD800-\uDBFF]$/, "");
    this.changed.push(strings.because(strings.fields[field], strings.tooLong(LONGEST_PROMPT)));
  }

  private takeSize(): void {
    const { width, height } = this.found;
    if (width === undefined || height === undefined) return;
    const wanted = `${width}x${height}`;
    const { fields, notCompiled } = this.strings;
    // Another program's settings may say anything; a picture has whole pixels.
    if (![width, height].every((side) => Number.isInteger(side) && side > 0)) {
      this.refuse(fields.size, wanted, notCompiled);
      return;
    }
    const value = nearestSize([width, height], this.offer.sizes).join("x");
    if (value === wanted) this.take("size", value);
    else this.change("size", value, wanted, value, notCompiled);
  }

  private takeScheduler(): void {
    const { program, sampler, schedule = "" } = this.found;
    const { strings } = this;
    if (sampler === undefined) {
      if (schedule !== "") this.refused.push(pair(strings.schedule, schedule));
      return;
    }
    const { schedulers, scheduler: present } = this.offer;
    const name = schedule === "" ? sampler : `${sampler}, ${schedule}`;
    const known = findNamed(program, sampler, schedule);
    const offered = known?.schedulers.find((each) => Object.hasOwn(schedulers, each));
    if (known?.exact === true && offered !== undefined) {
      this.take("scheduler", offered);
      return;
    }
    // The same sampler on other noise levels is nearer than another sampler.
    const other = offered ?? this.sameSampler(program, sampler);
    if (other !== undefined) {
      this.change("scheduler", other, name, schedulers[other]!.title, strings.otherLevels);
    } else {
      const reason = known === undefined ? strings.unknown : strings.notOffered;
      const stays = schedulers[present]?.title ?? present;
      this.refuse(strings.sampler, name, strings.stays(reason, stays));
    }
  }

  private sameSampler(program: string, sampler: string): string | undefined {
    const known = findNamed(program, sampler, "any");
    return known?.schedulers.find((each) => Object.hasOwn(this.offer.schedulers, each));
  }

  /** Take the steps, or lower those that are set: another scheduler may take fewer. */
  private takeSteps(): void {
    const wanted = this.found.steps ?? this.offer.steps;
    const config = this.offer.schedulers[this.fields.scheduler ?? this.offer.scheduler];
    const [min, max] = [config?.min_steps ?? 1, config?.max_steps ?? wanted];
    const steps = Math.round(clamp(wanted, min, max));
    if (this.found.steps === undefined && (steps === wanted || Number.isNaN(wanted))) return;
    this.takeNumber("steps", wanted, steps, min, max);
  }

  private takeGuidance(): void {
    const { guidanceScale: wanted } = this.found;
    if (wanted === undefined) return;
    const { min, max } = this.offer.guidance;
    this.takeNumber("guidance", wanted, clamp(wanted, min, max), min, max);
  }

  private takePicture(): void {
    const { number, of, all = false } = this.found.picture ?? { number: 1, of: 1 };
    const { strings } = this;
    const { maxImages } = this.offer;
    if (of > maxImages) {
      this.refuse(strings.fields.image, strings.numberOf(number, of), strings.tooMany(maxImages));
      return;
    }
    this.fields.images = String(of);
    this.fields.image = "";
    if (of === 1) return;
    if (all) {
      this.taken.push(strings.fields.images);
      return;
    }
    this.fields.image = String(number);
    this.taken.push(strings.because(strings.fields.image, strings.numberOf(number, of)));
  }

  /** Whether the settings are of a picture that was drawn from another one; links are of a form. */
  private isFromPicture(): boolean {
    return this.found.strength !== undefined && this.found.program !== "link";
  }

  /** Whether a picture was drawn without another one. A link is of a form, which may have either. */
  private isFromWords(): boolean {
    const { strength, prompt, program } = this.found;
    return strength === undefined && prompt !== undefined && program !== "link";
  }

  private takePictureOptions(): void {
    const { strength, maskBlur, keepUnmasked, onlyMaskedPadding, fit, maskedContent } = this.found;
    if (!this.offer.takesPicture) return;
    // The sides belong to the picture that was enlarged.
    const sides = Object.entries(this.found.outpaint ?? {}).flat();
    if (sides.length > 0) this.refused.push(pair("Outpaint", sides.join(" ")));
    if (strength !== undefined) this.takeWithin("strength", strength, LEAST_STRENGTH, 1);
    if (maskBlur !== undefined) this.takeWithin("maskBlur", Math.round(maskBlur), 0, MOST_PIXELS);
    if (fit !== undefined) this.takeNamed("fit", fit, FITS);
    if (maskedContent !== undefined)
      this.takeNamed("maskedContent", maskedContent, MASKED_CONTENTS);
    if (keepUnmasked !== undefined) this.take("keepUnmasked", String(keepUnmasked));
    // Programs write it only if it is so, and the form begins with it.
    else if (this.isFromPicture() && maskedContent !== undefined)
      this.fields.keepUnmasked = "false";
    if (onlyMaskedPadding !== undefined)
      this.takeWithin("onlyMasked", Math.round(onlyMaskedPadding), 0, MOST_PIXELS);
    // Another picture's settings say that all of it was drawn.
    else if (this.isFromPicture()) this.fields.onlyMasked = "";
  }

  /** Take the second pass, or have none: a picture without one was drawn in one pass. */
  private takeSecondPass(): void {
    this.fields.secondPass = "";
    const { secondScale, secondWidth, secondHeight, secondStrength, secondSteps, upscale } =
      this.found;
    const size = this.sizeAfterwards();
    if (size === undefined) return;
    const wanted = secondScale ?? (secondWidth === undefined ? undefined : secondWidth / size[0]);
    if (wanted === undefined) return;
    const { fields, noLarger } = this.strings;
    const factor = enlargements(this.offer.sizes, size).find(
      (each) => Math.abs(each - wanted) < 0.01,
    );
    const named =
      secondWidth === undefined ? String(wanted) : `${secondWidth}x${secondHeight ?? ""}`;
    if (factor === undefined) {
      this.refuse(fields.secondPass, named, noLarger);
      return;
    }
    this.take("secondPass", String(factor));
    this.fields.secondStrength = "";
    this.fields.secondSteps = "";
    this.fields.upscale = "";
    if (secondStrength !== undefined)
      this.takeWithin("secondStrength", secondStrength, LEAST_STRENGTH, 1);
    // 0 stands for as many as the first pass.
    if (secondSteps !== undefined && secondSteps > 0)
      this.takeWithin("secondSteps", Math.round(secondSteps), 1, MOST_STEPS);
    if (upscale !== undefined) this.takeNamed("upscale", upscale, UPSCALES);
  }

  /** The size that the form has when all is taken. */
  private sizeAfterwards(): Size | undefined {
    const [width, height] = (this.fields.size ?? this.offer.size).split("x").map(Number);
    return width! > 0 && height! > 0 ? [width!, height!] : undefined;
  }

  /** Take a variation, or have none. */
  private takeVariation(): void {
    const { variationSeed, variationStrength = 0 } = this.found;
    const none = variationSeed === undefined || variationStrength <= 0;
    this.fields.variationSeed = none ? "" : variationSeed.toString();
    this.fields.variationStrength = none ? "" : String(clamp(variationStrength, 0, 1));
    if (!none) this.taken.push(this.strings.fields.variationSeed);
  }

  /** Take the LoRAs that are listed, by their files if the settings tell them, or by their names. */
  private takeLoras(): void {
    const { loras: named = [], prompt } = this.found;
    const { loras: known = [] } = this.offer;
    const { lora, noLora, otherLora, lorasOff } = this.strings;
    // A link may say nothing of a prompt, and an example nothing of LoRAs.
    if (prompt === undefined || (this.offer.loras ?? named).length + named.length === 0) return;
    this.loras = [];
    for (const { name, scale, hash } of named) {
      const same = known.find((each) => each.hash === hash);
      const found = same ?? known.find((each) => each.name === name);
      const what = `${lora(shorten(name))} ${write().number(scale)}`;
      if (found === undefined) {
        this.refused.push(this.strings.because(what, noLora));
        continue;
      }
      this.loras.push({ name: found.name, scale });
      const isOther = same === undefined && hash !== undefined;
      if (isOther) this.changed.push(this.strings.because(what, otherLora));
      else this.taken.push(what);
    }
    const off = known.filter(
      ({ name, on }) => on && !this.loras!.some((each) => each.name === name),
    );
    if (off.length > 0) this.changed.push(lorasOff(off.map(({ name }) => shorten(name))));
  }

  /** Name those textual inversions with which the prompts were read, and with which they are not here. */
  private nameInversions(): void {
    const { inversion, noLora, isOff } = this.strings;
    const known = new Map(
      (this.offer.inversions ?? []).map(({ token, on }) => [token.toLowerCase(), on]),
    );
    for (const name of this.found.inversions ?? []) {
      const on = known.get(name.toLowerCase());
      const reason = on === undefined ? noLora : isOff;
      if (on !== true) this.refused.push(this.strings.because(inversion(shorten(name)), reason));
    }
  }

  private takeWithin(field: Field, wanted: number, min: number, max: number): void {
    this.takeNumber(field, wanted, clamp(wanted, min, max), min, max);
  }

  private takeNamed(field: Field, name: string, known: readonly string[]): void {
    if (known.includes(name)) this.take(field, name);
    else this.refuse(this.strings.fields[field], name, this.strings.unknown);
  }

  /** Name what only programs set: the form has no fields for it. */
  private nameWhatProgramsSet(): void {
    const { guidanceRescale = 0 } = this.found;
    if (guidanceRescale > 0) this.refused.push(pair("CFG rescale", String(guidanceRescale)));
    const { guidanceStart, guidanceStop } = this.found;
    if (guidanceStart) this.refused.push(pair("Guidance start", String(guidanceStart)));
    if (guidanceStop !== undefined && guidanceStop < 1)
      this.refused.push(pair("Guidance stop", String(guidanceStop)));
    const { skipGuidanceLayers: layers } = this.found;
    if (layers !== undefined) this.refused.push(pair("Skip guidance layers", String(layers)));
    for (const [name, numbers] of Object.entries(this.found.conditions ?? {})) {
      this.refused.push(pair(name, String(numbers)));
    }
  }

  /** Eta has no field in the form, so the model's own is used. Only two algorithms use eta. */
  private compareEta(): void {
    const { eta, program } = this.found;
    const config = this.offer.schedulers[this.fields.scheduler ?? this.offer.scheduler];
    if (program === "link" || config === undefined || !USES_ETA.has(config.algorithm)) return;
    // Programs that write this form leave out an eta of 0.
    const wanted = eta ?? (program === "A1111" ? 0 : this.offer.eta);
    if (wanted !== this.offer.eta) this.refused.push(`eta ${wanted}`);
  }

  private takeNumber(field: Field, wanted: number, value: number, min: number, max: number): void {
    if (value === wanted) this.take(field, String(value));
    else
      this.change(
        field,
        String(value),
        String(wanted),
        String(value),
        this.strings.range(min, max),
      );
  }

  private isModel(name: string): boolean {
    const { model } = this.offer;
    return [model.name, model.source].some((each) => bare(each) === bare(name));
  }
}

/** The layers that a program left out. */
interface SkippedLayers {
  /** How many, as the form counts them; -1 for a layer more than this model reads. */
  layers: number;
  /** Why they are not taken, if they are not. */
  problem?: "skipsNone" | "notUsed" | "neverLast";
}

function readSkippedLayers(found: FoundSettings, offer: Offer): SkippedLayers {
  const { clipSkip = 0, clipStop, isOurs = false, program } = found;
  const { maxClipSkip, takesSecondPrompt } = offer;
  // ComfyUI counts the layer from the last one. SDXL's encoders are read at the last layer but one, from
  // which the form counts (comfy/sdxl_clip.py).
  const layers = clipStop === undefined ? clipSkip : -clipStop - (takesSecondPrompt ? 2 : 1);
  if (layers < 0) return { layers, problem: "neverLast" };
  if (layers === 0) return { layers };
  // The web UI writes it for SDXL too, and reads SDXL's prompts as if it were not there.
  if (takesSecondPrompt && program === "A1111" && !isOurs) return { layers, problem: "skipsNone" };
  return maxClipSkip === 0 ? { layers, problem: "notUsed" } : { layers };
}

/** Find a scheduler, and spend no time on what is too long to be a name. */
function findNamed(program: string, sampler: string, schedule: string): KnownSampler | undefined {
  const longest = Math.max(sampler.length, schedule.length);
  return longest > LONGEST_NAME ? undefined : findScheduler(program, sampler, schedule);
}

/** A model's name without its folder and the ending of its file. */
function bare(name: string): string {
  const file = name.split(/[\\/]/).at(-1)!.toLowerCase();
  return file.replace(/\.(?:safetensors|ckpt|gguf)$/, "");
}

function pair(name: string, value: string): string {
  const { isolate } = write();
  if (value === "") return isolate(shorten(name));
  return isolate(value.startsWith(name) ? shorten(value) : `${shorten(name)} ${shorten(value)}`);
}

function shorten(text: string): string {
  const line = text.slice(0, SHOWN).replaceAll(/\s/g, " ").trim();
  return text.length > SHOWN ? `${line}…` : line;
}

/** Shorten a list of what a hostile file can make arbitrarily long. */
function bounded(items: string[]): string[] {
  const more = items.length - LISTED;
  return [...items.slice(0, LISTED), ...(more > 0 ? [galleryText().more(more)] : [])];
}

function list(items: string[]): string {
  return items.join("; ");
}

/** Whether a text may have more tokens than one chunk takes. */
function isLong(text: string): boolean {
  return new TextEncoder().encode(text).length > SURELY_ONE_CHUNK;
}
