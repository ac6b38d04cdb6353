/** Loads a pipeline again when the GPU is lost, and in less memory when the GPU has no room. */

import { OutOfMemoryError, UnsupportedError } from "../api/errors";
import type { GenerateOptions } from "../api/options";
import type { OnProgress } from "../api/progress";
import type { Generated, LoadOptions } from "../api/types";
import { NoAdapterError } from "../gpu/device";
import { loadPipeline } from "../pipeline";
import type { Pipeline } from "../pipeline";

/** A pipeline that survives the loss of the GPU, and saves memory where it must. */
export class RecoveringPipeline {
  private pipeline: Pipeline | undefined;
  /** Whether memory ran out before, so that the model is loaded in the least memory. */
  private savesMemory = false;
  /** How often the GPU was lost. */
  private losses = 0;

  /** @param options how the model is loaded; its signal and progress are given with each call. */
  constructor(
    private readonly manifestUrl: string,
    private readonly options: LoadOptions,
  ) {}

  /** Return the pipeline; load it unless it is loaded and its GPU works. */
  async ready(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    if (this.pipeline?.failure !== undefined) {
      this.losses += 1;
      this.options.onNotice?.("The GPU was lost; the model is loaded again.");
      this.dispose();
    }
    this.pipeline ??= await this.retryInLessMemory(() => this.load(onProgress, signal));
    return this.pipeline;
  }

  private async load(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    try {
      return await loadPipeline(this.manifestUrl, {
        ...this.options,
        ...(this.savesMemory ? { offload: true, tiling: true } : {}),
        onProgress,
        signal,
      });
    } catch (error) {
      if (this.losses === 0 || !(error instanceof NoAdapterError)) throw error;
      throw new UnsupportedError(
        "the browser gives this page no GPU any more, because it was lost while it drew",
        "restart the browser; if the GPU is lost again, update the graphics driver, " +
          "or choose a smaller model or picture",
        { cause: error },
      );
    }
  }

  /** The loaded pipeline; {@link ready} must have been called. */
  get loaded(): Pipeline {
    if (this.pipeline === undefined) throw new Error("the pipeline is not loaded");
    return this.pipeline;
  }

  /** Draw with the pipeline, loaded again if need be; see `Pipeline.generate`. */
  async generate(
    prompt: string,
    options: GenerateOptions,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Generated> {
    return this.retryInLessMemory(async () => {
      const pipeline = await this.ready(onProgress, signal);
      return pipeline.generate(prompt, options, onProgress, signal);
    });
  }

  dispose(): void {
    this.pipeline?.dispose();
    this.pipeline = undefined;
  }

  /** Do work; if memory runs out, do it once more with offloading and tiles. */
  private async retryInLessMemory<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || this.savesMemory) throw error;
      this.savesMemory = true;
      this.dispose();
      this.options.onNotice?.(
        "The GPU has no room for the whole model: one stage at a time is loaded, which takes longer.",
      );
      return work();
    }
  }
}
