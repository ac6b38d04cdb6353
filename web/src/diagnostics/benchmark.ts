/** Times of each stage and of each of its kernels, beside the GPU's roofline. */

import type { EntryPoint, Size } from "../bundle/manifest";
import { hasBuffersFor } from "../gpu/buffer_limits";
import type { Model } from "../gpu/model";
import type { Stages } from "../pipeline";
import { GENERATED } from "../util/constants.generated";
import { timeOnGpu } from "./gpu_clock";
import { profileKernels } from "./gpu_profiler";
import type { KernelTime } from "./gpu_profiler";
import { makeInputs } from "./random_inputs";
import { measureRoofline } from "./roofline";
import type { Roofline } from "./roofline";

/**
 * Roles of the functions that are measured, in the order in which a picture from text needs them;
 * then what a picture that is given needs.
 */
const MEASURED = [
  "text_encoder",
  "denoiser",
  "guided_denoiser",
  "vae_decoder",
  "image_to_rgba",
  "rgba_to_image",
  "vae_encoder",
] as const;

/** What is measured. */
export interface BenchmarkOptions {
  size: Size;
  /** Calls that are timed, after one that is not. */
  repeats: number;
}

/** Times of the functions that draw a picture of one size. */
export interface BenchmarkReport {
  roofline: Roofline;
  stages: StageTimes[];
}

/** Times of one compiled function. */
export interface StageTimes {
  /** Name of the function. */
  stage: string;
  /** Median time of a call among others: the next is recorded while the GPU computes this one. */
  milliseconds: number;
  /** Median time of recording a call's commands. */
  recordMilliseconds: number;
  /** GPU time of one call, submitted as a whole; null if it cannot be measured. */
  gpuMilliseconds: number | null;
  /** By the GPU's own clock; empty if the device has no timestamps. */
  kernels: VariantTime[];
}

/** All runs of one kernel in one call of a stage. */
export interface VariantTime extends KernelTime {
  /** Name of the variant that ran in the kernel's place, or `generated`. */
  variant: string;
}

/** Measure the roofline, then each function that draws a picture of a size. */
export async function runBenchmark(
  { model, bring }: Stages,
  options: BenchmarkOptions,
): Promise<BenchmarkReport> {
  const entries = MEASURED.flatMap((role) => model.entries(role))
    .filter(({ size }) => size === null || String(size) === String(options.size))
    .filter((entry) => hasBuffersFor(entry, model.limits));
  await model.runtime.sync();
  const roofline = await measureRoofline(model.runtime.context.device);
  const stages: StageTimes[] = [];
  for (const entry of entries) {
    await bring(entry);
    stages.push(await timeStage(model, entry, options.repeats));
  }
  return { roofline, stages };
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
    const [records, calls]: [number[], number[]] = [[], []];
    let before: Promise<void> | undefined;
    let ended = 0;
    // As in the denoising loop, one call is recorded while the GPU computes the one before. The
    // first two calls are not counted: they begin with an idle GPU.
    for (let turn = 0; turn < repeats + 2; turn++) {
      const began = performance.now();
      call();
      const recorded = performance.now() - began;
      const done = runtime.sync();
      await before;
      const now = performance.now();
      if (turn > 1) {
        records.push(recorded);
        calls.push(now - ended);
      }
      ended = now;
      before = done;
    }
    await before;
    const [gpuMilliseconds = null] = (await timeOnGpu(runtime, [call])) ?? [];
    // Kernels are timed in a call of their own, because their timestamps take time.
    const kernels = await profileKernels(runtime, call);
    const { variants } = runtime.pipelines;
    return {
      stage: entry.name,
      milliseconds: median(calls),
      recordMilliseconds: median(records),
      gpuMilliseconds,
      kernels: kernels.map((time) => ({
        ...time,
        variant: variants.get(time.kernel) ?? GENERATED,
      })),
    };
  } finally {
    for (const tensor of Object.values(inputs)) tensor.dispose();
  }
}

/** The median, so that one pause of the machine does not count. */
function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
