/** Inputs with which compiled functions are timed: what their values are does not matter. */

import { valueCount } from "../bundle/manifest";
import type { EntryPoint } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import { MersenneTwister, randn } from "../pipeline/torch_rng";

/** Make inputs for a function: normal random numbers, and zeros for token ids. Call within a scope. */
export function makeInputs(model: Model, entry: EntryPoint): NamedTensors {
  const generator = new MersenneTwister(0);
  const made = entry.inputs.map(({ name, shape, dtype }) => {
    const count = valueCount(shape);
    const values = dtype === "int32" ? new Int32Array(count) : randn(generator, count);
    return [name, model.runtime.tensor(values, shape)] as const;
  });
  return Object.fromEntries(made);
}
