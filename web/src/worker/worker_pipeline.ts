/** What the page's client calls in its worker. */

import * as Comlink from "comlink";

import type { GenerateOptions } from "../api/options";
import type { OnProgress } from "../api/progress";
import type { Generated, LoadOptions, OnNotice, StageReport, Usage } from "../api/types";
import type { Manifest } from "../bundle/manifest";
import { runSelfTest } from "../diagnostics/self_test";
import type { Pipeline } from "../pipeline";
import { RecoveringPipeline } from "./recovery";

/** The load options that can be sent to a worker. */
export type WorkerLoadOptions = Omit<LoadOptions, "onProgress" | "onNotice" | "signal">;

/**
 * A pipeline whose arguments and results can be sent between threads. Signals cannot, so every
 * piece of work gets one here, which {@link abort} aborts.
 */
export class WorkerPipeline {
  private recovering: RecoveringPipeline | undefined;
  private controller = new AbortController();

  /** Load a model; see `loadPipeline` for what it throws. */
  async load(
    manifestUrl: string,
    options: WorkerLoadOptions,
    onProgress: OnProgress,
    onNotice: OnNotice,
  ): Promise<void> {
    this.controller = new AbortController();
    this.recovering = new RecoveringPipeline(manifestUrl, { ...options, onNotice });
    await this.recovering.ready(onProgress, this.controller.signal);
  }

  async generate(
    prompt: string,
    options: GenerateOptions,
    onProgress: OnProgress,
  ): Promise<Generated> {
    this.controller = new AbortController();
    const { signal } = this.controller;
    const generated = await this.recovering!.generate(prompt, options, onProgress, signal);
    return Comlink.transfer(generated, [
      generated.latents.buffer,
      ...generated.images.map(({ data }) => data.buffer),
    ]);
  }

  /** Cancel the work in progress, at its next step or chunk. */
  abort(): void {
    this.controller.abort();
  }

  manifest(): Manifest {
    return this.pipeline.manifest;
  }

  adapter(): Record<string, string> {
    return this.pipeline.adapter;
  }

  usage(): Usage {
    return this.pipeline.usage();
  }

  async selfTest(onProgress: OnProgress): Promise<StageReport[]> {
    this.controller = new AbortController();
    const { signal } = this.controller;
    return this.pipeline.withStages((stages) => runSelfTest(stages, onProgress, signal));
  }

  unload(): void {
    this.recovering?.dispose();
  }

  protected get pipeline(): Pipeline {
    return this.recovering!.loaded;
  }
}
