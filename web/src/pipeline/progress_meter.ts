/** Estimates from the progress of single stages how far a whole call is, and how long it takes. */

import type { OnProgress, OnStage, StageEvent } from "../api/progress";
import type { LoadOptions } from "../api/types";
import { textComponents } from "../bundle/manifest";
import type { EntryPoint, Manifest, Role } from "../bundle/manifest";

const ignore = (): void => undefined;

type Stage = StageEvent["stage"];

/** What a stage is expected to take. */
export interface Expectation {
  /** How much the stage does: bytes, pipelines, steps, or 1 for a whole text or picture. */
  units: number;
  /** Whether it does so much for each picture. */
  eachPicture?: boolean;
  /** Milliseconds that a unit is expected to take. */
  cost: number;
  /** Whether the cost was measured in an earlier call, and is not a guess. */
  measured: boolean;
}

/** Stages by their names. */
export type Expectations = Partial<Record<Stage, Expectation>>;

/** Milliseconds of a unit, as measured in earlier calls. */
export type Costs = Partial<Record<Stage, number>>;

/**
 * Milliseconds that a unit takes on a usual computer, by which the stages share the bar of a first
 * call: files come at 25 MB/s, and a picture is decoded in the time of four steps.
 */
const USUAL_COSTS: Record<Stage, number> = {
  library: 4e-5,
  parameters: 4e-5,
  pipelines: 12,
  lora: 4e-5,
  encode: 600,
  text: 150,
  denoise: 150,
  decode: 600,
  safety: 600,
  "self-test": 500,
  tune: 1,
};

/** A stage's own time is used when it has been measured for so many milliseconds. */
const LEAST_MEASURED_MS = 400;

/** What has happened in a stage so far. */
interface StageState extends Expectation {
  done: number;
  /** Units of amounts that ended before the current one began, of stages that begin anew. */
  before: number;
  total: number;
  /** Time between events of this stage that followed each other, and what was done in it. */
  milliseconds: number;
  counted: number;
}

/** Adds to the events of a call's stages how far the whole call is. */
export class ProgressMeter {
  private readonly states = new Map<Stage, StageState>();
  private pictures = 1;
  private overall = 0;
  private last: { event: StageEvent; time: number } | undefined;

  /**
   * @param expected the stages that the call will run; others may come too.
   * @param report called with each event and what is known of the whole call.
   * @param now a clock in milliseconds.
   */
  constructor(
    expected: Expectations,
    private readonly report: OnProgress,
    private readonly now: () => number = () => performance.now(),
  ) {
    for (const [stage, expectation] of Object.entries(expected) as [Stage, Expectation][]) {
      this.states.set(stage, begin(expectation));
    }
  }

  /** Called with the events of the stages. */
  readonly onStage: OnStage = (event) => {
    const time = this.now();
    if (event.images !== undefined) this.expectPictures(event.images);
    const state = this.follow(event);
    const before = state.done;
    count(state, event);
    if (this.last?.event.stage === event.stage) {
      state.milliseconds += time - this.last.time;
      state.counted += state.done - before;
    }
    this.last = { event, time };
    this.overall = Math.min(1, Math.max(this.overall, this.isLast(event) ? 1 : this.share()));
    const remainingMs = this.overall === 1 ? 0 : this.remaining();
    this.report({ ...event, overall: this.overall, remainingMs });
  };

  /** Report once more that all is done, unless the last event said so: stages may be skipped. */
  finish(): void {
    if (this.last === undefined || this.overall === 1) return;
    this.overall = 1;
    this.report({ ...this.last.event, overall: 1, remainingMs: 0 });
  }

  /** Milliseconds of a unit of each stage that this call measured. */
  costs(): Costs {
    const costs: Costs = {};
    for (const [stage, { milliseconds, counted }] of this.states) {
      if (counted > 0) costs[stage] = milliseconds / counted;
    }
    return costs;
  }

  /** The first event of drawing says how many pictures there are. */
  private expectPictures(pictures: number): void {
    for (const state of this.states.values()) {
      if (state.eachPicture) state.units *= pictures / this.pictures;
    }
    this.pictures = pictures;
  }

  private follow({ stage, total }: StageEvent): StageState {
    let state = this.states.get(stage);
    if (state === undefined) {
      state = begin({ units: total, cost: USUAL_COSTS[stage], measured: false });
      this.states.set(stage, state);
    }
    return state;
  }

  /** Whether nothing comes after an event: the last picture is decoded, or checked. */
  private isLast(event: StageEvent): boolean {
    const { stage, loaded, total } = event;
    const last = this.states.has("safety") ? "safety" : "decode";
    return stage === last && event.image === event.images - 1 && loaded === total;
  }

  /** The share of all work that is done, as long as it was expected to take. */
  private share(): number {
    const states = [...this.states.values()];
    const done = states.reduce((sum, { done, cost }) => sum + done * cost, 0);
    const total = states.reduce((sum, { units, cost }) => sum + units * cost, 0);
    return total === 0 ? 0 : done / total;
  }

  /** Estimate the time left in milliseconds; null if nothing was measured yet. */
  private remaining(): number | null {
    const states = [...this.states.values()];
    const timed = states.filter(
      ({ milliseconds, counted }) => milliseconds >= LEAST_MEASURED_MS && counted > 0,
    );
    // By how much this computer is slower than expected, where it could be measured.
    const expected = timed.reduce((sum, { counted, cost }) => sum + counted * cost, 0);
    const taken = timed.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    let left = 0;
    for (const state of states) {
      const units = state.units - state.done;
      if (units <= 0) continue;
      if (timed.includes(state)) left += (units * state.milliseconds) / state.counted;
      else if (state.measured) left += units * state.cost;
      else if (expected > 0) left += (units * state.cost * taken) / expected;
      else return null;
    }
    return left;
  }
}

function begin(expectation: Expectation): StageState {
  return { ...expectation, done: 0, before: 0, total: 0, milliseconds: 0, counted: 0 };
}

/** Take what an event says into a stage's state. */
function count(state: StageState, event: StageEvent): void {
  const { loaded, total } = event;
  if (event.stage === "denoise" || event.stage === "decode" || event.stage === "safety") {
    // All pictures have as many steps; how many of a step's units they are was expected before.
    state.done = (state.units * (event.image + share(loaded, total))) / event.images;
  } else if (event.stage === "text" || event.stage === "encode") {
    state.done = state.units * share(loaded, total);
  } else {
    // With `offload`, parameters are loaded again for each stage: one amount after another.
    if (total !== state.total) [state.before, state.total] = [state.done, total];
    state.done = state.before + loaded;
    state.units = Math.max(state.units, state.before + total);
  }
}

function share(done: number, total: number): number {
  return total === 0 ? 1 : done / total;
}

/** Make a meter of loading a model. With `offload`, only the text encoders' parameters are loaded. */
export function meterLoading(
  manifest: Manifest,
  { offload = false, safetyChecker = false, onProgress = ignore }: LoadOptions,
): ProgressMeter {
  const checker = safetyChecker ? componentsOf(manifest, "safety_checker") : [];
  const names = offload
    ? manifest.conditioning.encoders
    : [...textComponents(manifest), ...checker];
  const expected: Expectations = {
    library: expect("library", manifest.library.bytes, {}),
    parameters: expect("parameters", countBytes(manifest, names), {}),
    pipelines: expect("pipelines", countKernels(manifest), {}),
  };
  return new ProgressMeter(expected, onProgress);
}

/** What drawing does besides drawing from text. */
export interface DrawingStages {
  /** Whether the pictures are checked. */
  checks?: boolean | undefined;
  /** How often a picture that is given is encoded. */
  encodings?: number | undefined;
}

/**
 * Make a meter of drawing.
 *
 * @param steps of each picture.
 * @param evicted roles of the stages that load their parameters first.
 * @param costs measured in earlier calls.
 * @param more what is done besides drawing from text.
 */
export function meterDrawing(
  manifest: Manifest,
  steps: number,
  evicted: readonly Role[],
  costs: Costs,
  report: OnProgress,
  { checks = false, encodings = 0 }: DrawingStages = {},
): ProgressMeter {
  const names = new Set([
    ...textComponents(manifest),
    ...(checks ? componentsOf(manifest, "safety_checker") : []),
    ...(encodings > 0 ? componentsOf(manifest, "vae_encoder") : []),
  ]);
  const read = [...names].filter((name) => evicted.includes(manifest.components[name]!.role));
  const bytes = countBytes(manifest, read);
  const expected: Expectations = {
    ...(encodings > 0 ? { encode: expect("encode", encodings, costs) } : {}),
    text: expect("text", 1, costs),
    denoise: { ...expect("denoise", steps, costs), eachPicture: true },
    decode: { ...expect("decode", 1, costs), eachPicture: true },
    parameters: expect("parameters", bytes, costs),
    ...(checks ? { safety: { ...expect("safety", 1, costs), eachPicture: true } } : {}),
  };
  return new ProgressMeter(expected, report);
}

/** Make a meter of encoding a picture. */
export function meterEncoding(report: OnProgress): ProgressMeter {
  return new ProgressMeter({}, report);
}

/** Make a meter of changing weights as LoRAs say: at most those that a text draws with. */
export function meterPatching(manifest: Manifest, report: OnProgress): ProgressMeter {
  const bytes = countBytes(manifest, textComponents(manifest));
  return new ProgressMeter({ parameters: expect("parameters", bytes, {}) }, report);
}

/** Make a meter of reading a file. */
export function meterReading(report: OnProgress): ProgressMeter {
  return new ProgressMeter({}, report);
}

/** Make a meter of the self-test. */
export function meterSelfTest(report: OnProgress): ProgressMeter {
  return new ProgressMeter({}, report);
}

/** The ids of the components that have a role. */
function componentsOf({ components }: Manifest, role: Role): string[] {
  return Object.keys(components).filter((name) => components[name]!.role === role);
}

function expect(stage: Stage, units: number, costs: Costs): Expectation {
  const cost = costs[stage];
  return { units, cost: cost ?? USUAL_COSTS[stage], measured: cost !== undefined };
}

function countBytes({ components }: Manifest, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + (components[name]?.bytes ?? 0), 0);
}

/** Roles of functions that a picture that is drawn from text, and decoded whole, does not run. */
const NOT_RUN: readonly Role[] = [
  "vae_decoder_tile",
  "vae_encoder",
  "vae_encoder_tile",
  "rgba_to_image",
  "masked_blend",
  "safety_checker",
];

/** How many kernels a picture of the default size runs, about. */
function countKernels(manifest: Manifest): number {
  const { size } = manifest.defaults;
  const isForSize = (entry: EntryPoint): boolean =>
    entry.size === null || (entry.size[0] === size[0] && entry.size[1] === size[1]);
  const kernels = manifest.entry_points
    .filter((entry) => isForSize(entry) && !NOT_RUN.includes(entry.role))
    .flatMap((entry) => entry.kernels);
  return new Set(kernels).size;
}
