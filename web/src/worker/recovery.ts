/** Loads a pipeline again when the GPU is lost, and in less memory when the GPU has no room. */

import type { GenerateOptions, Prompt, PromptEmbeddings } from "../api/options";
import { CallProgress, LOADING_SHARE } from "../api/progress";
import type { OnProgress } from "../api/progress";
import type { Drawn, LoadOptions, StageReport, Usage } from "../api/types";
import { runSelfTest } from "../diagnostics/self_test";
import { NoAdapterError } from "../gpu/device";
import { loadPipeline } from "../pipeline";
import type { Pipeline } from "../pipeline";
import type { Costs } from "../pipeline/progress_meter";
import { meterDrawing, meterSelfTest } from "../pipeline/progress_meter";
import { OutOfMemoryError, UnsupportedError } from "../util/errors";

const ignore = (): void => undefined;

/** A pipeline that survives the loss of the GPU, and saves memory where it must. */
export class RecoveringPipeline {
  private pipeline: Pipeline | undefined;
  /** Whether memory ran out before, so that the model is loaded in the least memory. */
  private savesMemory = false;
  /** How often the GPU was lost. */
  private losses = 0;
  /** What drawing took so far, by which the time of the next picture is estimated. */
  private costs: Costs = {};

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

  /** Draw with the pipeline; see `Pipeline.generate`. */
  async generate(
    prompt: Prompt | null,
    options: GenerateOptions,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Drawn> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const { manifest } = pipeline;
      const steps = options.numInferenceSteps ?? manifest.defaults.steps;
      const meter = meterDrawing(manifest, steps, this.offloads, this.costs, report);
      const drawn = await pipeline.generate(prompt, options, meter.onStage, signal);
      meter.finish();
      this.costs = { ...this.costs, ...meter.costs() };
      return drawn;
    });
  }

  /** Encode prompts with the pipeline; see `Pipeline.encodePrompt`. */
  async encodePrompt(
    prompt: readonly string[],
    negativePrompt: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<PromptEmbeddings> {
    return this.use(ignore, signal, (pipeline) =>
      pipeline.encodePrompt(prompt, negativePrompt, ignore, signal),
    );
  }

  /** Run the self-test with the pipeline; see `runSelfTest`. */
  async selfTest(onProgress: OnProgress, signal: AbortSignal): Promise<StageReport[]> {
    return this.use(onProgress, signal, (pipeline, report) => {
      const { onStage } = meterSelfTest(report);
      return pipeline.withStages((stages) => runSelfTest(stages, onStage, signal));
    });
  }

  /** Count what the pipeline holds now; what a lost GPU held is counted too. */
  async usage(signal: AbortSignal): Promise<Usage> {
    return (this.pipeline ?? (await this.ready(ignore, signal))).usage();
  }

  /**
   * Work with the pipeline, loaded again if need be, and once more in less memory if that runs out.
   *
   * @param work gets the pipeline, and what it reports its own progress to.
   */
  private async use<Result>(
    onProgress: OnProgress,
    signal: AbortSignal,
    work: (pipeline: Pipeline, report: OnProgress) => Promise<Result>,
  ): Promise<Result> {
    const progress = new CallProgress(onProgress);
    return this.retryInLessMemory(async () => {
      const pipeline = await this.ready(progress.phase(LOADING_SHARE), signal);
      return work(pipeline, progress.phase());
    });
  }

  private get offloads(): boolean {
    return this.savesMemory || (this.options.offload ?? false);
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
