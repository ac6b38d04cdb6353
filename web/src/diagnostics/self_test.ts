/**
 * Runs each stage on fixed inputs and compares its outputs with PyTorch's
 * (wsd/bundle/self_test.py). This distinguishes a GPU or driver that computes wrongly from wrong
 * files.
 */

import type { StageReport } from "../api/types";
import { throwIfAborted } from "../util/errors";
import type { BundleFiles } from "../bundle/bundle_files";
import { hasBuffersFor } from "../gpu/buffer_limits";
import { countVariants } from "../gpu/tvm/pipelines";
import type { EntryPoint, ExpectedOutput, ExpectedStage, SelfTest } from "../bundle/manifest";
import { selfTestProblem, valueCount } from "../bundle/manifest";
import type { Model } from "../gpu/model";
import type { OnStage } from "../api/progress";
import type { Stages } from "../pipeline";
import { MersenneTwister, randn } from "../pipeline/torch_rng";
import { GENERATED, SELF_TEST_TOLERANCE } from "../util/constants.generated";

/**
 * Run the stages that the GPU has buffers for, one after another.
 *
 * @throws OptionError if the bundle has no expected values.
 * @throws AbortError if the signal is aborted.
 */
export async function runSelfTest(
  { model, files, bring }: Stages,
  report: OnStage,
  signal?: AbortSignal,
): Promise<StageReport[]> {
  const known = await readStages(model, files, signal);
  const stages = known.flatMap((stage) => {
    const entry = findEntry(model, stage);
    // A text encoder that is left out has no function here.
    return entry !== undefined && hasBuffersFor(entry, model.limits) ? [{ stage, entry }] : [];
  });
  const reports: StageReport[] = [];
  for (const { stage, entry } of stages) {
    throwIfAborted(signal);
    report({ stage: "self-test", loaded: reports.length, total: stages.length });
    await bring(entry);
    reports.push(await runStage(model, entry, stage));
  }
  report({ stage: "self-test", loaded: stages.length, total: stages.length });
  return reports;
}

async function readStages(
  model: Model,
  files: BundleFiles,
  signal?: AbortSignal,
): Promise<ExpectedStage[]> {
  const problem = selfTestProblem(model.manifest);
  if (problem !== undefined) throw problem;
  const bytes = await files.get(model.manifest.self_test!, () => undefined, signal);
  return (JSON.parse(new TextDecoder().decode(bytes)) as SelfTest).stages;
}

function findEntry(model: Model, stage: ExpectedStage): EntryPoint | undefined {
  return model.manifest.entry_points.find(({ name }) => name === stage.entry_point);
}

async function runStage(
  model: Model,
  entry: EntryPoint,
  stage: ExpectedStage,
): Promise<StageReport> {
  const inputs = makeInputs(entry, stage);
  const first = await model.run(entry, inputs);
  const started = performance.now();
  const second = await model.run(entry, inputs);
  const milliseconds = performance.now() - started;
  const names = Object.keys(stage.outputs);
  const error = Math.max(...names.map((name) => deviation(first[name]!, stage.outputs[name]!)));
  const limit = SELF_TEST_TOLERANCE[model.manifest.model.dtype];
  const repeats = names.every((name) => sameBits(first[name]!, second[name]!));
  const good = error <= limit && repeats;
  const ran = model.runtime.pipelines.variants;
  const variants = countVariants(entry.kernels.map((kernel) => ran.get(kernel) ?? GENERATED));
  return { stage: entry.name, error, limit, repeats, milliseconds, good, variants };
}

function makeInputs(
  entry: EntryPoint,
  stage: ExpectedStage,
): Record<string, Float32Array | Int32Array> {
  const made = entry.inputs.map(({ name, shape, dtype }) => {
    const given = stage.inputs[name]!;
    if ("seed" in given) {
      return [name, randn(new MersenneTwister(given.seed), valueCount(shape))] as const;
    }
    const kind = dtype === "int32" ? Int32Array : Float32Array;
    return [name, kind.from(given.values)] as const;
  });
  return Object.fromEntries<Float32Array | Int32Array>(made);
}

/**
 * Compute the relative error of an output, from its samples and from the root mean square of
 * each block, because a fault may lie between two samples.
 *
 * @returns infinity in place of NaN, so that it exceeds every limit.
 */
export function deviation(found: Float32Array, expected: ExpectedOutput): number {
  const samples = expected.samples.map((_, index) => found[index * expected.stride]!);
  const squares = samples.map((value, index) => (value - expected.samples[index]!) ** 2);
  const size = expected.samples.map((value) => value ** 2);
  const loudest = Math.max(...expected.rms);
  const blocks = expected.rms.map((rms, index) => {
    const values = found.subarray(index * expected.block, (index + 1) * expected.block);
    const mean = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
    return Math.abs(Math.sqrt(mean) - rms) / loudest;
  });
  const error = Math.max(Math.sqrt(total(squares) / total(size)), ...blocks);
  return Number.isFinite(error) ? error : Infinity;
}

function total(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function sameBits(one: Float32Array, other: Float32Array): boolean {
  const [bits, others] = [one, other].map(
    ({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length),
  );
  return bits!.every((word, index) => word === others![index]);
}
