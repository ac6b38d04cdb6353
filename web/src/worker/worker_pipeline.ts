/** What the page's client calls in its worker. */

import * as Comlink from "comlink";

import { transferablesOf } from "../api/generated";
import type { LoadedLora } from "../api/lora";
import type { InversionOptions } from "../api/inversion";
import type { Posterior, PromptEmbeddings } from "../api/options";
import type { OnProgress, ProgressEvent } from "../api/progress";
import type { TuneOptions, TuneReport } from "../api/tuning";
import type {
  GenerationResult,
  LoadOptions,
  LoadTimes,
  OnNotice,
  StageReport,
  TokenCount,
  Usage,
} from "../api/types";
import type { Manifest, Size } from "../bundle/manifest";
import { keepLoss, tuneModel, tuneSlice } from "../diagnostics/tune";
import type { Pipeline, Stages } from "../pipeline";
import type { Inversion } from "../pipeline/inversion";
import type { GenerationRequest, RequestTexts } from "../pipeline/generation_request";
import { ProgressMeter } from "../pipeline/progress_meter";
import type { Words } from "../pipeline/text_encoder";
import type { Seed } from "../settings/seed";
import { setLogLevel } from "../util/log";
import { BUILD } from "../util/version";
import { fetchOverPage } from "./page_fetch";
import type { PageFetch } from "./page_fetch";
import type { SentSource } from "./lora_source";
import { RecoveringPipeline } from "./recovery";
import type { SentLoraOptions } from "./recovery";
import { checkWebAssembly } from "./webassembly";

/** The load options that concern the page alone, or are sent in another form. */
type PageOptions =
  | "onProgress"
  | "onNotice"
  | "onTuned"
  | "signal"
  | "concurrency"
  | "tune"
  | "worker"
  | "workerUrl"
  | "fetch";

/** The load options that can be sent to a worker. */
export type WorkerLoadOptions = Omit<LoadOptions, PageOptions>;

/** What a page learns of the model that was loaded. */
export interface LoadedModel {
  manifest: Manifest;
  /** Vendor, architecture and description of the GPU. */
  adapter: Record<string, string>;
  loadTimes: LoadTimes;
}

/**
 * A pipeline whose arguments and results can be sent between threads. Signals cannot, so the
 * page gives each call a number, and {@link abort} cancels the call of a number.
 */
export class WorkerPipeline {
  private recovering: RecoveringPipeline | undefined;
  /** What cancels the calls that are under way. */
  private readonly controllers = new Map<number, AbortController>();

  /** Answer the page's first message, by which it knows that the worker's script runs, and its build. */
  hello(): string {
    return BUILD;
  }

  /**
   * Load a model; see `loadPipeline` for what it throws.
   *
   * @param pageFetch the option `fetch`, which stays in the page.
   */
  async load(
    call: number,
    manifestUrl: string,
    options: WorkerLoadOptions,
    onProgress: OnProgress,
    onNotice: OnNotice,
    pageFetch?: Comlink.Remote<PageFetch & Comlink.ProxyMarked>,
  ): Promise<LoadedModel> {
    setLogLevel(options.logLevel);
    checkWebAssembly();
    const fetch = pageFetch && fetchOverPage(pageFetch);
    const recovering = new RecoveringPipeline(manifestUrl, { ...options, fetch, onNotice });
    this.recovering = recovering;
    const { report, delivered } = makeReporter(onProgress);
    return this.cancellable(call, async (signal) => {
      const { manifest, adapter, loadTimes } = await recovering.load(report, signal);
      await delivered();
      return { manifest, adapter, loadTimes };
    });
  }

  async generate(
    call: number,
    request: GenerationRequest,
    onProgress: OnProgress,
  ): Promise<GenerationResult> {
    const { report, delivered } = makeReporter(onProgress);
    const result = await this.cancellable(call, (signal) =>
      this.recovering!.generate(request, report, signal),
    );
    await delivered();
    return Comlink.transfer(result, transferablesOf(result));
  }

  async encodePrompt(call: number, texts: RequestTexts): Promise<PromptEmbeddings> {
    const embeddings = await this.cancellable(call, (signal) =>
      this.recovering!.encodePrompt(texts, signal),
    );
    const values: (Float32Array | number | undefined)[] = Object.values({ ...embeddings });
    const arrays = values.filter((value) => typeof value === "object");
    return Comlink.transfer(embeddings, [...new Set(arrays.map(({ buffer }) => buffer))]);
  }

  async countTokens(call: number, words: Words): Promise<TokenCount[]> {
    return this.cancellable(call, (signal) => this.recovering!.countTokens(words, signal));
  }

  async encodePicture(
    call: number,
    pixels: Uint8ClampedArray,
    size: Size,
    posterior: Posterior,
    seed: Seed,
    onProgress: OnProgress,
  ): Promise<Float32Array> {
    const { report, delivered } = makeReporter(onProgress);
    const latents = await this.cancellable(call, (signal) =>
      this.recovering!.encodeImage(pixels, size, posterior, seed, report, signal),
    );
    await delivered();
    return Comlink.transfer(latents, [latents.buffer]);
  }

  async loadLora(
    call: number,
    source: SentSource,
    options: SentLoraOptions,
    onProgress: OnProgress,
  ): Promise<LoadedLora[]> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.loadLora(source, options, report, signal),
    );
  }

  async readInversion(
    call: number,
    source: SentSource,
    options: Pick<InversionOptions, "token" | "sha256">,
    onProgress: OnProgress,
  ): Promise<Inversion> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.readInversion(source, options, report, signal),
    );
  }

  async setAdapters(
    call: number,
    scales: Readonly<Record<string, number>>,
    onProgress: OnProgress,
  ): Promise<LoadedLora[]> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.setAdapters(scales, report, signal),
    );
  }

  async unloadLora(
    call: number,
    name: string | undefined,
    onProgress: OnProgress,
  ): Promise<LoadedLora[]> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.unloadLora(name, report, signal),
    );
  }

  /** Undo the last change of the LoRAs, because the page has given it up. */
  async undoLoras(call: number): Promise<void> {
    return this.cancellable(call, (signal) => this.recovering!.undoLoras(signal));
  }

  async selfTest(call: number, onProgress: OnProgress): Promise<StageReport[]> {
    const { report, delivered } = makeReporter(onProgress);
    const reports = await this.cancellable(call, (signal) =>
      this.recovering!.selfTest(report, signal),
    );
    await delivered();
    return reports;
  }

  async tune(
    call: number,
    options: Pick<TuneOptions, "seconds" | "again">,
    onProgress: OnProgress,
  ): Promise<TuneReport> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.use(report, signal, (pipeline, each) => {
        const { onStage } = new ProgressMeter({}, each);
        return pipeline.withStages((stages) => tuneModel(stages, options, onStage, signal));
      }),
    );
  }

  /** Tune for about a second while nothing else is to be done; see `tuneSlice`. */
  async tuneSlice(call: number): Promise<TuneReport> {
    // A model that is loaded anew because a slice has no room would be slower than before.
    return this.cancellable(call, async (signal) => {
      let used: Stages | undefined;
      try {
        return await this.pipeline.withStages((stages) => {
          // A GPU that was lost before was not lost by this.
          if (stages.model.runtime.failure === undefined) used = stages;
          return tuneSlice(stages, signal);
        });
      } catch (error) {
        if (used?.model.runtime.failure !== undefined) await keepLoss(used);
        throw error;
      }
    });
  }

  async usage(call: number): Promise<Usage> {
    return this.cancellable(call, (signal) => this.recovering!.usage(signal));
  }

  /** Cancel a call, at its next step or chunk; no effect if the call has ended. */
  abort(call: number): void {
    this.controllers.get(call)?.abort();
  }

  /** Cancel all calls, and release the GPU and all memory. */
  unload(): void {
    for (const controller of this.controllers.values()) controller.abort();
    this.recovering?.dispose();
  }

  protected get pipeline(): Pipeline {
    return this.recovering!.loaded;
  }

  /** Do a call's work, and wait until the page has got its last report. */
  protected async reported<Result>(
    call: number,
    onProgress: OnProgress,
    work: (
      recovering: RecoveringPipeline,
      report: OnProgress,
      signal: AbortSignal,
    ) => Promise<Result>,
  ): Promise<Result> {
    const { report, delivered } = makeReporter(onProgress);
    const result = await this.cancellable(call, (signal) => work(this.recovering!, report, signal));
    await delivered();
    return result;
  }

  private async cancellable<Result>(
    call: number,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const controller = new AbortController();
    this.controllers.set(call, controller);
    try {
      return await work(controller.signal);
    } finally {
      this.controllers.delete(call);
    }
  }
}

/**
 * Make a callback that reports to the page, and a function that waits until the page has got the
 * last report: reports and results go over channels of their own, of which one may be faster.
 */
function makeReporter(onProgress: (event: ProgressEvent) => unknown): {
  report: OnProgress;
  delivered: () => Promise<void>;
} {
  let last: unknown;
  return {
    report: (event) => {
      last = onProgress(event);
    },
    delivered: async () => {
      await last;
    },
  };
}
