/** The pipeline in a worker; client.ts is its other half. */

import * as Comlink from "comlink";

import type { OnNotice } from "./files";
import { registerErrors } from "./transfer";
import type { GenerateOptions } from "./options";
import type { Generated, LoadOptions, OnProgress } from "./pipeline";
import { Pipeline } from "./pipeline";
import type { Manifest, Size } from "./manifest";
import type { Usage } from "./runtime";

/** What of the load options crosses to the worker. */
type Residency = Pick<LoadOptions, "offload" | "tiling" | "cache">;

/** Signals do not cross to a worker; each piece of work gets one here. */
class WorkerPipeline {
  private pipeline: Pipeline | undefined;
  private controller = new AbortController();

  async load(
    manifestUrl: string,
    how: Residency,
    onProgress: OnProgress,
    onNotice: OnNotice,
  ): Promise<void> {
    this.controller = new AbortController();
    const { signal } = this.controller;
    this.pipeline = await Pipeline.load(manifestUrl, {
      ...how,
      signal,
      onProgress,
      onNotice,
    });
  }

  async generate(
    prompt: string,
    options: GenerateOptions,
    onProgress: OnProgress,
  ): Promise<Generated> {
    this.controller = new AbortController();
    const { signal } = this.controller;
    const generated = await this.loaded().generate(prompt, options, onProgress, signal);
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
    return this.loaded().manifest;
  }

  adapter(): Record<string, string> {
    return this.loaded().adapter;
  }

  usage(): Usage {
    return this.loaded().usage();
  }

  encodeText(prompt: string): Promise<Record<string, Float32Array>> {
    return this.loaded().encodeText(prompt);
  }

  predictNoise(inputs: Record<string, Float32Array>, size?: Size): Promise<Float32Array> {
    return this.loaded().predictNoise(inputs, size);
  }

  decodeLatents(latents: Float32Array, size?: Size): Promise<Float32Array> {
    return this.loaded().decodeLatents(latents, size);
  }

  combineLatents(terms: Float32Array[], weights: number[]): Promise<Float32Array> {
    return this.loaded().combineLatents(terms, weights);
  }

  unload(): void {
    this.pipeline?.dispose();
    this.pipeline = undefined;
  }

  private loaded(): Pipeline {
    if (this.pipeline === undefined) throw new Error("load comes first");
    return this.pipeline;
  }
}

export type { WorkerPipeline };

registerErrors();
Comlink.expose(new WorkerPipeline());
