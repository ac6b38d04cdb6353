/** A pipeline that is built again when the GPU goes away, and smaller where it does not fit. */

import type { Generated, LoadOptions } from "../api/types";
import { OutOfMemoryError } from "../api/errors";
import type { GenerateOptions } from "../api/options";
import { Pipeline } from "../pipeline/text_to_image";
import type { OnProgress } from "../api/progress";

export class RecoveringPipeline {
  private pipeline: Pipeline | undefined;
  /** Whether the last picture failed for want of memory, or the model's loading did. */
  private small = false;

  constructor(
    private readonly manifestUrl: string,
    private readonly options: LoadOptions,
  ) {}

  /** The pipeline, loaded if it is not, or not any more. */
  async ready(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    if (this.pipeline?.failure !== undefined) {
      this.options.onNotice?.("The GPU was lost; the model is loaded again.");
      this.dispose();
    }
    this.pipeline ??= await this.shrinking(() =>
      Pipeline.load(this.manifestUrl, {
        ...this.options,
        ...(this.small ? { offload: true, tiling: true } : {}),
        onProgress,
        signal,
      }),
    );
    return this.pipeline;
  }

  /** The pipeline that is there; an error before the first is. */
  get loaded(): Pipeline {
    if (this.pipeline === undefined) throw new Error("ready comes first");
    return this.pipeline;
  }

  async generate(
    prompt: string,
    options: GenerateOptions,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Generated> {
    return this.shrinking(async () => {
      const pipeline = await this.ready(onProgress, signal);
      return pipeline.generate(prompt, options, onProgress, signal);
    });
  }

  dispose(): void {
    this.pipeline?.dispose();
    this.pipeline = undefined;
  }

  /** Do work; where memory ran out, once more in the least memory there is. */
  private async shrinking<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || this.small) throw error;
      this.small = true;
      this.dispose();
      this.options.onNotice?.(
        "The GPU has no room for the whole model; it is drawn part by part, which takes longer.",
      );
      return work();
    }
  }
}
