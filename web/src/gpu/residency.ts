/** Which components have their parameters on the GPU, and when they are evicted. */

import type { BundleFiles } from "../bundle/bundle_files";
import type { OnBytes } from "../bundle/download";
import { textComponents } from "../bundle/manifest";
import type { Manifest, ParameterRecord, Role } from "../bundle/manifest";
import { countProgress } from "../api/progress";
import type { OnStage } from "../api/progress";
import { differingRecords } from "../adapters/patch";
import type { RecordPatches, WeightPatches } from "../adapters/patch";
import { throwIfAborted } from "../util/errors";
import { WeightPatcher } from "./patch/weight_patcher";
import type { StoredWeight } from "./patch/weight_patcher";
import type { Parameters, Runtime, Tensor } from "./tvm/runtime";
import { countShardBytes, loadParameters, restoreParameters, writeParameters } from "./parameters";
import { UntouchedWeights } from "./untouched_weights";

/** Suffix of the name of the record with an int8 weight's scales; wsd/spec/parameter.py. */
const SCALE = ".scale";

const NO_PATCHES: RecordPatches = new Map();

/** The components of a model; loads, patches and evicts their parameters. */
export class ResidentComponents {
  private readonly resident = new Map<string, Parameters>();
  /** What LoRAs change of the weights, on the GPU now and whenever a component is loaded. */
  private patches: WeightPatches = new Map();
  private readonly patcher: WeightPatcher;
  /** With `offload`, which is for little memory, nothing is kept. */
  private readonly untouched: UntouchedWeights;
  /** The role that was needed last. */
  private stage: Role | undefined;

  /**
   * @param files where parameters are fetched from.
   * @param offload whether only the components of one role stay on the GPU at a time.
   */
  constructor(
    private readonly runtime: Runtime,
    private readonly manifest: Manifest,
    private readonly files: BundleFiles,
    readonly offload: boolean,
  ) {
    this.patcher = new WeightPatcher(runtime);
    this.untouched = new UntouchedWeights(offload ? 0 : undefined);
  }

  /**
   * Load the components that play a role. Before that, the workspace of another role is freed,
   * and with `offload` all other components are evicted.
   */
  async need(role: Role, report: OnStage, signal?: AbortSignal): Promise<void> {
    const wanted = this.playing(role);
    if (this.offload) this.evictAllBut(wanted);
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
   * changes. Of the components on the GPU, the weights that differ are read and patched again; what was
   * read stays in memory as long as a LoRA changes it, so that another scale needs no reading.
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
      .map(([name, records]) => [name, this.indicesOf(name, records)] as const);
    const total = changed.reduce((sum, [name, indices]) => {
      const missing = indices.filter((index) => this.untouched.find(name, index) === undefined);
      return sum + countShardBytes(this.manifest.components[name]!, missing);
    }, 0);
    const onBytes = countProgress(
      (loaded, total) => report({ stage: "parameters", loaded, total }),
      total,
    );
    this.patches = patches;
    try {
      for (const [name, indices] of changed) {
        const parameters = this.parameters(name);
        await this.restore(name, parameters, indices, onBytes, signal);
        await this.patchComponent(name, parameters, new Set(indices), signal);
      }
      this.forgetUnpatched();
    } catch (error) {
      this.patches = before;
      // A lost device has already freed its buffers.
      if (this.runtime.failure === undefined) this.evict(changed.map(([name]) => name));
      throw error;
    }
  }

  /** A component's parameters; it must be loaded. */
  parameters(name: string): Parameters {
    const found = this.resident.get(name);
    if (found === undefined) throw new Error(`component ${name} is not on the GPU`);
    return found;
  }

  dispose(): void {
    this.evictAllBut([]);
  }

  private async load(names: string[], report: OnStage, signal?: AbortSignal): Promise<void> {
    const missing = names.filter((name) => !this.resident.has(name));
    const entries = missing.map((name) => [name, this.manifest.components[name]!] as const);
    const total = entries.reduce((sum, [, component]) => sum + component.bytes, 0);
    const onBytes = countProgress(
      (loaded, total) => report({ stage: "parameters", loaded, total }),
      total,
    );
    for (const [name, component] of entries) {
      const loaded = await loadParameters(this.runtime, component, this.files, onBytes, signal);
      try {
        await this.patchComponent(name, loaded, undefined, signal);
      } catch (error) {
        if (this.runtime.failure === undefined) loaded.dispose();
        throw error;
      }
      this.resident.set(name, loaded);
    }
  }

  /** Write records as the bundle has them: from memory, where they are kept, else from their shards. */
  private async restore(
    name: string,
    parameters: Parameters,
    indices: readonly number[],
    onBytes: OnBytes,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { runtime, untouched, files } = this;
    const kept: [number, Uint8Array][] = [];
    const missing: number[] = [];
    for (const index of indices) {
      const bytes = untouched.find(name, index);
      if (bytes === undefined) missing.push(index);
      else kept.push([index, bytes]);
    }
    await writeParameters(runtime, parameters, kept, signal);
    const entry = this.manifest.components[name]!;
    const onRecord = (index: number, bytes: Uint8Array): void => untouched.keep(name, index, bytes);
    const read = { onBytes, onRecord, signal };
    await restoreParameters(runtime, entry, parameters, missing, files, read);
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
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const changes = this.patches.get(name) ?? NO_PATCHES;
    if (changes.size === 0) return;
    const { records } = this.manifest.components[name]!;
    for (const [index, record] of records.entries()) {
      const layers = changes.get(record.name);
      if (layers === undefined || indices?.has(index) === false) continue;
      throwIfAborted(signal);
      const weight = this.keepWeight(parameters, index, record);
      try {
        await this.patcher.patch(
          weight,
          layers.map(({ layer, scale }) => layer.patch.make(scale)),
        );
      } finally {
        weight.tensor.dispose();
        weight.scales?.dispose();
      }
    }
    await this.patcher.finish();
  }

  /** Take a weight out of a component's tuple; the caller disposes of its tensors. */
  private keepWeight(parameters: Parameters, index: number, record: ParameterRecord): StoredWeight {
    const { runtime } = this;
    const take = (at: number): Tensor => runtime.scope(() => runtime.unbundle(parameters, at));
    // The scales of an int8 weight follow it.
    const scales = record.dtype === "int8" ? take(index + 1) : undefined;
    return { record, tensor: take(index), scales };
  }

  private evictAllBut(names: string[]): void {
    this.evict([...this.resident.keys()].filter((name) => !names.includes(name)));
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
