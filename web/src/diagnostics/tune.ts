/**
 * Tunes a model on the GPU at hand: times what may run in each kernel, and has the fastest run.
 *
 * A function is called once, and the buffers of its kernels are noted. They stay as long as the
 * function's workspace does, so that each kernel can be run again and again with them, whatever it
 * writes: its results are needed no more. Nothing stays that does not make the whole function faster.
 *
 * While nobody calls the model, the same is done in slices, of which any may be cancelled. What was
 * found for a kernel is remembered then, and runs when all kernels of its function are known.
 */

import type { OnStage } from "../api/progress";
import type { TunedFunction, TuneReport, VariantChoice } from "../api/tuning";
import { keepTuning, readTuning } from "../bundle/kept_tuning";
import type { Tuning } from "../bundle/kept_tuning";
import type { EntryPoint, Role } from "../bundle/manifest";
import { hasBuffersFor } from "../gpu/buffer_limits";
import {
  allowsWritten,
  findChoices,
  hasScratchFor,
  standardChoice,
  trimLauncher,
  variantOf,
} from "../gpu/kernel_candidates";
import type { KernelLauncher } from "../gpu/kernel_launcher";
import type { Variant } from "../gpu/kernel_table";
import { runsUntuned } from "../gpu/kernel_variants";
import type { Model, NamedTensors } from "../gpu/model";
import type { Kernel } from "../gpu/tvm/gpu_context";
import type { Tensor } from "../gpu/tvm/runtime";
import type { KernelSource } from "../gpu/tvm/pipelines";
import type { Stages } from "../pipeline";
import { mapInOrder, untilAborted } from "../util/concurrency";
import { AUTO, GENERATED, SELF_TEST_TOLERANCE } from "../util/constants.generated";
import { throwIfAborted } from "../util/errors";
import { findFastest, median } from "./fastest";
import type { Timer } from "./fastest";
import { GpuClock } from "./gpu_clock";
import { makeInputs } from "./random_inputs";
import type { Candidates, KernelCall, TuningUnit } from "./tuning_units";
import { planUnits } from "./tuning_units";

/** Roles of the functions that are tuned, in their order: those first that take most of the time. */
const TUNED_ROLES: readonly Role[] = [
  "guided_denoiser",
  "denoiser",
  "guided_chunked_denoiser",
  "chunked_denoiser",
  "guided_shallow_denoiser",
  "shallow_denoiser",
  "vae_decoder",
  "vae_decoder_tile",
  "text_encoder",
  "layered_text_encoder",
  "vae_encoder",
  "vae_encoder_tile",
];
/** Seconds that a call times kernels unless it says otherwise. */
const DEFAULT_SECONDS = 5;
/** Units whose candidates are compiled at the same time, while one is timed. */
const COMPILED_AHEAD = 3;
/** How often a whole function is timed with and without what was found. */
const CONFIRMATIONS = 3;
/** A function that takes less than this share of its time before is not timed again. */
const CLEAR = 0.8;
/** The largest relative difference of a function's results that other kernels may make. */
const LARGEST_DIFFERENCE = SELF_TEST_TOLERANCE.f16;

/** Milliseconds of a kernel from which on a slice does not try everything in it. */
const LONG_MS = 100;
/** Seconds of a slice, without the function's calls that find and confirm what is fastest. */
const SLICE_SECONDS = 1;

/** How long tuning may take, and whether it begins anew. */
export interface TuningOptions {
  seconds?: number | undefined;
  again?: boolean | undefined;
}

/** What is known of a function before its kernels are others. */
interface Begun {
  /** Kernel → what was found to be the fastest in it. */
  choices: Map<string, VariantChoice>;
  /** The first kernel of a unit → milliseconds that the function spends in it; undefined until timed. */
  shares: ReadonlyMap<string, number> | undefined;
}

/** What is known of a model that is loaded. */
interface State {
  clock: GpuClock;
  /** What was found, whether the browser keeps it or not. */
  tuning: Tuning;
  /** Whether the browser keeps that. */
  kept: boolean;
  /** Functions by their names. */
  begun: Map<string, Begun>;
}

const states = new WeakMap<Model, State>();

/**
 * Time what may run in the kernels of the functions that are compiled, and have the fastest run.
 *
 * @param stages of the model; nothing else runs meanwhile.
 * @throws AbortError if the signal is aborted.
 */
export async function tuneModel(
  stages: Stages,
  { seconds = DEFAULT_SECONDS, again = false }: TuningOptions,
  report: OnStage,
  signal: AbortSignal,
): Promise<TuneReport> {
  const { launcher } = stages.model;
  const entries = launcher === undefined ? [] : findFunctions(stages.model);
  return tuneFunctions(stages, entries, { seconds, again, slice: false }, report, signal);
}

/**
 * Do the same for about a second, and go on where the slice before ended. Nothing is brought to the GPU for
 * it, and nothing is done where only kernels run that TVM generated, as on adapters that compute on
 * the processor.
 *
 * It ends soon after the signal is aborted: when the kernel that runs then has ended, or where the whole
 * function is called, when that call has.
 *
 * @param stages of the model; nothing else runs meanwhile.
 * @returns `complete` if nothing is left to do.
 * @throws AbortError if the signal is aborted; what was found for kernels is remembered.
 */
export async function tuneSlice(stages: Stages, signal: AbortSignal): Promise<TuneReport> {
  const { launcher, components } = stages.model;
  // Where stages come and go, there is no room for more.
  const isWorth = launcher !== undefined && allowsWritten(launcher) && !components.offload;
  const entries = (isWorth ? findFunctions(stages.model) : []).filter(
    ({ component }) => component === null || components.has(component),
  );
  const options = { seconds: SLICE_SECONDS, again: false, slice: true };
  return tuneFunctions(stages, entries, options, () => undefined, signal);
}

/**
 * Note that the GPU was lost while a slice ran, or had no room, so that it does not happen at each visit.
 * A call of {@link tuneModel} that ends well takes it back.
 */
export async function keepLoss({ model, files }: Stages): Promise<void> {
  const { manifest, identity, launcher } = model;
  if (launcher?.selection.choice !== AUTO) return;
  const known = await readTuning(manifest, identity, files.cache);
  const tuning = { choices: {}, functions: [], ...known, lost: true };
  await keepTuning(manifest, identity, tuning, files.cache);
}

/** Tune functions in their order, as far as the time allows. */
async function tuneFunctions(
  { model, files, bring }: Stages,
  functionsToTune: readonly EntryPoint[],
  { seconds, again, slice }: { seconds: number; again: boolean; slice: boolean },
  report: OnStage,
  signal: AbortSignal,
): Promise<TuneReport> {
  const started = performance.now();
  const { manifest, identity, launcher } = model;
  const isKept = launcher?.selection.choice === AUTO;
  const read = async (): Promise<Tuning | undefined> =>
    isKept ? readTuning(manifest, identity, files.cache) : undefined;
  const begin = async (): Promise<State> => {
    const tuning = await read();
    return {
      clock: new GpuClock(model.runtime),
      tuning: tuning ?? { choices: {}, functions: [] },
      kept: tuning !== undefined,
      begun: new Map(),
    };
  };
  const state = states.get(model) ?? (await begin());
  states.set(model, state);
  const { tuning } = state;
  if (again) state.begun.clear();
  const entries = slice && tuning.lost === true ? [] : functionsToTune;
  const budget = new Budget(seconds * 1000, (spent, total) =>
    report({ stage: "tune", loaded: spent, total }),
  );
  if (launcher !== undefined && entries.length > 0) {
    const tuner = new Tuner(model, launcher, state, { again, slice }, budget, signal);
    const isDone = ({ name }: EntryPoint): boolean =>
      !again && tuning.functions.some((each) => each.name === name && each.complete);
    const keep = async (): Promise<boolean> =>
      isKept && keepTuning(manifest, identity, tuning, files.cache);
    try {
      for (const entry of entries.filter((each) => !isDone(each))) {
        throwIfAborted(signal);
        if (budget.isOver()) break;
        await bring(entry, signal);
        const before = tuning.functions;
        await budget.spend(() => tuner.tune(entry));
        if (tuning.functions !== before) state.kept = await keep();
      }
    } finally {
      if (model.runtime.failure === undefined) trimLauncher(launcher);
    }
    if (!slice) {
      tuning.lost = undefined;
      state.kept = await keep();
    }
  }
  budget.finish();
  const { functions, choices } = tuning;
  const names = new Set(functions.filter(({ complete }) => complete).map(({ name }) => name));
  return {
    adapter: { ...identity },
    functions,
    kernels: Object.keys(choices).length,
    changed: launcher === undefined ? 0 : countChanged(launcher, Object.keys(choices), choices),
    gain: findGain(functions),
    choices,
    complete: entries.every(({ name }) => names.has(name)),
    kept: state.kept,
    seconds: (performance.now() - started) / 1000,
  };
}

/** The functions whose pipelines are compiled, because something was drawn with them or will be. */
function findFunctions({ manifest, runtime, limits }: Model): EntryPoint[] {
  const { variants } = runtime.pipelines;
  return TUNED_ROLES.flatMap((role) =>
    manifest.entry_points.filter((entry) => entry.role === role),
  ).filter(
    (entry) =>
      entry.kernels.every((kernel) => variants.has(kernel)) && hasBuffersFor(entry, limits),
  );
}

/** Count the kernels in which another variant runs than would run otherwise. */
function countChanged(
  launcher: KernelLauncher,
  kernels: readonly string[],
  choices: Readonly<Record<string, VariantChoice>>,
): number {
  return kernels.filter((kernel) => isChanged(launcher, kernel, choices[kernel]!)).length;
}

function isChanged(launcher: KernelLauncher, kernel: string, choice: VariantChoice): boolean {
  const standard = standardChoice(launcher, kernel);
  return variantOf(launcher, kernel, choice) !== variantOf(launcher, kernel, standard);
}

/** How many times as fast functions are as before; 1 where the clock is too coarse to tell. */
function findGain(functions: readonly TunedFunction[]): number {
  const after = total(functions, "after");
  return after > 0 ? total(functions, "before") / after : 1;
}

/** Milliseconds that functions take of a picture of the model's default steps. */
function total(functions: readonly TunedFunction[], which: "before" | "after"): number {
  return functions.reduce((sum, each) => sum + each.calls * each[which], 0);
}

/** How long tuning may take, and what it has taken of that. */
class Budget {
  private spent = 0;
  private started: number | undefined;

  /** @param report called with the milliseconds that are spent, and with all of them. */
  constructor(
    private readonly milliseconds: number,
    private readonly report: (spent: number, total: number) => void,
  ) {}

  /** Do work that counts. */
  async spend(work: () => Promise<void>): Promise<void> {
    this.started = performance.now();
    try {
      await work();
    } finally {
      this.spent += performance.now() - this.started;
      this.started = undefined;
    }
  }

  isOver(): boolean {
    const running = this.started === undefined ? 0 : performance.now() - this.started;
    const spent = this.spent + running;
    this.report(Math.min(spent, this.milliseconds), this.milliseconds);
    return spent >= this.milliseconds;
  }

  /** Report that nothing is left to do. */
  finish(): void {
    this.report(this.milliseconds, this.milliseconds);
  }
}

/** What runs in a kernel: a variant, or the generated kernel, and its pipeline. */
interface Running {
  variant: Variant | undefined;
  kernel: Kernel;
}

/** A candidate of a unit: what it is in each kernel, and their pipelines. */
interface Compiled {
  choices: readonly VariantChoice[];
  kernels: readonly Kernel[];
}

/** Tunes the functions of a model, one after another. */
class Tuner {
  private readonly clock: GpuClock;
  private readonly tuning: Tuning;
  /** Whether a call of the model may end it at any time. */
  private readonly slice: boolean;
  /** Kernels that are not timed again. */
  private readonly decided: Set<string>;
  /** What was compiled of what was found in this call. */
  private readonly compiled = new Map<string, Kernel>();

  constructor(
    private readonly model: Model,
    private readonly launcher: KernelLauncher,
    private readonly state: State,
    { again, slice }: { again: boolean; slice: boolean },
    private readonly budget: Budget,
    private readonly signal: AbortSignal,
  ) {
    ({ clock: this.clock, tuning: this.tuning } = state);
    this.slice = slice;
    this.decided = new Set(again ? [] : Object.keys(this.tuning.choices));
  }

  /**
   * Tune a function, whose weights are on the GPU. A slice after which kernels are left to time changes
   * nothing of what runs.
   */
  async tune(entry: EntryPoint): Promise<void> {
    const { model, tuning, state, signal } = this;
    throwIfAborted(signal);
    const begun: Begun = state.begun.get(entry.name) ?? { choices: new Map(), shares: undefined };
    state.begun.set(entry.name, begun);
    const inputs = model.kept(() => makeInputs(model, entry));
    const before = new Map<string, Running>();
    const choices = { ...tuning.choices };
    let outputs: NamedTensors = {};
    const call = (): void => {
      model.runtime.scope(() => {
        model.call(entry, inputs);
        return undefined;
      });
    };
    try {
      const calls = this.watch(() => (outputs = model.kept(() => model.call(entry, inputs))));
      await model.runtime.sync();
      const sources = model.runtime.pipelines.readSources([...new Set(entry.kernels)]);
      const complete = await this.choose(calls, sources, begun);
      if (this.slice && !complete) return;
      await this.useFound(begun.choices, sources, before);
      const times = await this.confirm(entry, inputs, call, sources, before);
      const kernels = entry.kernels.filter((kernel) => Object.hasOwn(tuning.choices, kernel));
      const made: TunedFunction = {
        name: entry.name,
        calls: entry.role.endsWith("denoiser") ? model.manifest.defaults.steps : 1,
        ...times,
        kernels: kernels.length,
        changed: countChanged(this.launcher, kernels, tuning.choices),
        complete,
      };
      const others = tuning.functions.filter(({ name }) => name !== entry.name);
      tuning.functions = [...others, made];
      state.begun.delete(entry.name);
    } catch (error) {
      // What was not confirmed does not stay.
      for (const [name, { variant, kernel }] of before) this.use(name, variant, kernel);
      tuning.choices = choices;
      throw error;
    } finally {
      if (model.runtime.failure === undefined) {
        for (const tensor of [inputs, outputs].flatMap(Object.values<Tensor>)) tensor.dispose();
      }
    }
  }

  /**
   * Note the calls of kernels that work makes. In a slice they do not run: that would take as long as a step,
   * and their times do not depend on what an earlier picture left in the buffers.
   */
  private watch(work: () => void): KernelCall[] {
    const { pipelines } = this.model.runtime;
    const calls: KernelCall[] = [];
    pipelines.onKernel = (kernel, args) => {
      calls.push({ kernel, args: [...args] });
      return !this.slice;
    };
    try {
      work();
      return calls;
    } finally {
      pipelines.onKernel = undefined;
    }
  }

  /**
   * Find what is the fastest in each kernel, in that first which takes most of the time.
   *
   * @param begun gets what is found.
   * @returns whether all were timed before the time was up.
   */
  private async choose(
    calls: readonly KernelCall[],
    sources: ReadonlyMap<string, KernelSource>,
    begun: Begun,
  ): Promise<boolean> {
    const { launcher, clock, budget, signal } = this;
    const decided = new Set([...this.decided, ...begun.choices.keys()]);
    const find: Candidates = {
      all: (kernel) => findChoices(launcher, kernel),
      standard: (kernel) => standardChoice(launcher, kernel),
    };
    const units = planUnits(calls, launcher.table, find, decided);
    const shares = (begun.shares ??= await this.findShares(units));
    // Units that another function's slice has decided meanwhile are left out, and none is added.
    const share = ({ calls: [first] }: TuningUnit): number => shares.get(first!.kernel) ?? 0;
    const sorted = units
      .map((unit) => (this.slice ? this.withoutSlow(unit, share(unit) / unit.count) : unit))
      .sort((one, other) => share(other) - share(one));
    const compile = async (unit: TuningUnit): Promise<readonly [TuningUnit, Compiled[]]> => [
      unit,
      // Compiling goes on in the GPU's process, and nobody waits for it.
      await untilAborted(this.compileAll(unit, sources), signal),
    ];
    let timed = 0;
    for await (const [unit, compiled] of mapInOrder(sorted, COMPILED_AHEAD, compile)) {
      // One at least is timed, so that the next call goes on behind it.
      if (budget.isOver() && timed > 0) return false;
      timed += 1;
      throwIfAborted(signal);
      if (compiled.length === 0) continue;
      const candidates = await this.withoutInvalid(unit, compiled);
      const timer: Timer = {
        resolution: clock.resolution,
        span: clock.span,
        time: async (numbers, repeats) =>
          this.time(
            numbers.map((number) => (): void => {
              runCalls(unit, candidates[number]!.kernels, repeats);
            }),
          ),
      };
      const fastest = await findFastest(candidates.length, timer);
      const { choices, kernels } = candidates[fastest.candidate]!;
      unit.calls.forEach(({ kernel }, index) => {
        begun.choices.set(kernel, choices[index]!);
        this.compiled.set(kernel, kernels[index]!);
      });
    }
    return true;
  }

  /**
   * Leave out what may be many times as slow as what runs, where that takes long already: a picture would
   * wait for it, and some systems end a GPU that computes for two seconds.
   *
   * @param milliseconds that what runs takes.
   */
  private withoutSlow(unit: TuningUnit, milliseconds: number): TuningUnit {
    if (milliseconds < LONG_MS) return unit;
    const isSafe = (choice: VariantChoice, index: number): boolean => {
      const variant = variantOf(this.launcher, unit.calls[index]!.kernel, choice);
      return variant !== undefined && runsUntuned(variant);
    };
    const [first, ...others] = unit.candidates;
    return { ...unit, candidates: [first!, ...others.filter((each) => each.every(isSafe))] };
  }

  /** Time each unit once as it runs; returns for the first kernel of each its share of the function. */
  private async findShares(units: readonly TuningUnit[]): Promise<Map<string, number>> {
    const { pipelines } = this.model.runtime;
    const running = units.map((unit) => unit.calls.map(({ kernel }) => pipelines.kernel(kernel)));
    const times = await this.time(
      units.map((unit, index) => (): void => runCalls(unit, running[index]!, 1)),
    );
    this.clock.judge(times);
    return new Map(
      units.map(({ calls: [first], count }, index) => [first!.kernel, count * times[index]!]),
    );
  }

  /**
   * Have run what was found.
   *
   * @param before gets what ran in the kernels.
   */
  private async useFound(
    found: ReadonlyMap<string, VariantChoice>,
    sources: ReadonlyMap<string, KernelSource>,
    before: Map<string, Running>,
  ): Promise<void> {
    const { launcher, tuning, signal } = this;
    const { pipelines } = this.model.runtime;
    // What an earlier slice found had room then. Kernels that were chosen together stay together.
    const rooms = await Promise.all(
      [...found].map(async ([name, choice]) => {
        const variant = variantOf(launcher, name, choice);
        return variant === undefined || this.compiled.has(name) || hasScratchFor(launcher, variant);
      }),
    );
    throwIfAborted(signal); // a call of the model needs the room now
    const fits = rooms.every((room) => room);
    const compiled = await untilAborted(
      Promise.all(
        [...found].map(async ([name, chosen]) => {
          const choice = fits ? chosen : standardChoice(launcher, name);
          const variant = variantOf(launcher, name, choice);
          const known = fits ? this.compiled.get(name) : undefined;
          const kernel = known ?? (await this.compile(name, variant, sources));
          return { name, choice, variant, kernel };
        }),
      ),
      signal,
    );
    for (const { name, choice, variant, kernel } of compiled) {
      before.set(name, { variant: launcher.running.get(name), kernel: pipelines.kernel(name) });
      this.use(name, variant, kernel);
      tuning.choices[name] = choice;
      this.decided.add(name);
    }
  }

  /**
   * Time several kinds of work one after another. In a slice each is waited for, so that it ends soon when
   * a call of the model comes.
   */
  private async time(works: readonly (() => void)[]): Promise<number[]> {
    const { clock, signal } = this;
    throwIfAborted(signal);
    if (!this.slice) return clock.time(works);
    const times: number[] = [];
    for (const work of works) {
      throwIfAborted(signal);
      times.push(...(await clock.time([work])));
    }
    return times;
  }

  /** Compile the candidates of a unit; one that the GPU's driver refuses or has no room for is left out. */
  private async compileAll(
    { calls, candidates }: TuningUnit,
    sources: ReadonlyMap<string, KernelSource>,
  ): Promise<Compiled[]> {
    const compiled = await Promise.all(
      candidates.map(async (choices): Promise<Compiled[]> => {
        try {
          const variants = calls.map(({ kernel }, index) =>
            variantOf(this.launcher, kernel, choices[index]!),
          );
          for (const variant of variants) {
            if (variant !== undefined && !(await hasScratchFor(this.launcher, variant))) return [];
          }
          throwIfAborted(this.signal); // a call of the model needs the room now
          const kernels = calls.map(({ kernel }, index) =>
            this.compile(kernel, variants[index], sources),
          );
          return [{ choices, kernels: await Promise.all(kernels) }];
        } catch (error) {
          if (choices === candidates[0]) throw error;
          return [];
        }
      }),
    );
    // Others are compared with the first one.
    return compiled[0]!.length === 0 ? [] : compiled.flat();
  }

  /** Return what is compiled of a variant, or of the generated kernel; else compile it. */
  private async compile(
    name: string,
    variant: Variant | undefined,
    sources: ReadonlyMap<string, KernelSource>,
  ): Promise<Kernel> {
    const { launcher } = this;
    const { context, pipelines } = this.model.runtime;
    if (launcher.running.get(name) === variant) return pipelines.kernel(name);
    const { info, code } = sources.get(name)!;
    if (variant !== undefined) return launcher.compile(variant, info);
    return context.createKernel(info, code);
  }

  /**
   * Run the candidates of a unit once, and leave out those that the GPU refuses: of commands that are
   * refused nothing is done, which is fast.
   */
  private async withoutInvalid(
    unit: TuningUnit,
    candidates: readonly Compiled[],
  ): Promise<Compiled[]> {
    const { runtime } = this.model;
    const { context } = runtime;
    const { device } = context;
    context.flush();
    const errors: Promise<GPUError | null>[] = [];
    for (const { kernels } of candidates) {
      throwIfAborted(this.signal);
      device.pushErrorScope("validation");
      runCalls(unit, kernels, 1);
      context.flush();
      errors.push(device.popErrorScope());
      if (this.slice) await runtime.sync();
    }
    const refused = await Promise.all(errors);
    return candidates.filter((_, index) => index === 0 || refused[index] === null);
  }

  /**
   * Time a function with what was found for its kernels and without it, in turns. If it is not faster,
   * or computes something else, nothing of that stays. What was found in an earlier function, with which it
   * shares kernels, was confirmed there.
   *
   * @param before the kernels that were chosen in this function.
   */
  private async confirm(
    entry: EntryPoint,
    inputs: NamedTensors,
    call: () => void,
    sources: ReadonlyMap<string, KernelSource>,
    before: ReadonlyMap<string, Running>,
  ): Promise<Pick<TunedFunction, "before" | "after">> {
    const { model, launcher, tuning } = this;
    const { runtime } = model;
    const names = [...before.keys()].filter((name) =>
      isChanged(launcher, name, tuning.choices[name]!),
    );
    if (names.length === 0) {
      const [time] = await this.time([call]);
      return { before: time!, after: time! };
    }
    const standard = await Promise.all(
      names.map(async (name): Promise<Running> => {
        const variant = variantOf(launcher, name, standardChoice(launcher, name));
        return { variant, kernel: await this.compile(name, variant, sources) };
      }),
    );
    const chosen = names.map((name): Running => ({
      variant: launcher.running.get(name),
      kernel: runtime.pipelines.kernel(name),
    }));
    const useAll = (all: readonly Running[]): void =>
      all.forEach(({ variant, kernel }, index) => this.use(names[index]!, variant, kernel));
    const runWith = (all: readonly Running[]) => (): void => {
      useAll(all);
      call();
    };
    const readWith = async (all: readonly Running[]): Promise<Record<string, Float32Array>> => {
      throwIfAborted(this.signal);
      useAll(all);
      return model.readAll(model.kept(() => model.call(entry, inputs)));
    };
    const difference = differ(await readWith(standard), await readWith(chosen));
    const samples: [number[], number[]] = [[], []];
    for (let round = 0; round < CONFIRMATIONS; round++) {
      const [slow, fast] = await this.time([runWith(standard), runWith(chosen)]);
      samples[0].push(slow!);
      samples[1].push(fast!);
      if (fast! < CLEAR * slow!) break;
    }
    const [slow, fast] = [median(samples[0]), median(samples[1])];
    if (fast < slow && difference <= LARGEST_DIFFERENCE) return { before: slow, after: fast };
    useAll(standard);
    for (const name of names) tuning.choices[name] = standardChoice(launcher, name);
    return { before: slow, after: slow };
  }

  private use(name: string, variant: Variant | undefined, kernel: Kernel): void {
    this.model.runtime.pipelines.use(name, variant?.name ?? GENERATED, kernel);
    const { running } = this.launcher;
    if (variant === undefined) running.delete(name);
    else running.set(name, variant);
  }
}

/** Run each kernel of a unit a number of times, with the arguments that were noted. */
function runCalls({ calls }: TuningUnit, kernels: readonly Kernel[], repeats: number): void {
  for (let run = 0; run < repeats; run++) {
    calls.forEach(({ args }, index) => {
      kernels[index]!(...args);
    });
  }
}

/** The largest relative difference of results, by their norms; infinite if one is not a number. */
function differ(
  expected: Readonly<Record<string, Float32Array>>,
  found: Readonly<Record<string, Float32Array>>,
): number {
  const differences = Object.entries(expected).map(([name, values]) => {
    let [squares, size, compared] = [0, 0, 0];
    values.forEach((value, index) => {
      // Random inputs may be beyond what a model computes with.
      if (!Number.isFinite(value)) return;
      compared += 1;
      squares += (found[name]![index]! - value) ** 2;
      size += value ** 2;
    });
    // Where nothing can be compared, nothing is known.
    if (compared === 0) return Infinity;
    return squares === 0 ? 0 : Math.sqrt(squares / size);
  });
  const largest = Math.max(...differences);
  return Number.isNaN(largest) ? Infinity : largest;
}
