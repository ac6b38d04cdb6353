/** The pipeline in a worker; client.ts is its other half. */

import * as Comlink from "comlink";

import type {
  BenchReport,
  Generated,
  LoadOptions,
  OnNotice,
  StageReport,
  Usage,
} from "../api/types";
import type { BenchOptions } from "../diagnostics/benchmark";
import type { Manifest, Size } from "../bundle/manifest";
import type { GenerateOptions } from "../api/options";
import type { OnProgress } from "../api/progress";
import { RecoveringPipeline } from "./recovery";
import { registerErrors } from "./error_transfer";

/** What of the load options crosses to the worker. */
type Residency = Pick<LoadOptions, "offload" | "tiling" | "kernels" | "cache">;

/** Signals do not cross to a worker; each piece of work gets one here. */
class WorkerPipeline {
  private model: RecoveringPipeline | undefined;
  private controller = new AbortController();

  async load(
    manifestUrl: string,
    how: Residency,
    onProgress: OnProgress,
    onNotice: OnNotice,
  ): Promise<void> {
    this.controller = new AbortController();
    this.model = new RecoveringPipeline(manifestUrl, { ...how, onNotice });
    await this.model.ready(onProgress, this.controller.signal);
  }

  async generate(
    prompt: string,
    options: GenerateOptions,
    onProgress: OnProgress,
  ): Promise<Generated> {
    this.controller = new AbortController();
    const { signal } = this.controller;
    const generated = await this.model!.generate(prompt, options, onProgress, signal);
    return Comlink.transfer(generated, [
      generated.latents.buffer,
      ...generated.images.map(({ data }) => data.buffer),
    ]);
  }

  /** Cancel what is running, at the next step or chunk. */
  abort(): void {
    this.controller.abort();
  }

  manifest(): Manifest {
    return this.model!.loaded.manifest;
  }

  adapter(): Record<string, string> {
    return this.model!.loaded.adapter;
  }

  usage(): Usage {
    return this.model!.loaded.usage();
  }

  encodeText(prompt: string): Promise<Record<string, Float32Array>> {
    return this.model!.loaded.encodeText(prompt);
  }

  predictNoise(inputs: Record<string, Float32Array>, size?: Size): Promise<Float32Array> {
    return this.model!.loaded.predictNoise(inputs, size);
  }

  decodeLatents(latents: Float32Array, size?: Size): Promise<Float32Array> {
    return this.model!.loaded.decodeLatents(latents, size);
  }

  combineLatents(terms: Float32Array[], weights: number[]): Promise<Float32Array> {
    return this.model!.loaded.combineLatents(terms, weights);
  }

  async selfTest(onProgress: OnProgress): Promise<StageReport[]> {
    this.controller = new AbortController();
    return this.model!.loaded.selfTest(onProgress, this.controller.signal);
  }

  bench(options: BenchOptions): Promise<BenchReport> {
    return this.model!.loaded.bench(options);
  }

  unload(): void {
    this.model?.dispose();
  }
}

export type { WorkerPipeline };

registerErrors();
Comlink.expose(new WorkerPipeline());
