/** A loaded model: its functions, called with its parameters. */

import type { ResidentComponents } from "./residency";
import type { EntryPoint, Manifest, Role, Size } from "../bundle/manifest";
import { findEntryPoint } from "../bundle/manifest";
import type { Runtime, Tensor } from "./tvm/runtime";

/** Tensors by the names that the manifest gives inputs and outputs. */
export type NamedTensors = Record<string, Tensor>;

export class Model {
  constructor(
    readonly manifest: Manifest,
    readonly runtime: Runtime,
    readonly components: ResidentComponents,
  ) {}

  entry(role: Role, size: Size = this.manifest.defaults.size): EntryPoint {
    return findEntryPoint(this.manifest, role, size);
  }

  /** All functions of a role, of every size. */
  entries(role: Role): EntryPoint[] {
    return this.manifest.entry_points.filter((entry) => entry.role === role);
  }

  /** Shape of the latents of one picture: (1, channels, height, width). */
  latentShape(size: Size): [number, number, number, number] {
    return this.entry("denoiser", size).inputs[0]!.shape as [number, number, number, number];
  }

  /**
   * Call a function with inputs by name, and its component's parameters if it has any.
   * Inputs that it does not take are left out. Call within a scope.
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

  /** Add scaled latents on the GPU; unused terms repeat the first with weight 0. */
  combine(size: Size, terms: [Tensor, number][]): Tensor {
    const entry = this.entry("linear_combination", size);
    const slots = entry.inputs.length - 1;
    const coefficients = new Float32Array(slots);
    terms.forEach(([, weight], index) => (coefficients[index] = weight));
    const tensors = Array.from({ length: slots }, (_, index) => (terms[index] ?? terms[0]!)[0]);
    return this.runtime.call(entry, ...tensors, this.runtime.tensor(coefficients, [slots]))[0]!;
  }

  /** Call a function on values, by name, and read back what it gives. */
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

  /** Read tensors back, by name, and dispose of them. */
  async readAll(tensors: NamedTensors): Promise<Record<string, Float32Array>> {
    const read: Record<string, Float32Array> = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      read[name] = await this.readAndDispose(tensor);
    }
    return read;
  }

  /** Run `work` and keep the tensors it returns, and no others; the caller disposes of them. */
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
    // Of a lost device, nothing is left to give back.
    if (this.runtime.failure === undefined) this.components.dispose();
    this.runtime.dispose();
  }
}
