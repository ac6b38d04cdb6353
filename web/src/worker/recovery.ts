/** Loads a pipeline again when the GPU is lost, and in less memory when the GPU has no room. */

import type { LoadedLora, LoraOptions } from "../api/lora";
import type { Posterior, PromptEmbeddings } from "../api/options";
import { CallProgress, LOADING_SHARE, thinProgress } from "../api/progress";
import type { OnProgress } from "../api/progress";
import type { GenerationResult, LoadOptions, StageReport, TokenCount, Usage } from "../api/types";
import { evictedStages, inLeastMemory, merge, pageSettings } from "../bundle/inference_settings";
import type { Manifest, Size } from "../bundle/manifest";
import { readInversionFile } from "../adapters/inversion_file";
import type { InversionOptions } from "../api/inversion";
import { runSelfTest } from "../diagnostics/self_test";
import { NoAdapterError } from "../gpu/device";
import { loadPipeline } from "../pipeline";
import type { Pipeline } from "../pipeline";
import type { GenerationRequest, RequestTexts } from "../pipeline/generation_request";
import type { Costs, ProgressMeter } from "../pipeline/progress_meter";
import {
  meterEncoding,
  meterPatching,
  meterReading,
  meterSelfTest,
} from "../pipeline/progress_meter";
import type { Inversion } from "../pipeline/inversion";
import type { Words } from "../pipeline/text_encoder";
import type { Seed } from "../settings/seed";
import { untilAborted } from "../util/concurrency";
import { OutOfMemoryError, UnsupportedError } from "../util/errors";
import { STAGES } from "../util/settings_schema.generated";
import type { SwapperSettings } from "../util/settings_schema.generated";
import { drawChecked } from "./checked_drawing";
import type { LoraData, LoraRequest, SentSource } from "./lora_source";
import { readLoraSource } from "./lora_source";
import { Loras } from "./loras";
import { drawAll, meterPasses } from "./passes";

const ignore = (): void => undefined;

/** Options of `loadLora` as they are sent to the worker. */
export interface SentLoraOptions extends Pick<LoraOptions, "name" | "scale" | "sha256"> {
  /** Those of a LoRA that is loaded again. */
  triggerWords?: string[] | undefined;
}

/** Load options with which drawing takes the least memory: tiles, and every stage is evicted. */
function leastMemory({ settings }: LoadOptions): LoadOptions {
  const all = settings && merge(settings, { swapper: { evict: [...STAGES] } });
  return { offload: true, tiling: true, settings: all };
}

/** A pipeline that survives the loss of the GPU, and saves memory where it must. */
export class RecoveringPipeline {
  private pipeline: Pipeline | undefined;
  /** Whether memory ran out before, so that the model is loaded in the least memory. */
  private savesMemory = false;
  /** How often the GPU was lost. */
  private losses = 0;
  /** What drawing took so far, by which the time of the next picture is estimated. */
  private costs: Costs = {};
  /** The pipeline that is being loaded again; undefined while none is. */
  private reload: Promise<Pipeline> | undefined;
  /** Called with the progress of the reload: that of the call that waits for it. */
  private onReload: OnProgress = ignore;
  /** The LoRAs that are loaded; the weights are patched with them wherever the model is loaded. */
  private loras = Loras.none;
  /** Those before the last change. */
  private previous = Loras.none;
  /** Aborted when nothing will be drawn any more. */
  private readonly disposal = new AbortController();

  /** @param options how the model is loaded; its signal and progress are given with each call. */
  constructor(
    private readonly manifestUrl: string,
    private readonly options: LoadOptions,
  ) {}

  /** Load the pipeline; a signal that is aborted cancels that. */
  async load(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    this.pipeline = await this.retryInLessMemory(() => this.loadOnce(onProgress, signal));
    return this.pipeline;
  }

  /**
   * Return the pipeline, loaded again if its GPU was lost or has no room. A call that is cancelled
   * meanwhile does not cancel the reload, so that the next call finds it further on or done.
   */
  private async ready(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    if (this.pipeline?.failure !== undefined) {
      this.losses += 1;
      this.options.onNotice?.("The GPU was lost; the model is loaded again.");
      this.release();
    }
    if (this.pipeline !== undefined) return this.pipeline;
    this.onReload = onProgress;
    this.reload ??= this.load((event) => this.onReload(event), this.disposal.signal).finally(
      () => (this.reload = undefined),
    );
    return untilAborted(this.reload, signal);
  }

  private async loadOnce(onProgress: OnProgress, signal: AbortSignal): Promise<Pipeline> {
    try {
      const pipeline = await loadPipeline(this.manifestUrl, {
        ...this.options,
        ...(this.savesMemory ? leastMemory(this.options) : {}),
        onProgress,
        signal,
      });
      return await this.withLoras(pipeline, signal);
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

  /** Patch a pipeline that was loaded anew. */
  private async withLoras(pipeline: Pipeline, signal: AbortSignal): Promise<Pipeline> {
    if (this.loras.applied.length === 0) return pipeline;
    try {
      await pipeline.patchWeights(this.loras.patches, ignore, signal);
      return pipeline;
    } catch (error) {
      pipeline.dispose();
      throw error;
    }
  }

  /** The loaded pipeline; {@link load} must have been called. */
  get loaded(): Pipeline {
    if (this.pipeline === undefined) throw new Error("the pipeline is not loaded");
    return this.pipeline;
  }

  /** Draw with the pipeline; see `Pipeline.generate`. */
  async generate(
    given: GenerationRequest,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<GenerationResult> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const { costs } = this;
      const memory =
        given.memory && (this.savesMemory ? inLeastMemory(given.memory) : given.memory);
      const request = { ...given, memory, loras: this.loras.applied };
      const evicted = evictedStages(memory?.swapper ?? this.swapper);
      const meters = meterPasses(pipeline.manifest, request, evicted, costs, report);
      const [first, last = first] = meters;
      const draw = async (each: GenerationRequest): Promise<GenerationResult> =>
        drawAll(pipeline, each, [first.onStage, last.onStage], signal);
      const stages = [evicted.length > 0 ? undefined : first.onStage, last.onStage] as const;
      const result = await drawChecked(pipeline, request, draw, stages, signal);
      last.finish();
      // Those of the first pass: they are what a picture of the usual size takes.
      this.costs = { ...this.costs, ...first.costs() };
      return result;
    });
  }

  /** Encode prompts with the pipeline; see `Pipeline.encodePrompt`. */
  async encodePrompt(texts: RequestTexts, signal: AbortSignal): Promise<PromptEmbeddings> {
    return this.use(ignore, signal, (pipeline) => pipeline.encodePrompt(texts, ignore, signal));
  }

  /** Count a prompt's tokens; a GPU that was lost does not matter. */
  async countTokens(words: Words, signal: AbortSignal): Promise<TokenCount[]> {
    return (this.pipeline ?? (await this.ready(ignore, signal))).countTokens(words);
  }

  /** Encode a picture with the pipeline; see `Pipeline.encodeImage`. */
  async encodeImage(
    pixels: Uint8ClampedArray,
    size: Size,
    posterior: Posterior,
    seed: Seed,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Float32Array> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const meter = meterEncoding(report);
      const latents = await pipeline.encodeImage(
        pixels,
        size,
        posterior,
        seed,
        meter.onStage,
        signal,
      );
      meter.finish();
      return latents;
    });
  }

  /**
   * Load a LoRA, and apply it after those that are loaded.
   *
   * @returns all that are loaded.
   */
  async loadLora(
    source: SentSource,
    { name, scale = 1, sha256, triggerWords }: SentLoraOptions,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<LoadedLora[]> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const { manifest } = pipeline;
      const meter = meterPatching(manifest, report);
      const how = { sha256, triggerWords };
      const data = await this.readSource(source, manifest, how, meter, signal);
      const loras = await this.loras.add(data, manifest, name, scale);
      const loaded = await this.changeLoras(pipeline, loras, meter, signal);
      // Another worker needs it again when this one had to be ended, and its address may be gone then.
      await data.keep?.();
      return loaded;
    });
  }

  /**
   * Read the file of a textual inversion; the page keeps it, and sends it with each request.
   *
   * @throws FetchError, IntegrityError or LoraError if it cannot be had, or does not fit the model.
   */
  async readInversion(
    source: SentSource,
    { token, sha256 }: Pick<InversionOptions, "token" | "sha256">,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<Inversion> {
    return this.use(onProgress, signal, async ({ manifest }, report) => {
      const meter = meterReading(report);
      const read = await this.readSource(source, manifest, { sha256 }, meter, signal);
      const file = readInversionFile(read.data, manifest, read.title);
      meter.finish();
      // Without a digest nobody could ask for the kept file.
      if (sha256 !== undefined) await read.keep?.();
      return {
        ...file,
        token: token ?? file.token ?? read.name,
        sha256: read.sha256,
      };
    });
  }

  /** Read the file of a LoRA or of a textual inversion, and report how much of it is there. */
  private async readSource(
    source: SentSource,
    manifest: Manifest,
    how: Pick<LoraRequest, "sha256" | "triggerWords">,
    meter: ProgressMeter,
    signal: AbortSignal,
  ): Promise<LoraData> {
    const { manifestUrl, options } = this;
    const onLoaded = thinProgress((loaded, total) =>
      meter.onStage({ stage: "lora", loaded, total }),
    );
    const onNotice = options.onNotice ?? ignore;
    const request = {
      ...how,
      manifestUrl,
      manifest,
      options,
      onLoaded,
      onNotice,
      signal,
    };
    return readLoraSource(source, request);
  }

  /** Give LoRAs their scales; see `Loras.withScales`. Returns all that are loaded. */
  async setAdapters(
    scales: Readonly<Record<string, number>>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<LoadedLora[]> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const meter = meterPatching(pipeline.manifest, report);
      return this.changeLoras(pipeline, this.loras.withScales(scales), meter, signal);
    });
  }

  /** Leave out a LoRA, or all of them without a name. Returns those that are left. */
  async unloadLora(
    name: string | undefined,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<LoadedLora[]> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const meter = meterPatching(pipeline.manifest, report);
      return this.changeLoras(pipeline, this.loras.without(name), meter, signal);
    });
  }

  /** Apply other LoRAs; if that fails, those from before stay. */
  private async changeLoras(
    pipeline: Pipeline,
    loras: Loras,
    meter: ProgressMeter,
    signal: AbortSignal,
  ): Promise<LoadedLora[]> {
    await pipeline.patchWeights(loras.patches, meter.onStage, signal);
    meter.finish();
    [this.previous, this.loras] = [this.loras, loras];
    return loras.loaded;
  }

  /** Have the LoRAs from before the last change again. */
  async undoLoras(signal: AbortSignal): Promise<void> {
    const { previous } = this;
    await this.use(ignore, signal, (pipeline) =>
      pipeline.patchWeights(previous.patches, ignore, signal),
    );
    this.loras = previous;
  }

  /** Run the self-test with the pipeline; see `runSelfTest`. */
  async selfTest(onProgress: OnProgress, signal: AbortSignal): Promise<StageReport[]> {
    return this.use(onProgress, signal, async (pipeline, report) => {
      const { onStage } = meterSelfTest(report);
      // The expected values are those of the model alone.
      await pipeline.patchWeights(Loras.none.patches, ignore, signal);
      try {
        return await pipeline.withStages((stages) => runSelfTest(stages, onStage, signal));
      } finally {
        if (pipeline.failure === undefined) {
          await pipeline
            .patchWeights(this.loras.patches, ignore, this.disposal.signal)
            .catch((error: unknown) => {
              // Weights without the LoRAs that are listed would draw other pictures than they say.
              this.release();
              throw error;
            });
        }
      }
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
  async use<Result>(
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

  /** What is evicted where a call does not say it. */
  private get swapper(): SwapperSettings | undefined {
    const saving = this.savesMemory ? leastMemory(this.options) : {};
    return pageSettings({ ...this.options, ...saving }).swapper;
  }

  /** Release the GPU and all memory, and cancel loading. */
  dispose(): void {
    this.disposal.abort();
    this.release();
  }

  private release(): void {
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
      this.release();
      this.options.onNotice?.(
        "The GPU has no room for the whole model: one stage at a time is loaded, which takes longer.",
      );
      return work();
    }
  }
}
