/** Which components have their parameters on the GPU, and when they are evicted. */

import type { BundleFiles } from "../bundle/bundle_files";
import type { OnBytes } from "../bundle/download";
import { evictedStages } from "../bundle/inference_settings";
import type { MemorySettings } from "../bundle/inference_settings";
import { textComponents } from "../bundle/manifest";
import type { Manifest, Role } from "../bundle/manifest";
import { countProgress } from "../api/progress";
import type { OnStage } from "../api/progress";
import { differingRecords } from "../adapters/patch";
import type { RecordPatches, WeightPatches } from "../adapters/patch";
import { throwIfAborted } from "../util/errors";
import { WeightPatcher } from "./patch/weight_patcher";
import type { Parameters, Runtime } from "./tvm/runtime";
import { countShardBytes, loadParameters, restoreParameters } from "./parameters";
import { readBack } from "./read_back";
import type { ReadTarget } from "./read_back";
import { Staging } from "./staging";
import { mostKeptBytes, UntouchedWeights } from "./untouched_weights";

/** Suffix of the name of the record with a packed integer weight's scales; wsd/spec/parameter.py. */
const SCALE = ".scale";

const NO_PATCHES: RecordPatches = new Map();

/** The weights of a component that change, as indices of their records and of their scales. */
interface Change {
  /** The component's. */
  name: string;
  /** Of weights that no LoRA has changed yet. */
  untouched: readonly number[];
  /** Of changed weights whose untouched bytes are in memory. */
  kept: readonly number[];
  /** Of those that are read from their shards again. */
  missing: readonly number[];
  /** How many are read back, written or fetched. */
  bytes: number;
}

/** Bytes of the buffers through which weights go to the GPU and back; each has a default. */
export interface TransferSizes {
  /** See {@link Staging}. */
  slotBytes?: number;
  /** See {@link readBack}. */
  pieceBytes?: number;
}

/** The components of a model; loads, patches and evicts their parameters. */
export class ResidentComponents {
  private readonly resident = new Map<string, Parameters>();
  /** What LoRAs change of the weights, on the GPU now and whenever a component is loaded. */
  private patches: WeightPatches = new Map();
  private readonly patcher: WeightPatcher;
  /** If anything is evicted, which is for little memory, nothing is kept. */
  private readonly untouched: UntouchedWeights;
  /** The role that was needed last. */
  private stage: Role | undefined;
  /** Which stages are evicted while others run; a call may have settings of its own. */
  swapper: MemorySettings["swapper"];
  /** How much is copied at a time; tests copy less. */
  transfer: TransferSizes = {};

  /**
   * @param files where parameters are fetched from.
   * @param swapper which stages are evicted while others run, unless a call says otherwise.
   */
  constructor(
    private readonly runtime: Runtime,
    private readonly manifest: Manifest,
    private readonly files: BundleFiles,
    swapper: MemorySettings["swapper"],
  ) {
    this.swapper = swapper;
    this.patcher = new WeightPatcher(runtime);
    const { deviceMemory } = navigator as { deviceMemory?: number };
    this.untouched = new UntouchedWeights(swapper.enabled ? 0 : mostKeptBytes(deviceMemory));
  }

  /** Whether the parameters of some stages are on the GPU only while these run. */
  get offload(): boolean {
    return this.swapper.enabled;
  }

  /**
   * Load the components that play a role. Before that, the workspace of another role is freed,
   * and those of the other components are evicted that are not to be kept.
   */
  async need(role: Role, report: OnStage, signal?: AbortSignal): Promise<void> {
    const wanted = this.playing(role);
    const evicted = evictedStages(this.swapper);
    const leaving = [...this.resident.keys()].filter((name) =>
      evicted.includes(this.manifest.components[name]!.role),
    );
    this.evict(leaving.filter((name) => !wanted.includes(name)));
    if (this.stage !== role) this.runtime.releaseWorkspace();
    this.stage = role;
    await this.load(wanted, report, signal);
  }

  /**
   * Load every component that a picture is drawn with from text.
   *
   * @param more roles whose components are loaded too.
   */
  async needAll(report: OnStage, signal?: AbortSignal, more: readonly Role[] = []): Promise<void> {
    const names = [...textComponents(this.manifest), ...more.flatMap((role) => this.playing(role))];
    await this.load(names, report, signal);
  }

  /**
   * Change weights as LoRAs say: always from what the bundle has, so that nothing is left of earlier
   * changes. Weights that none has changed yet are read back from the GPU before, and stay in memory as
   * long as one changes them, so that they are written anew for another scale. Those that are not kept
   * are read from their shards again.
   *
   * If that fails, the changes from before hold on, and the components in question are loaded when
   * they are needed next.
   *
   * @throws FetchError, IntegrityError or AbortError if a shard does not arrive.
   */
  async patch(patches: WeightPatches, report: OnStage, signal?: AbortSignal): Promise<void> {
    const before = this.patches;
    const changed = [...this.resident.keys()]
      .map((name) => [name, differingRecords(before.get(name), patches.get(name))] as const)
      .filter(([, records]) => records.length > 0)
      .map(([name, records]) => this.planChange(name, records, before.get(name)));
    const onBytes = countProgress(
      (loaded, total) => report({ stage: "parameters", loaded, total }),
      changed.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    this.patches = patches;
    const staging = new Staging(this.runtime.context, this.transfer.slotBytes);
    try {
      for (const change of changed) {
        await this.keepUntouched(change, onBytes, signal);
        await this.restore(change, staging, onBytes, signal);
        const indices = new Set([...change.untouched, ...change.kept, ...change.missing]);
        const { name } = change;
        await this.patchComponent(name, this.parameters(name), indices, staging, signal);
      }
      await staging.finish();
      this.forgetUnpatched();
    } catch (error) {
      this.patches = before;
      // A lost device has already freed its buffers.
      if (this.runtime.failure === undefined) this.evict(changed.map(({ name }) => name));
      throw error;
    } finally {
      await this.files.finish();
      if (this.runtime.failure === undefined) staging.dispose();
    }
  }

  /** Whether a component's parameters are on the GPU. */
  has(name: string): boolean {
    return this.resident.has(name);
  }

  /** A component's parameters; it must be loaded. */
  parameters(name: string): Parameters {
    const found = this.resident.get(name);
    if (found === undefined) throw new Error(`component ${name} is not on the GPU`);
    return found;
  }

  dispose(): void {
    this.evict([...this.resident.keys()]);
  }

  private async load(names: string[], report: OnStage, signal?: AbortSignal): Promise<void> {
    const missing = names.filter((name) => !this.resident.has(name));
    const entries = missing.map((name) => [name, this.manifest.components[name]!] as const);
    const total = entries.reduce((sum, [, component]) => sum + component.bytes, 0);
    const onBytes = countProgress(
      (loaded, total) => report({ stage: "parameters", loaded, total }),
      total,
    );
    const { runtime, files } = this;
    try {
      for await (const [name, loaded] of loadParameters(runtime, entries, files, onBytes, signal)) {
        await this.patchLoaded(name, loaded, signal);
        this.resident.set(name, loaded);
      }
      // What was handed to the GPU's process is on the GPU when that says so.
      if (entries.length > 0) await runtime.context.device.queue.onSubmittedWorkDone();
    } finally {
      await files.finish();
    }
  }

  /** Patch a component that was just loaded, as the LoRAs say that are in use; free it on failure. */
  private async patchLoaded(
    name: string,
    loaded: Parameters,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if ((this.patches.get(name) ?? NO_PATCHES).size === 0) return;
    const staging = new Staging(this.runtime.context, this.transfer.slotBytes);
    try {
      await this.patchComponent(name, loaded, undefined, staging, signal);
      await staging.finish();
    } catch (error) {
      if (this.runtime.failure === undefined) loaded.dispose();
      throw error;
    } finally {
      if (this.runtime.failure === undefined) staging.dispose();
    }
  }

  /** Sort the records of the weights that change by where their untouched bytes are. */
  private planChange(
    name: string,
    weights: readonly string[],
    before: RecordPatches | undefined,
  ): Change {
    const component = this.manifest.components[name]!;
    const patched = weights.filter((weight) => before?.has(weight));
    const indices = this.indicesOf(name, patched);
    const untouched = this.indicesOf(
      name,
      weights.filter((weight) => !before?.has(weight)),
    );
    const isKept = (index: number): boolean => this.untouched.find(name, index) !== undefined;
    const kept = indices.filter(isKept);
    const missing = indices.filter((index) => !isKept(index));
    const bytes = [...untouched, ...kept].reduce(
      (sum, index) => sum + component.records[index]!.bytes,
      countShardBytes(component, missing),
    );
    return { name, untouched, kept, missing, bytes };
  }

  /** Copy records that no LoRA has changed yet into memory, as far as there is room. */
  private async keepUntouched(
    { name, untouched: indices }: Change,
    onBytes: OnBytes,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { runtime, untouched } = this;
    const { records } = this.manifest.components[name]!;
    const parameters = this.parameters(name);
    const bufferOf = (index: number): GPUBuffer => this.bufferOf(parameters, index);
    const made: number[] = [];
    // One record after another, while others are read: without memory it ends early, and nothing large
    // was asked for.
    function* reserve(): Generator<ReadTarget> {
      for (const index of indices) {
        const bytes = untouched.reserve(name, index, records[index]!.bytes);
        if (bytes === undefined) continue;
        made.push(index);
        yield { buffer: bufferOf(index), bytes };
      }
    }
    try {
      await readBack(runtime.context, reserve(), signal, this.transfer.pieceBytes);
    } catch (error) {
      // What was not read whole must not be taken for what the bundle has.
      for (const index of made) untouched.forget(name, index);
      throw error;
    }
    for (const index of indices) onBytes(records[index]!.bytes);
  }

  /** Write records as the bundle has them: from memory, where they are kept, else from their shards. */
  private async restore(
    { name, kept, missing }: Change,
    staging: Staging,
    onBytes: OnBytes,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { runtime, untouched, files } = this;
    const parameters = this.parameters(name);
    const entry = this.manifest.components[name]!;
    for (const index of kept) {
      throwIfAborted(signal);
      const bytes = untouched.find(name, index)!;
      await staging.write(this.bufferOf(parameters, index), bytes);
      onBytes(bytes.length);
    }
    if (missing.length === 0) return;
    const onRecord = (index: number, bytes: Uint8Array): void => untouched.keep(name, index, bytes);
    const read = { onBytes, onRecord, signal };
    await restoreParameters(runtime, entry, parameters, missing, files, read);
  }

  /** The buffer of a parameter, which lives as long as the component is on the GPU. */
  private bufferOf(parameters: Parameters, index: number): GPUBuffer {
    const { runtime } = this;
    const tensor = runtime.scope(() => runtime.unbundle(parameters, index));
    const buffer = runtime.bufferOf(tensor);
    tensor.dispose();
    return buffer;
  }

  /** Forget the bytes of records that no LoRA changes any more. */
  private forgetUnpatched(): void {
    for (const name of Object.keys(this.manifest.components)) {
      const changed = [...(this.patches.get(name)?.keys() ?? [])];
      this.untouched.retain(name, new Set(this.indicesOf(name, changed)));
    }
  }

  /** Indices of the records of some weights, and of their scales, in order. */
  private indicesOf(component: string, names: readonly string[]): number[] {
    const wanted = new Set(names.flatMap((name) => [name, name + SCALE]));
    const { records } = this.manifest.components[component]!;
    return [...records.keys()].filter((index) => wanted.has(records[index]!.name));
  }

  /**
   * Patch parameters that hold what the bundle has.
   *
   * @param indices of the records that are patched; all unless given.
   */
  private async patchComponent(
    name: string,
    parameters: Parameters,
    indices: ReadonlySet<number> | undefined,
    staging: Staging,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const changes = this.patches.get(name) ?? NO_PATCHES;
    if (changes.size === 0) return;
    const { records } = this.manifest.components[name]!;
    for (const [index, record] of records.entries()) {
      const layers = changes.get(record.name);
      if (layers === undefined || indices?.has(index) === false) continue;
      throwIfAborted(signal);
      const weight = {
        record,
        buffer: this.bufferOf(parameters, index),
        // The scales of packed integers follow them.
        scales:
          record.dtype === "int8" || record.dtype === "int4"
            ? this.bufferOf(parameters, index + 1)
            : undefined,
      };
      const patches = layers.map(({ layer, scale }) => layer.patch.make(scale));
      await this.patcher.patch(weight, patches, staging);
    }
  }

  private evict(names: readonly string[]): void {
    for (const name of names) {
      this.resident.get(name)?.dispose();
      this.resident.delete(name);
    }
  }

  private playing(role: Role): string[] {
    const entries = this.manifest.entry_points.filter((entry) => entry.role === role);
    return [...new Set(entries.map(({ component }) => component).filter((name) => name !== null))];
  }
}
