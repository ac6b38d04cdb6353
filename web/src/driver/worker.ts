/**
 * The worker of the developers' build: the page's worker, calls of single stages, and the benchmark.
 * No bundle has it (web/developer.mjs).
 */

import type { SafetyReport } from "../api/types";
import type { Size } from "../bundle/manifest";
import type { BenchmarkOptions, BenchmarkReport } from "../diagnostics/benchmark";
import { runBenchmark } from "../diagnostics/benchmark";
import type { TransferSizes } from "../gpu/residency";
import { runWorker } from "../worker/run_worker";
import { WorkerPipeline } from "../worker/worker_pipeline";
import type { Words } from "../pipeline/text_encoder";
import {
  checkPicture,
  combineLatents,
  decodeLatents,
  encodeImage,
  encodeText,
  predictNoise,
  readParameters,
  setTransfer,
} from "./stage_calls";

/** Each method calls the function of its name; see there. */
class StageWorker extends WorkerPipeline {
  encodeText(words: string | Words): Promise<Record<string, Float32Array>> {
    return encodeText(this.pipeline, words);
  }

  predictNoise(inputs: Record<string, Float32Array>, size?: Size): Promise<Float32Array> {
    return predictNoise(this.pipeline, inputs, size);
  }

  decodeLatents(latents: Float32Array, size?: Size): Promise<Float32Array> {
    return decodeLatents(this.pipeline, latents, size);
  }

  encodeImage(pixels: Uint8Array, size?: Size): Promise<Float32Array> {
    return encodeImage(this.pipeline, pixels, size);
  }

  checkPicture(pixels: Uint8Array, size: Size): Promise<SafetyReport> {
    return checkPicture(this.pipeline, pixels, size);
  }

  combineLatents(terms: Float32Array[], weights: number[]): Promise<Float32Array> {
    return combineLatents(this.pipeline, terms, weights);
  }

  readParameters(component: string): Promise<Record<string, Uint8Array>> {
    return readParameters(this.pipeline, component);
  }

  setTransfer(sizes: TransferSizes): Promise<void> {
    return setTransfer(this.pipeline, sizes);
  }

  runBenchmark(options: BenchmarkOptions): Promise<BenchmarkReport> {
    return this.pipeline.withStages((stages) => runBenchmark(stages, options));
  }
}

export type { StageWorker };

runWorker(() => new StageWorker());
