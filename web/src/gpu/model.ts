/** A model on the GPU: its compiled functions, called with its parameters. */

import { countProgress } from "../api/progress";
import type { OnStage } from "../api/progress";
import type { LoadOptions } from "../api/types";
import type { BundleFiles } from "../bundle/bundle_files";
import { chooseEncoders } from "../bundle/encoders";
import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { readChoices } from "../bundle/kernel_choices";
import { memoryOf, mergeSettings, pageSettings } from "../bundle/inference_settings";
import type { MemorySettings } from "../bundle/inference_settings";
import { findDenoiser, findEntryPoint, findShallowDenoiser } from "../bundle/manifest";
import { AUTO } from "../util/constants.generated";
import { throwIfAborted, UnsupportedError } from "../util/errors";
import type { BufferLimits } from "./buffer_limits";
import { requestGpu } from "./device";
import type { AdapterIdentity } from "./device";
import { KernelLauncher } from "./kernel_launcher";
import type { KernelTable } from "./kernel_table";
import { readKernelTable } from "./kernel_table";
import { fitPreferences, parseKernelChoice } from "./kernel_variants";
import type { Preferences } from "./kernel_variants";
import { ResidentComponents } from "./residency";
import type { GpuFacts } from "./selection_rules";
import { readRules } from "./selection_rules";
import { Runtime } from "./tvm/runtime";
import type { Tensor } from "./tvm/runtime";

/** Tensors by the names that the manifest gives inputs and outputs. */
export type NamedTensors = Record<string, Tensor>;

/** Load options, as those get them who load a model's files and start it. */
export interface ModelOptions extends Omit<LoadOptions, "onProgress"> {
  /** Called with the progress of each stage of loading. */
  onProgress?: OnStage | undefined;
}

/** What a model is loaded from. */
export interface ModelSource {
  manifest: Manifest;
  files: BundleFiles;
  options: ModelOptions;
}

const ignore = (): void => undefined;

/** Finds which variants a model's kernels run on a GPU; undefined if nothing is known of it. */
export type FindPreferences = (
  source: ModelSource,
  gpu: AdapterIdentity,
) => Promise<Preferences | undefined>;

let findPreferences: FindPreferences = () => Promise.resolve(undefined);

/** Have models load with preferences from now on; builds that cannot tune have none. */
export function findPreferencesBy(find: FindPreferences): void {
  findPreferences = find;
}

/** A compiled library that runs on a GPU, and the parameters of its components. */
export class Model {
  private constructor(
    readonly manifest: Manifest,
    readonly runtime: Runtime,
    readonly components: ResidentComponents,
    /** Vendor, architecture and description of the GPU. */
    readonly adapter: Record<string, string>,
    /** The device's limits. */
    readonly limits: BufferLimits,
    /** How much memory drawing takes, unless a call has settings of its own. */
    readonly memory: MemorySettings,
    readonly identity: AdapterIdentity,
    /** Makes the kernels that take the place of generated ones; undefined if the bundle has none. */
    readonly launcher: KernelLauncher | undefined,
  ) {}

  /**
   * Request a GPU and start the compiled library on it. Parameters and pipelines follow when
   * they are needed, see {@link ResidentComponents.need} and {@link Runtime.prepare}.
   *
   * @throws OptionError if the option `kernels` names no variant, or `ignoredRules` no rule, or for
   *   settings that the model cannot have.
   * @throws UnsupportedError if the GPU lacks something that the model needs.
   * @throws FetchError or IntegrityError if a file cannot be had.
   * @throws AbortError if the signal is aborted.
   */
  static async load(
    { manifest, files, options }: ModelSource,
    report: OnStage,
    signal?: AbortSignal,
  ): Promise<Model> {
    const memory = memoryOf(mergeSettings(manifest, pageSettings(options), {}).diffusion);
    const choice = parseKernelChoice(options.kernels, options.onNotice);
    const { kernels: rules } = readRules(manifest, options.ignoredRules);
    const { device, adapter, identity, facts } = await requestGpu(
      manifest.requires,
      chooseEncoders(manifest, false).requires,
    );
    const { library } = manifest;
    let runtime: Runtime;
    let launcher: KernelLauncher | undefined;
    try {
      const wasm = await files.get(
        library,
        countProgress(
          (loaded, total) => report({ stage: "library", file: library.file, loaded, total }),
          library.bytes,
        ),
        signal,
      );
      const known = { gpu: facts, rules, choice };
      const [table, standard, found] = await Promise.all([
        fetchKernels(manifest, files, signal),
        choice === AUTO ? fetchChoices(manifest, files, facts, identity, signal) : undefined,
        findPreferences({ manifest, files, options }, identity),
      ]);
      throwIfAborted(signal);
      const selection = {
        ...known,
        standard: fitPreferences(table, standard, known),
        preferences: fitPreferences(table, found, known),
      };
      runtime = await Runtime.create(
        wasm,
        device,
        manifest.entry_points,
        table && ((context) => (launcher = new KernelLauncher(context, table, selection))),
      );
    } catch (error) {
      device.destroy();
      throw error;
    }
    const components = new ResidentComponents(runtime, manifest, files, memory.swapper);
    const { limits } = device;
    return new Model(manifest, runtime, components, adapter, limits, memory, identity, launcher);
  }

  /**
   * The function that plays a role at a picture size.
   *
   * @throws OptionError if the model was not compiled for the size.
   */
  entry(role: Role, size: Size = this.manifest.defaults.size): EntryPoint {
    return findEntryPoint(this.manifest, role, size);
  }

  /**
   * The denoiser for a prompt of so many chunks, with guidance in the same call or without it.
   *
   * @throws OptionError if the model was not compiled for the size.
   * @throws UnsupportedError if the bundle has no denoiser for so many chunks.
   */
  denoiser(size: Size, chunks: number, guided: boolean): EntryPoint {
    const found = findDenoiser(this.manifest, size, chunks, guided);
    if (found !== undefined) return found;
    throw new UnsupportedError(
      `${this.manifest.model.name} has no denoiser that takes ${chunks} chunks of a prompt` +
        `${guided ? " and guides" : ""} at ${size.join("x")}`,
      "build the bundle again, or write a shorter prompt",
    );
  }

  /**
   * The outermost layers of that denoiser, which take deep features.
   *
   * @throws OptionError if the model was not compiled for the size.
   * @throws UnsupportedError if the bundle has no such function.
   */
  shallowDenoiser(size: Size, chunks: number, guided: boolean): EntryPoint {
    const found = findShallowDenoiser(this.manifest, size, chunks, guided);
    if (found !== undefined) return found;
    throw new UnsupportedError(
      `${this.manifest.model.name} has no denoiser that takes deep features`,
      "build the bundle again with --deep-cache, or leave cacheInterval out",
    );
  }

  /** All functions of a role, of every size. */
  entries(role: Role): EntryPoint[] {
    return this.manifest.entry_points.filter((entry) => entry.role === role);
  }

  /** Shape of the latents of one picture: (1, channels, height / factor, width / factor). */
  latentShape(size: Size): [number, number, number, number] {
    return this.entry("denoiser", size).inputs[0]!.shape as [number, number, number, number];
  }

  /**
   * Call a function with inputs by name, and with its component's parameters if it has any.
   * Inputs that the function does not take are left out. Call within a scope.
   *
   * @returns its outputs by name.
   */
  call(entry: EntryPoint, inputs: NamedTensors): NamedTensors {
    const tensors = entry.inputs.map(({ name }) => {
      const tensor = inputs[name];
      if (tensor === undefined) throw new Error(`${entry.name} needs the input ${name}`);
      return tensor;
    });
    const bundled = entry.component === null ? [] : [this.components.parameters(entry.component)];
    const results = this.runtime.call(entry, ...tensors, ...bundled);
    return Object.fromEntries(entry.outputs.map(({ name }, index) => [name, results[index]!]));
  }

  /**
   * Compute a linear combination of latents on the GPU. Call within a scope.
   *
   * @param terms latents and their weights; the compiled kernel takes a fixed number of terms.
   *   Those that are not given repeat the first with weight 0, and more take another call.
   */
  combine(size: Size, terms: [Tensor, number][]): Tensor {
    const entry = this.entry("linear_combination", size);
    const slots = entry.inputs.length - 1;
    if (terms.length > slots) {
      const sum = this.combine(size, terms.slice(0, slots));
      return this.combine(size, [[sum, 1], ...terms.slice(slots)]);
    }
    const coefficients = new Float32Array(slots);
    terms.forEach(([, weight], index) => (coefficients[index] = weight));
    const tensors = Array.from({ length: slots }, (_, index) => (terms[index] ?? terms[0]!)[0]);
    return this.runtime.call(entry, ...tensors, this.runtime.tensor(coefficients, [slots]))[0]!;
  }

  /** Call a function with values by name, and read its outputs back. */
  async run(
    entry: EntryPoint,
    inputs: Record<string, Float32Array | Int32Array>,
  ): Promise<Record<string, Float32Array>> {
    const outputs = this.kept(() => {
      const tensors = entry.inputs.map(({ name, shape }) => [
        name,
        this.runtime.tensor(inputs[name]!, shape),
      ]);
      return this.call(entry, Object.fromEntries(tensors) as NamedTensors);
    });
    return this.readAll(outputs);
  }

  /** Read tensors back by name, and dispose of them. */
  async readAll(tensors: NamedTensors): Promise<Record<string, Float32Array>> {
    const read: Record<string, Float32Array> = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      read[name] = await this.readAndDispose(tensor);
    }
    return read;
  }

  /**
   * Run `work` in a scope and keep the tensors that it returns, and no others; the caller
   * disposes of them.
   */
  kept(work: () => NamedTensors): NamedTensors {
    const found: NamedTensors = {};
    this.runtime.scope(() => {
      for (const [name, tensor] of Object.entries(work())) found[name] = this.runtime.keep(tensor);
      return undefined;
    });
    return found;
  }

  /** Read a tensor back and dispose of it. */
  async readAndDispose(tensor: Tensor): Promise<Float32Array> {
    try {
      return new Float32Array(await this.runtime.read(tensor));
    } finally {
      tensor.dispose();
    }
  }

  dispose(): void {
    // A lost device has already freed its buffers.
    if (this.runtime.failure === undefined) this.components.dispose();
    this.runtime.dispose();
  }
}

async function fetchKernels(
  manifest: Manifest,
  files: BundleFiles,
  signal?: AbortSignal,
): Promise<KernelTable | undefined> {
  if (manifest.kernels === undefined) return undefined;
  const bytes = await files.get(manifest.kernels, ignore, signal);
  return readKernelTable(new TextDecoder().decode(bytes));
}

/** Fetch what the bundle says is the fastest on adapters of this class, if it says so. */
async function fetchChoices(
  { kernel_choices: entry }: Manifest,
  files: BundleFiles,
  { adapter }: GpuFacts,
  { features }: AdapterIdentity,
  signal?: AbortSignal,
): Promise<Preferences | undefined> {
  if (entry === undefined) return undefined;
  const bytes = await files.get(entry, ignore, signal);
  const found = readChoices(new TextDecoder().decode(bytes), adapter.classes as string[], features);
  return found && new Map(Object.entries(found));
}
