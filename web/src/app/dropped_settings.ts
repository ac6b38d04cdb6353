/** Decides what the form takes of another picture's settings, and says so in a message. */

import type { FoundSettings, Manifest } from "../index";
import { findScheduler } from "../index";

type Size = readonly [number, number];

/** What the form offers. */
export interface Offer {
  model: Manifest["model"];
  schedulers: Manifest["schedulers"]["available"];
  sizes: readonly Size[];
  /** The scheduler that is chosen now. */
  scheduler: string;
  guidance: { min: number; max: number };
  /** How many pictures the form draws at most. */
  maxImages: number;
  /** The model's share of DDPM's noise. */
  eta: number;
}

/** What the form takes. */
export interface Adopted {
  /** Values by the ids of the form's fields. */
  fields: Partial<Record<Field, string>>;
  /** What was taken, changed and not taken, for the visitor. */
  message: string;
}

type Field =
  "prompt" | "negative" | "seed" | "steps" | "guidance" | "scheduler" | "size" | "images";

/** How many characters of a name or value a message shows, and how many names and values. */
const SHOWN = 40;
const LISTED = 6;
/** Algorithms of schedulers whose amount of noise depends on eta. */
const USES_ETA = new Set(["ddim", "tcd"]);
/** Programs that give words a weight, or name files, inside of the prompt. */
const WEIGHTS = /:\s?[\d.]+\)|<(?:lora|lyco|hypernet|embedding):/;

/** Decide what the form takes of a picture's settings. */
export function adopt(found: FoundSettings, offer: Offer, file: string): Adopted {
  const adopted = new Adoption(found, offer);
  return { fields: adopted.fields, message: adopted.describe(file) };
}

class Adoption {
  readonly fields: Adopted["fields"] = {};
  private readonly taken: string[] = [];
  private readonly changed: string[] = [];
  private readonly refused: string[] = [];

  constructor(
    private readonly found: FoundSettings,
    private readonly offer: Offer,
  ) {
    this.takePrompts();
    if (found.seed !== undefined) this.take("seed", found.seed.toString());
    this.takeSize();
    this.takeScheduler();
    this.takeSteps();
    this.takeGuidance();
    this.takePicture();
    this.compareEta();
    for (const [name, value] of found.others) this.refused.push(pair(name, value));
  }

  describe(file: string): string {
    const { program, model } = this.found;
    // The form of AUTOMATIC1111's web UI is written by many programs, WSD among them.
    const origin = program === "A1111" ? file : `${file}, drawn with ${program}`;
    const sentences = [
      this.taken.length === 0
        ? `No settings taken from ${origin}`
        : `Settings taken from ${origin}: ${this.taken.join(", ")}`,
      ...(this.changed.length === 0 ? [] : [`Changed: ${list(this.changed)}`]),
      ...(this.refused.length === 0 ? [] : [`Not taken: ${list(this.refused)}`]),
      ...(model === undefined || this.isModel(model)
        ? []
        : [`Its model was ${shorten(model)}, this one is ${this.offer.model.name}`]),
      ...(WEIGHTS.test(this.found.prompt ?? "")
        ? ["Weights and file names in the prompt are read as words"]
        : []),
    ];
    return sentences.map((sentence) => `${sentence}.`).join(" ");
  }

  private take(field: Field, value: string): void {
    this.fields[field] = value;
    this.taken.push(field === "negative" ? "negative prompt" : field);
  }

  private change(field: Field, value: string, from: string, to: string): void {
    this.fields[field] = value;
    this.changed.push(`${field} ${shorten(from)} to ${to}`);
  }

  private takePrompts(): void {
    const { prompt, negativePrompt } = this.found;
    if (prompt === undefined) return;
    this.take("prompt", prompt);
    // A field of one line would drop line breaks and join the words around them.
    const negative = (negativePrompt ?? "").replaceAll(/[\r\n]/g, " ");
    if (negative === "") this.fields.negative = "";
    else this.take("negative", negative);
  }

  private takeSize(): void {
    const { width, height } = this.found;
    if (width === undefined || height === undefined) return;
    const nearest = nearestSize(this.offer.sizes, [width, height]);
    if (nearest === undefined) {
      this.refused.push(`size ${width}x${height}`);
      return;
    }
    const [value, wanted] = [nearest.join("x"), `${width}x${height}`];
    if (value === wanted) this.take("size", value);
    else this.change("size", value, wanted, value);
  }

  private takeScheduler(): void {
    const { program, sampler, schedule = "" } = this.found;
    if (sampler === undefined) {
      if (schedule !== "") this.refused.push(pair("schedule", schedule));
      return;
    }
    const { schedulers, scheduler: present } = this.offer;
    const name = schedule === "" ? sampler : `${sampler}, ${schedule}`;
    const known = findScheduler(program, sampler, schedule);
    const offered = known?.schedulers.find((each) => Object.hasOwn(schedulers, each));
    if (known?.exact === true && offered !== undefined) {
      this.take("scheduler", offered);
      return;
    }
    // The same sampler on other noise levels is nearer than another sampler.
    const other = offered ?? this.sameSampler(program, sampler);
    if (other !== undefined) {
      this.change("scheduler", other, name, schedulers[other]!.title);
    } else {
      const reason = known === undefined ? "unknown" : "not offered by this model";
      const stays = schedulers[present]?.title ?? present;
      this.refused.push(`sampler ${shorten(name)} (${reason}, ${stays} stays)`);
    }
  }

  private sameSampler(program: string, sampler: string): string | undefined {
    const known = findScheduler(program, sampler, "any");
    return known?.schedulers.find((each) => Object.hasOwn(this.offer.schedulers, each));
  }

  private takeSteps(): void {
    const { steps } = this.found;
    if (steps === undefined) return;
    const config = this.offer.schedulers[this.fields.scheduler ?? this.offer.scheduler];
    const [min, max] = [config?.min_steps ?? 1, config?.max_steps ?? steps];
    this.takeNumber("steps", steps, Math.round(clamp(steps, min, max)));
  }

  private takeGuidance(): void {
    const { guidanceScale: wanted } = this.found;
    if (wanted === undefined) return;
    const { min, max } = this.offer.guidance;
    this.takeNumber("guidance", wanted, clamp(wanted, min, max));
  }

  private takePicture(): void {
    const { number, of } = this.found.picture ?? { number: 1, of: 1 };
    if (of > this.offer.maxImages) {
      this.refused.push(`picture ${number} of ${of}`);
      return;
    }
    this.fields.images = String(of);
    if (of > 1) this.taken.push(`pictures (this is number ${number} of ${of})`);
  }

  /** Eta has no field in the form, so the model's own is used. Only two algorithms use eta. */
  private compareEta(): void {
    const { eta, program } = this.found;
    const config = this.offer.schedulers[this.fields.scheduler ?? this.offer.scheduler];
    if (config === undefined || !USES_ETA.has(config.algorithm)) return;
    // Programs that write this form leave out an eta of 0.
    const wanted = eta ?? (program === "A1111" ? 0 : this.offer.eta);
    if (wanted !== this.offer.eta) this.refused.push(`eta ${wanted}`);
  }

  private takeNumber(field: Field, wanted: number, value: number): void {
    if (value === wanted) this.take(field, String(value));
    else this.change(field, String(value), String(wanted), String(value));
  }

  private isModel(name: string): boolean {
    const { model } = this.offer;
    return [model.name, model.source].some((each) => bare(each) === bare(name));
  }
}

/**
 * Return the size that is nearest in shape, and of those the nearest in area; undefined if an edge
 * of the wanted one is not positive. Both are compared as ratios.
 */
export function nearestSize(sizes: readonly Size[], wanted: Size): Size | undefined {
  const [width, height] = wanted;
  if (!(width > 0 && height > 0)) return undefined;
  const distance = ([w, h]: Size): [number, number] => [
    Math.abs(Math.log((w * height) / (h * width))),
    Math.abs(Math.log((w * h) / (width * height))),
  ];
  return [...sizes].sort((one, other) => {
    const [[shape, area], [otherShape, otherArea]] = [distance(one), distance(other)];
    // Shapes that differ by rounding alone are the same.
    return Math.abs(shape - otherShape) > 1e-9 ? shape - otherShape : area - otherArea;
  })[0];
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

/** A model's name without its folder and the ending of its file. */
function bare(name: string): string {
  const file = name.split(/[\\/]/).at(-1)!.toLowerCase();
  return file.replace(/\.(?:safetensors|ckpt|gguf)$/, "");
}

function pair(name: string, value: string): string {
  return value.startsWith(name) ? shorten(value) : `${shorten(name)} ${shorten(value)}`;
}

function shorten(text: string): string {
  const line = text.slice(0, SHOWN).replaceAll(/\s/g, " ").trim();
  return text.length > SHOWN ? `${line}…` : line;
}

function list(items: string[]): string {
  const more = items.length - LISTED;
  return [...items.slice(0, LISTED), ...(more > 0 ? [`and ${more} more`] : [])].join("; ");
}
