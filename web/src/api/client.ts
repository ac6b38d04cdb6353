/** The public API: a pipeline that runs in a worker of its own. */

import * as Comlink from "comlink";

import type { Generated, LoadOptions, StageReport, Usage } from "./types";
import type { WsdError } from "./errors";
import { AbortError, FetchError, UnsupportedError } from "./errors";
import { fetchText, forget } from "../bundle/bundle_files";
import type { Manifest } from "../bundle/manifest";
import { parseIndex, parseManifest } from "../bundle/manifest";
import type { GenerateOptions } from "./options";
import type { OnProgress } from "./progress";
import type { Preflight } from "./preflight";
import { preflight as examine } from "./preflight";
import { openCache } from "../bundle/cache";
import { registerErrors } from "../worker/error_transfer";
import { scriptUrl } from "../worker/trusted_types";
import type { WorkerPipeline } from "../worker/worker";

export * from "./errors";
export type { GenerateOptions, Generated, LoadOptions, Manifest, OnProgress, StageReport, Usage };
export type { OnNotice, Timings } from "./types";
export type { ProgressEvent } from "./progress";
export { readText, writeText } from "./png";
export type { Preflight } from "./preflight";
export { compiledSizes, selfTestProblem } from "../bundle/manifest";
export type { Settings } from "./settings";
export { formatSettings, parseSettings } from "./settings";

export interface DrawOptions extends GenerateOptions {
  /** Told after each step. */
  onProgress?: OnProgress;
  /** Cancels between any two steps. */
  signal?: AbortSignal;
}

registerErrors();

export class StableDiffusionPipeline {
  private constructor(
    private readonly worker: Worker,
    /**
     * The worker's own methods, for tests and tools.
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
   */
  static async fromPretrained(
    manifestUrl: string | URL,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    const script = new URL(WORKER_URL, import.meta.url);
    const worker = new Worker(scriptUrl(script), { type: "module" });
    const stopped = failure(worker, script);
    const remote = Comlink.wrap<WorkerPipeline>(worker);
    const url = new URL(manifestUrl, document.baseURI).href;
    const report = options.onProgress ?? (() => undefined);
    try {
      const { offload, tiling, kernels, cache } = options;
      const notice = Comlink.proxy(options.onNotice ?? (() => undefined));
      const loaded = remote.load(
        url,
        { offload, tiling, kernels, cache },
        Comlink.proxy(report),
        notice,
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

  /** Draw one picture; the same seed gives the same picture as diffusers on a CPU. */
  async generate(prompt: string, options: DrawOptions = {}): Promise<Generated> {
    const { onProgress, signal, ...rest } = options;
    const report = Comlink.proxy(onProgress ?? (() => undefined));
    return abortable(this.remote, signal, this.remote.generate(prompt, rest, report));
  }

  /**
   * Run each stage on fixed inputs and compare what it gives with PyTorch: a result that
   * is not good is the GPU's or its driver's doing, since every file was checked before.
   *
   * @throws OptionError if the model came without expected values (`wsd expect`).
   */
  async selfTest(
    options: { onProgress?: OnProgress; signal?: AbortSignal } = {},
  ): Promise<StageReport[]> {
    const report = Comlink.proxy(options.onProgress ?? (() => undefined));
    return abortable(this.remote, options.signal, this.remote.selfTest(report));
  }

  /** What the pipeline holds now, and the most GPU memory that it ever took. */
  async usage(): Promise<Usage> {
    return this.remote.usage();
  }

  /** Forget what the browser keeps of a model. */
  static async purge(manifestUrl: string | URL): Promise<void> {
    const url = new URL(manifestUrl, document.baseURI).href;
    const store = await openCache();
    await forget(url, parseManifest(await fetchText(url, store), url), store);
  }

  /** Release the GPU and end the worker. */
  async unload(): Promise<void> {
    await this.remote.unload();
    this.remote[Comlink.releaseProxy]();
    this.worker.terminate();
  }
}

/** One model of a bundle, in weights of one precision. */
export interface Variant {
  /** How its weights are stored: f32, f16 or w8a16. */
  dtype: string;
  /** Address of its manifest. */
  manifest: string;
}

/** A model of a bundle. */
export interface ListedModel {
  name: string;
  title: string;
  /** The precisions that it comes in, the preferred one first. */
  variants: [Variant, ...Variant[]];
}

/**
 * List a bundle's models; where the server cannot be reached, as they were last listed.
 *
 * @param indexUrl address of the bundle's models/index.json.
 * @throws FetchError if the list cannot be had.
 */
export async function listModels(indexUrl: string | URL): Promise<ListedModel[]> {
  const url = new URL(indexUrl, document.baseURI).href;
  const entries = parseIndex(await fetchText(url, await openCache()), url);
  const models = new Map<string, ListedModel>();
  for (const { name, title, dtype, manifest } of entries) {
    const variant = { dtype, manifest: new URL(`${manifest}manifest.json`, url).href };
    const listed = models.get(name);
    if (listed === undefined) models.set(name, { name, title, variants: [variant] });
    else listed.variants.push(variant);
  }
  return [...models.values()];
}

/** The variant to load, and why not the ones before it. */
export interface Choice extends Preflight {
  variant: Variant;
  /** Variants that were passed over, each with its first problem. */
  passedOver: { variant: Variant; problem: WsdError }[];
}

/**
 * Choose the first precision of a model that this GPU can take; the first of all, with
 * its problems, if it can take none.
 *
 * @throws FetchError if a manifest cannot be had.
 */
export async function chooseVariant(model: ListedModel): Promise<Choice> {
  const passedOver: Choice["passedOver"] = [];
  let first: Choice | undefined;
  for (const variant of model.variants) {
    const found = { ...(await preflight(variant.manifest)), variant, passedOver };
    const [problem] = found.problems;
    if (problem === undefined) return found;
    passedOver.push({ variant, problem });
    first ??= found;
  }
  return { ...first!, passedOver: [] };
}

/**
 * Say whether a model runs here, and what it takes, before anything of it is downloaded.
 *
 * @param manifestUrl address of its manifest.json.
 * @throws FetchError if the manifest cannot be had.
 */
export async function preflight(manifestUrl: string | URL): Promise<Preflight> {
  return examine(new URL(manifestUrl, document.baseURI).href);
}

/** Replaced by the bundler with the worker's hashed file name. */
declare const WORKER_URL: string;

/** Rejects when a worker does not start: nobody would ever answer what it is asked. */
async function failure(worker: Worker, script: URL): Promise<never> {
  return new Promise((_, reject) => {
    worker.addEventListener("error", ({ message }: Partial<ErrorEvent>) => {
      // Of a script that could not be had at all, browsers say nothing.
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
