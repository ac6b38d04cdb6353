/** A worker with a loaded model: starts it, calls it, and ends it even if it does not answer. */

import * as Comlink from "comlink";

import { plainHeaders } from "../bundle/transport";
import { abortReason, OptionError, throwIfAborted, UnloadedError } from "../util/errors";
import { log, setLogLevel } from "../util/log";
import { BUILD } from "../util/version";
import { registerErrors } from "../worker/error_transfer";
import { PageFetch } from "../worker/page_fetch";
import type { LoadedModel, WorkerLoadOptions, WorkerPipeline } from "../worker/worker_pipeline";
import type { WorkerOptions } from "./load_options";
import { startWorker } from "./start_worker";
import type { LoadOptions, OnNotice } from "./types";
import { otherVersion } from "./worker_faults";

/**
 * The grace times of a worker whose call was cancelled, in milliseconds. A worker answers
 * messages between any two tasks, in milliseconds if all is well: one that has not answered after
 * {@link ANSWER_MS} computes in circles or hangs, and is ended. One that has answered stops at its
 * next step, which on a slow GPU may take long: after {@link STOP_MS} it is ended too.
 */
export const ANSWER_MS = 5_000;
export const STOP_MS = 120_000;

const ignore = (): void => undefined;

/** The worker's methods, as the page calls them. */
export type RemotePipeline = Comlink.Remote<WorkerPipeline>;

/** A worker and its methods. */
export class PipelineWorker {
  readonly remote: RemotePipeline;
  readonly #worker: Worker;
  /** Rejects when the worker fails or is ended, because then no call of it is ever answered. */
  readonly #gone: Promise<never>;
  #leave: (reason: unknown) => void = ignore;
  /** The caller's fetch, as the worker calls it. */
  #pageFetch: PageFetch | undefined;
  #ended = false;
  #calls = 0;

  private constructor({ worker, failed }: ReturnType<typeof startWorker>) {
    this.#worker = worker;
    this.remote = Comlink.wrap<WorkerPipeline>(worker);
    this.#gone = new Promise((_, reject) => (this.#leave = reject));
    // It is noticed by the calls that are under way, and there may be none.
    this.#gone.catch(ignore);
    failed.catch((error: unknown) => this.end(error));
    // Loading may take minutes; that the worker runs at all is known from this answer.
    const checkVersion = (version?: string): void => {
      if (version !== BUILD) this.end(otherVersion(version));
    };
    this.remote.hello().then(checkVersion, () => checkVersion());
  }

  /**
   * Start a worker; it has no model yet.
   *
   * @throws UnsupportedError, FetchError or OptionError if it cannot be started.
   */
  static start(options: WorkerOptions): PipelineWorker {
    registerErrors();
    return new PipelineWorker(startWorker(options));
  }

  /**
   * Load a model; for what it throws see `StableDiffusionPipeline.fromPretrained`. A worker that
   * could not load its model is ended.
   *
   * @param url absolute address of the model's manifest.
   */
  async load(url: string, options: LoadOptions): Promise<LoadedModel> {
    const { fetch, onProgress, signal } = options;
    try {
      setLogLevel(options.logLevel);
      this.#pageFetch = fetch && new PageFetch(fetch);
      const pageFetch = this.#pageFetch && Comlink.proxy(this.#pageFetch);
      const loaded = await this.run(signal, async (remote, call) =>
        remote.load(
          call,
          url,
          sendable(options),
          Comlink.proxy(reporting(onProgress)),
          Comlink.proxy(noticeOf(options)),
          pageFetch,
        ),
      );
      throwIfAborted(signal); // the caller may have gone while the answer was on its way
      return loaded;
    } catch (error) {
      this.end(error);
      throw error;
    }
  }

  /** Whether the worker is gone, and answers no call any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Do work in the worker, and have the worker cancel it when the signal is aborted. A worker that
   * does not stop is ended.
   *
   * @param work gets the worker's methods, and the number by which the call is cancelled.
   * @returns when the work has ended in the worker, also where it was cancelled.
   * @throws AbortError or the signal's reason if it is aborted, and what the work throws.
   */
  async run<Result>(
    signal: AbortSignal | undefined,
    work: (remote: RemotePipeline, call: number) => Promise<Result>,
  ): Promise<Result> {
    throwIfAborted(signal);
    if (this.#ended) return this.#gone;
    const call = (this.#calls += 1);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const abort = (): void => {
      if (this.#ended) return;
      const giveUp = (): void => this.end(abortReason(signal!));
      timer = setTimeout(giveUp, ANSWER_MS);
      const answered = (): void => {
        if (timer === undefined) return; // the work has ended meanwhile
        clearTimeout(timer);
        timer = setTimeout(giveUp, STOP_MS);
      };
      this.remote.abort(call).then(answered, ignore);
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([work(this.remote, call), this.#gone]);
    } catch (error) {
      throwIfAborted(signal);
      throw asOptionError(error);
    } finally {
      signal?.removeEventListener("abort", abort);
      clearTimeout(timer);
      timer = undefined;
    }
  }

  /** Release the GPU and end the worker; one that does not answer is ended as it is. */
  async unload(): Promise<void> {
    if (this.#ended) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silent = new Promise<void>((resolve) => (timer = setTimeout(resolve, ANSWER_MS)));
    // What fails there is released by the browser when the worker ends.
    await Promise.race([this.remote.unload().catch(ignore), silent, this.#gone.catch(ignore)]);
    clearTimeout(timer);
    this.end(new UnloadedError());
  }

  /**
   * End the worker.
   *
   * @param reason what the calls that are under way reject with.
   */
  end(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#leave(reason);
    this.remote[Comlink.releaseProxy]();
    this.#worker.terminate();
    this.#pageFetch?.closeAll();
  }
}

/** All of the options that the worker knows; one that is forgotten does not compile. */
type SentOptions = { [Name in keyof Required<WorkerLoadOptions>]: WorkerLoadOptions[Name] };

/** Return what of the options concerns the worker and can be sent there. */
function sendable(options: LoadOptions): SentOptions {
  const { integrity, offload, tiling, safetyChecker, kernels, cache, credentials } = options;
  const { logLevel, textEncoder3, settings, ignoredRules } = options;
  const how = { offload, tiling, settings, safetyChecker, textEncoder3, kernels, ignoredRules };
  return {
    integrity,
    ...how,
    cache,
    credentials,
    logLevel,
    headers: plainHeaders(options.headers),
  };
}

/**
 * Make a function that calls a callback, and reports what the callback throws as an uncaught error
 * of the page: the worker has nothing to do with it, and goes on. Nothing is done without a callback.
 */
export function reporting<Argument>(callback: ((argument: Argument) => void) | undefined) {
  return (argument: Argument): void => {
    try {
      callback?.(argument);
    } catch (error) {
      reportError(error);
    }
  };
}

/** Make a function that gives notices to the caller, or to the console if it takes none. */
export function noticeOf({ onNotice }: LoadOptions): OnNotice {
  return reporting(onNotice ?? logNotice);
}

/** Write a notice to the console. */
export function logNotice(notice: string): void {
  log("warn", notice);
}

/**
 * Say that an option could not be sent: functions, for example, stay in their own thread. What the
 * browser says is left out, because it quotes the whole text of a function.
 */
function asOptionError(error: unknown): unknown {
  if (!(error instanceof DOMException && error.name === "DataCloneError")) return error;
  return new OptionError(
    "an option cannot be sent to the worker",
    "give texts, numbers and typed arrays; functions only where an option takes one",
  );
}
