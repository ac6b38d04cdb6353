/** Pipelines by the type that a manifest names: what draws, and how it is loaded. */

import { UnsupportedError } from "../util/errors";
import type { WsdError } from "../util/errors";
import type { WeightPatches } from "../adapters/patch";
import type { Posterior, PromptEmbeddings } from "../api/options";
import type { OnStage } from "../api/progress";
import type {
  GenerationResult,
  LoadOptions,
  LoadTimes,
  SafetyReport,
  TokenCount,
  Usage,
} from "../api/types";
import { BundleFiles } from "../bundle/bundle_files";
import { chooseEncoders } from "../bundle/encoders";
import { NO_CACHE, openCache } from "../bundle/cache";
import { fetchManifest } from "../bundle/deployment";
import { mergeSettings, pageSettings } from "../bundle/inference_settings";
import { fileSizes } from "../bundle/kept";
import { textComponents } from "../bundle/manifest";
import type { EntryPoint, Manifest, Size } from "../bundle/manifest";
import type { Seed } from "../settings/seed";
import { makeTransport } from "../bundle/transport";
import { log } from "../util/log";
import { nameOf } from "../util/secrets";
import type { Model, ModelSource } from "../gpu/model";
import type { GenerationRequest, RequestTexts } from "./generation_request";
import { meterLoading } from "./progress_meter";
import { requireSafetyChecker } from "./safety_checker";
import type { Words } from "./text_encoder";

/** A loaded model that draws. Its callers wait for one call to end before they begin the next. */
export interface Pipeline {
  readonly manifest: Manifest;
  /** Vendor, architecture and description of the GPU. */
  readonly adapter: Record<string, string>;
  /** What loading took; the files of what is loaded later are added. */
  readonly loadTimes: LoadTimes;
  /** Why nothing can be drawn any more, because the GPU is lost; undefined while it is not. */
  readonly failure: WsdError | undefined;
  /**
   * Draw one or several pictures of each prompt.
   *
   * @param request checked, its defaults filled in.
   * @throws UnsupportedError if the GPU has no buffers for the size.
   * @throws OutOfMemoryError, DeviceLostError or AbortError if the work ends early.
   */
  generate(
    request: GenerationRequest,
    onStage: OnStage,
    signal: AbortSignal,
  ): Promise<GenerationResult>;
  /**
   * Encode prompts as the denoiser takes them.
   *
   * @param texts prompts, their negative ones, and how they are read.
   * @returns embeddings of all prompts, and of their negative ones.
   * @throws OutOfMemoryError, DeviceLostError or AbortError if the work ends early.
   */
  encodePrompt(
    texts: RequestTexts,
    onStage: OnStage,
    signal: AbortSignal,
  ): Promise<PromptEmbeddings>;
  /**
   * Count a prompt's tokens for each text encoder.
   *
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  countTokens(words: Words): TokenCount[];
  /**
   * Check finished pictures with the safety checker.
   *
   * @returns a report for each picture.
   * @throws UnsupportedError if the model has none.
   * @throws OutOfMemoryError, DeviceLostError or AbortError if the work ends early.
   */
  checkPictures(
    images: readonly ImageData[],
    onStage: OnStage,
    signal?: AbortSignal,
  ): Promise<SafetyReport[]>;
  /**
   * Encode a picture to clean latents.
   *
   * @param pixels RGBA bytes of the size, row by row; the alpha is not read.
   * @param seed draws the posterior's sample; unused for its mode.
   * @returns float32, (1, channels, height / factor, width / factor), scaled as denoising takes them.
   * @throws UnsupportedError if the model has no encoder.
   * @throws OutOfMemoryError, DeviceLostError or AbortError if the work ends early.
   */
  encodeImage(
    pixels: Uint8ClampedArray,
    size: Size,
    posterior: Posterior,
    seed: Seed,
    onStage: OnStage,
    signal: AbortSignal,
  ): Promise<Float32Array>;
  /**
   * Change the weights as LoRAs say, instead of any changes from before.
   *
   * @throws FetchError, IntegrityError, OutOfMemoryError, DeviceLostError or AbortError; the changes
   *   from before hold on then.
   */
  patchWeights(patches: WeightPatches, onStage: OnStage, signal: AbortSignal): Promise<void>;
  /**
   * Call compiled functions one by one, for the self-test and for measurements; nothing else
   * runs meanwhile.
   *
   * @throws UnsupportedError if the pipeline has no compiled functions.
   */
  withStages<Result>(work: (stages: Stages) => Promise<Result>): Promise<Result>;
  /** Count what is held now. */
  usage(): Usage;
  /** Release the GPU and all memory. */
  dispose(): void;
}

/** Access to a model's compiled functions. */
export interface Stages {
  model: Model;
  files: BundleFiles;
  /** Bring a function's pipelines and its component's parameters to the GPU. */
  bring: (entry: EntryPoint, signal?: AbortSignal) => Promise<void>;
}

/** Loads a pipeline; what it downloads comes from `source.files`, which checks it. */
export type PipelineFactory = (source: ModelSource) => Promise<Pipeline>;

const factories = new Map<string, PipelineFactory>();

/**
 * Register what draws the models whose manifest names a pipeline type.
 *
 * @param type the manifest's `pipeline`, for example "text-to-image".
 */
export function registerPipeline(type: string, factory: PipelineFactory): void {
  factories.set(type, factory);
}

/**
 * Fetch a manifest and load the pipeline that it names.
 *
 * @param manifestUrl absolute address of a manifest.json, or of a deployment's configuration.
 * @throws UnsupportedError if no pipeline of that type is registered, or the GPU does not do.
 * @throws FetchError or IntegrityError if a file cannot be had.
 * @throws OutOfMemoryError or AbortError if loading ends early.
 */
export async function loadPipeline(
  manifestUrl: string,
  options: LoadOptions = {},
): Promise<Pipeline> {
  const started = performance.now();
  const cache = options.cache === false ? NO_CACHE : await openCache();
  const { integrity, signal } = options;
  const transport = makeTransport(options);
  const how = { integrity, signal, transport };
  const found = await fetchManifest(manifestUrl, cache, how);
  const { url } = found;
  const manifest = chooseEncoders(found.manifest, options.textEncoder3);
  if (options.safetyChecker === true) requireSafetyChecker(manifest);
  const given = pageSettings(options);
  // Before anything large is fetched.
  if (options.settings !== undefined) mergeSettings(manifest, given, {});
  const factory = factories.get(manifest.pipeline);
  if (factory === undefined) {
    throw new UnsupportedError(
      `${nameOf(manifestUrl)}: this page has no pipeline of the type ` +
        JSON.stringify(manifest.pipeline),
      `use the page of the WSD that built the model; this one has ${[...factories.keys()].join(", ")}`,
    );
  }
  const notice = options.onNotice ?? ((): void => undefined);
  const files = new BundleFiles(url, cache, fileSizes(manifest), notice, transport);
  const meter = meterLoading(manifest, { ...options, offload: given.swapper?.enabled });
  const measured = { ...options, onProgress: meter.onStage };
  files.times.start = performance.now() - started;
  files.readAhead(textComponents(manifest).flatMap((name) => manifest.components[name]!.shards));
  let pipeline: Pipeline;
  try {
    pipeline = await factory({ manifest, files, options: measured });
  } finally {
    await files.finish();
  }
  meter.finish();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  log(
    "info",
    `${manifest.model.name} was loaded in ${seconds} s: ${files.bytes.fetched} bytes were fetched, ` +
      `${files.bytes.kept} were kept in this browser`,
  );
  return pipeline;
}
