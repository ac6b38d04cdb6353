/** A pipeline that runs in a worker of its own. */

import * as Comlink from "comlink";

import { fetchText, forget } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import type { Manifest } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import type { WorkerPipeline } from "../worker/worker_pipeline";
import { PipelineWorker } from "./pipeline_worker";
import type { OnProgress } from "./progress";
import type { DrawOptions, Generated, LoadOptions, StageReport, Usage } from "./types";

const ignore = (): void => undefined;

/**
 * A loaded model that draws pictures. All computing is done in a worker and on the GPU.
 *
 * @example
 * const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json");
 * const { image } = await pipe.generate("a red circle", { seed: 7 });
 * canvas.getContext("2d").putImageData(image, 0, 0);
 * await pipe.unload();
 */
export class StableDiffusionPipeline {
  private constructor(
    private worker: PipelineWorker,
    private readonly manifestUrl: string,
    private readonly options: LoadOptions,
    readonly manifest: Manifest,
    /** Vendor, architecture and description of the GPU. */
    readonly adapter: Record<string, string>,
  ) {}

  /**
   * The worker's methods.
   * @internal
   */
  get remote(): Comlink.Remote<WorkerPipeline> {
    return this.worker.remote;
  }

  /**
   * Fetch, check and start a model.
   *
   * @param manifestUrl address of its manifest.json.
   * @throws UnsupportedError if the browser or its GPU lacks something that the model needs.
   * @throws FetchError or IntegrityError if a file cannot be fetched, or is damaged.
   * @throws OutOfMemoryError if the GPU has no room even for one stage at a time.
   * @throws AbortError if the signal is aborted.
   */
  static async fromPretrained(
    manifestUrl: string | URL,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    const url = new URL(manifestUrl, document.baseURI).href;
    const worker = await PipelineWorker.load(url, options);
    const { remote } = worker;
    const [manifest, adapter] = [await remote.manifest(), await remote.adapter()];
    return new StableDiffusionPipeline(worker, url, options, manifest, adapter);
  }

  /**
   * Draw one or several pictures; the same seed gives the same picture as diffusers on a CPU.
   *
   * @throws OptionError if an option is out of range.
   * @throws UnsupportedError if the GPU has no buffers for the size.
   * @throws OutOfMemoryError if the GPU has no room even for one stage at a time.
   * @throws DeviceLostError if the GPU is lost; the next call loads the model again.
   * @throws AbortError if the signal is aborted.
   */
  async generate(prompt: string, options: DrawOptions = {}): Promise<Generated> {
    const { onProgress, signal, ...rest } = options;
    await this.restart(onProgress, signal);
    const report = Comlink.proxy(onProgress ?? ignore);
    return this.worker.run(signal, (remote) => remote.generate(prompt, rest, report));
  }

  /**
   * Run each stage on fixed inputs and compare its outputs with PyTorch's. Every file was
   * checked before, so a stage that is not good is the fault of the GPU or its driver.
   *
   * @throws OptionError if the model was built without expected values (`wsd expect`).
   */
  async selfTest(
    options: { onProgress?: OnProgress; signal?: AbortSignal } = {},
  ): Promise<StageReport[]> {
    const { onProgress, signal } = options;
    await this.restart(onProgress, signal);
    const report = Comlink.proxy(onProgress ?? ignore);
    return this.worker.run(signal, (remote) => remote.selfTest(report));
  }

  /** Count what the pipeline holds now, and the most GPU memory that it ever took. */
  async usage(): Promise<Usage> {
    await this.restart();
    return this.remote.usage();
  }

  /**
   * Remove what the browser keeps of a model, except files that another kept model shares.
   *
   * @throws FetchError if the manifest is neither kept nor fetched.
   */
  static async purge(manifestUrl: string | URL): Promise<void> {
    const url = new URL(manifestUrl, document.baseURI).href;
    const cache = await openCache();
    await forget(url, parseManifest(await fetchText(url, cache), url), cache);
  }

  /** Release the GPU and end the worker. */
  async unload(): Promise<void> {
    await this.worker.unload();
  }

  /** Load the model in a new worker, if the last one had to be ended. */
  private async restart(onProgress?: OnProgress, signal?: AbortSignal): Promise<void> {
    if (!this.worker.ended) return;
    this.options.onNotice?.("The work that did not stop was ended; the model is loaded again.");
    this.worker = await PipelineWorker.load(this.manifestUrl, {
      ...this.options,
      onProgress,
      signal,
    });
  }
}
