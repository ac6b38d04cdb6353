/** A loaded model: its functions, called with its parameters. */

import type { EntryPoint, Manifest, Role, Size } from "./manifest";
import { findEntryPoint } from "./manifest";
import type { Parameters, Runtime, Tensor } from "./runtime";

export class Model {
  constructor(
    readonly manifest: Manifest,
    readonly runtime: Runtime,
    private readonly parameters: Map<string, Parameters>,
  ) {}

  entry(role: Role, size: Size = this.manifest.defaults.size): EntryPoint {
    return findEntryPoint(this.manifest, role, size);
  }

  /** Shape of the latents of one picture: (1, channels, height, width). */
  latentShape(size: Size): [number, number, number, number] {
    return this.entry("unet", size).inputs[0]!.shape as [number, number, number, number];
  }

  /** Call a function, with its component's parameters if it has any. Call within a scope. */
  call(entry: EntryPoint, ...inputs: Tensor[]): Tensor {
    const parameters = entry.component === null ? undefined : this.parameters.get(entry.component);
    return this.runtime.call(entry, ...inputs, ...(parameters === undefined ? [] : [parameters]));
  }

  /** Add scaled latents on the GPU; unused terms repeat the first with weight 0. */
  combine(size: Size, terms: [Tensor, number][]): Tensor {
    const entry = this.entry("linear_combination", size);
    const slots = entry.inputs.length - 1;
    const coefficients = new Float32Array(slots);
    terms.forEach(([, weight], index) => (coefficients[index] = weight));
    const tensors = Array.from({ length: slots }, (_, index) => (terms[index] ?? terms[0]!)[0]);
    return this.runtime.call(entry, ...tensors, this.runtime.tensor(coefficients, [slots]));
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
    for (const parameters of this.parameters.values()) parameters.dispose();
    this.runtime.dispose();
  }
}
