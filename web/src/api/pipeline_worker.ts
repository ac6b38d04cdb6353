/** A worker with a loaded model: starts it, calls it, and ends it even if it does not answer. */

import * as Comlink from "comlink";

import { registerErrors } from "../worker/error_transfer";
import { scriptUrl } from "../worker/trusted_types";
import type { WorkerPipeline } from "../worker/worker_pipeline";
import { AbortError, FetchError, throwIfAborted, UnsupportedError } from "./errors";
import type { LoadOptions } from "./types";

/** Replaced by the bundler with the worker's file name, relative to this module. */
declare const WORKER_URL: string;

/**
 * How long a worker may take to answer an order to stop, in milliseconds. It answers between any
 * two tasks, so one in an endless loop never does.
 */
const ANSWER_MS = 5_000;
/** How long its work may take to end after the answer, in milliseconds: a step on a slow GPU. */
const STOP_MS = 120_000;

const ignore = (): void => undefined;

registerErrors();

/** A worker and its methods. */
export class PipelineWorker {
  private hasEnded = false;

  private constructor(
    private readonly worker: Worker,
    readonly remote: Comlink.Remote<WorkerPipeline>,
  ) {}

  /**
   * Start a worker and load a model in it; for what it throws see
   * `StableDiffusionPipeline.fromPretrained`.
   *
   * @param url absolute address of the model's manifest.
   */
  static async load(url: string, options: LoadOptions): Promise<PipelineWorker> {
    const script = new URL(WORKER_URL, import.meta.url);
    const worker = new Worker(scriptUrl(script), { type: "module" });
    const stopped = rejectOnFailure(worker, script);
    const started = new PipelineWorker(worker, Comlink.wrap<WorkerPipeline>(worker));
    const { onProgress, onNotice, signal, ...rest } = options;
    try {
      const loaded = started.run(signal, (remote) =>
        remote.load(
          url,
          rest,
          Comlink.proxy(onProgress ?? ignore),
          Comlink.proxy(onNotice ?? ignore),
        ),
      );
      await Promise.race([loaded, stopped]);
      return started;
    } catch (error) {
      started.end();
      throw error;
    }
  }

  /** Whether the worker is gone, and answers no call any more. */
  get ended(): boolean {
    return this.hasEnded;
  }

  /**
   * Do work in the worker, and have the worker cancel it when the signal is aborted. A worker that
   * does not stop is ended.
   *
   * @throws AbortError if the signal is aborted, and what the work throws.
   */
  async run<Result>(
    signal: AbortSignal | undefined,
    work: (remote: Comlink.Remote<WorkerPipeline>) => Promise<Result>,
  ): Promise<Result> {
    throwIfAborted(signal);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let abort = ignore;
    const givenUp = new Promise<never>((_, reject) => {
      const giveUp = (): void => {
        this.end();
        reject(new AbortError());
      };
      abort = () => {
        timer = setTimeout(giveUp, ANSWER_MS);
        const answered = (): void => {
          if (timer === undefined) return; // the work has ended meanwhile
          clearTimeout(timer);
          timer = setTimeout(giveUp, STOP_MS);
        };
        this.remote.abort().then(answered, ignore);
      };
    });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([work(this.remote), givenUp]);
    } finally {
      signal?.removeEventListener("abort", abort);
      clearTimeout(timer);
      timer = undefined;
    }
  }

  /** Release the GPU and end the worker; one that does not answer is ended as it is. */
  async unload(): Promise<void> {
    if (this.hasEnded) return;
    const silent = new Promise<void>((resolve) => setTimeout(resolve, ANSWER_MS));
    await Promise.race([this.remote.unload(), silent]);
    this.end();
  }

  private end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.remote[Comlink.releaseProxy]();
    this.worker.terminate();
  }
}

/** Reject when a worker does not start, because then no call of it is ever answered. */
async function rejectOnFailure(worker: Worker, script: URL): Promise<never> {
  return new Promise((_, reject) => {
    worker.addEventListener("error", ({ message }: Partial<ErrorEvent>) => {
      // Browsers give no message if the script could not be fetched at all.
      reject(
        message === undefined
          ? new FetchError(
              `${script.href} could not be run`,
              "reload the page; the server must send this file, and its headers must allow workers",
            )
          : new UnsupportedError(
              `the pipeline's worker stopped: ${message}`,
              "use a current version of the browser",
            ),
      );
    });
  });
}
