/** Which components have their parameters on the GPU, and when they are evicted. */

import type { BundleFiles } from "../bundle/bundle_files";
import { textComponents } from "../bundle/manifest";
import type { Manifest, Role } from "../bundle/manifest";
import { countProgress } from "../api/progress";
import type { OnStage } from "../api/progress";
import type { Parameters, Runtime } from "./tvm/runtime";
import { loadParameters } from "./parameters";

/** The components of a model; loads and evicts their parameters. */
export class ResidentComponents {
  private readonly resident = new Map<string, Parameters>();
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
  ) {}

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
      this.resident.set(name, loaded);
    }
  }

  private evictAllBut(names: string[]): void {
    const evicted = [...this.resident].filter(([name]) => !names.includes(name));
    for (const [name, parameters] of evicted) {
      parameters.dispose();
      this.resident.delete(name);
    }
  }

  private playing(role: Role): string[] {
    const entries = this.manifest.entry_points.filter((entry) => entry.role === role);
    return [...new Set(entries.map(({ component }) => component).filter((name) => name !== null))];
  }
}
