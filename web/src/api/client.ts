/** A pipeline that runs in a worker of its own. */

import * as Comlink from "comlink";

import { fetchText, forget } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import type { Manifest } from "../bundle/manifest";
import { parseManifest } from "../bundle/manifest";
import { registerErrors } from "../worker/error_transfer";
import { scriptUrl } from "../worker/trusted_types";
import type { WorkerPipeline } from "../worker/worker_pipeline";
import { AbortError, FetchError, UnsupportedError } from "./errors";
import type { OnProgress } from "./progress";
import type { DrawOptions, Generated, LoadOptions, StageReport, Usage } from "./types";

/** Replaced by the bundler with the worker's file name, relative to this module. */
declare const WORKER_URL: string;

const ignore = (): void => undefined;

registerErrors();

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
    private readonly worker: Worker,
    /**
     * The worker's methods.
     * @internal
     */
    readonly remote: Comlink.Remote<WorkerPipeline>,
    readonly manifest: Manifest,
    /** Vendor, architecture and description of the GPU. */
    readonly adapter: Record<string, string>,
  ) {}

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
    const script = new URL(WORKER_URL, import.meta.url);
    const worker = new Worker(scriptUrl(script), { type: "module" });
    const stopped = rejectOnFailure(worker, script);
    const remote = Comlink.wrap<WorkerPipeline>(worker);
    const url = new URL(manifestUrl, document.baseURI).href;
    try {
      const { offload, tiling, kernels, cache } = options;
      const loaded = remote.load(
        url,
        { offload, tiling, kernels, cache },
        Comlink.proxy(options.onProgress ?? ignore),
        Comlink.proxy(options.onNotice ?? ignore),
      );
      await Promise.race([abortable(remote, options.signal, loaded), stopped]);
      return new StableDiffusionPipeline(
        worker,
        remote,
        await remote.manifest(),
        await remote.adapter(),
      );
    } catch (error) {
      worker.terminate();
      throw error;
    }
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
    const report = Comlink.proxy(onProgress ?? ignore);
    return abortable(this.remote, signal, this.remote.generate(prompt, rest, report));
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
    const report = Comlink.proxy(options.onProgress ?? ignore);
    return abortable(this.remote, options.signal, this.remote.selfTest(report));
  }

  /** Count what the pipeline holds now, and the most GPU memory that it ever took. */
  async usage(): Promise<Usage> {
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
    await this.remote.unload();
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

/** Wait for a worker's work, and have the worker cancel it when the signal is aborted. */
async function abortable<T>(
  remote: Comlink.Remote<WorkerPipeline>,
  signal: AbortSignal | undefined,
  work: Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw new AbortError();
  const abort = (): void => void remote.abort();
  signal?.addEventListener("abort", abort);
  try {
    return await work;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
