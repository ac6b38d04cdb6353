/** How long each stage takes, and each of its kernels, beside what the GPU does at most. */

import type { BenchReport, StageTimes } from "../api/types";
import { hasBuffersFor } from "../gpu/buffer_limits";
import type { StageAccess } from "../gpu/buffer_limits";
import type { EntryPoint, Size } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import { MersenneTwister, randn } from "../pipeline/torch_rng";

/** What is measured. */
export interface BenchOptions {
  size: Size;
  /** Calls that are timed, after one that is not. */
  repeats: number;
}

/** Time the functions that draw a picture of a size, one after another. */
export async function runBench(
  model: Model,
  access: StageAccess,
  options: BenchOptions,
): Promise<BenchReport> {
  const roles = ["text_encoder", "denoiser", "guided_denoiser", "vae_decoder", "image_to_rgba"] as const;
  const entries = roles
    .flatMap((role) => model.entries(role))
    .filter(({ size }) => size === null || String(size) === String(options.size))
    .filter((entry) => hasBuffersFor(entry, access.limits));
  const ceilings = await model.runtime.ceilings();
  const stages: StageTimes[] = [];
  for (const entry of entries) {
    await access.bring(entry);
    stages.push(await timeStage(model, entry, options.repeats));
  }
  return { ceilings, stages };
}

async function timeStage(model: Model, entry: EntryPoint, repeats: number): Promise<StageTimes> {
  const { runtime } = model;
  const inputs = model.kept(() => makeInputs(model, entry));
  const call = (): void => {
    runtime.scope(() => {
      model.call(entry, inputs);
      return undefined;
    });
  };
  try {
    call();
    await runtime.sync();
    const [hosts, clocks]: [number[], number[]] = [[], []];
    let before: Promise<void> | undefined;
    let ended = 0;
    // As the denoising loop does; what counts begins with the GPU at work.
    for (let turn = 0; turn < repeats + 2; turn++) {
      const began = performance.now();
      call();
      const recorded = performance.now() - began;
      const done = runtime.sync();
      await before;
      const now = performance.now();
      if (turn > 1) {
        hosts.push(recorded);
        clocks.push(now - ended);
      }
      ended = now;
      before = done;
    }
    await before;
    const busy = await runtime.timeSpan(call);
    // On its own: so many timestamps cost time.
    const kernels = await runtime.profile(call);
    return { stage: entry.name, milliseconds: median(clocks), host: median(hosts), busy, kernels };
  } finally {
    for (const tensor of Object.values(inputs)) tensor.dispose();
  }
}

/** The middle of some numbers: a pause of the machine's own is not the model's. */
function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

function makeInputs(model: Model, entry: EntryPoint): NamedTensors {
  const generator = new MersenneTwister(0);
  const made = entry.inputs.map(({ name, shape, dtype }) => {
    const count = valueCount(shape);
    const values = dtype === "int32" ? new Int32Array(count) : randn(generator, count);
    return [name, model.runtime.tensor(values, shape)] as const;
  });
  return Object.fromEntries(made);
}
