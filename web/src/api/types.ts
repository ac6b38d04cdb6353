/** Types of the public API: what is given to a pipeline, and what it returns. */

import type { FetchOptions, LogOptions, WorkerOptions } from "./load_options";
import type {
  Fit,
  GenerateOptions,
  OutputName,
  OutputTypes,
  PictureOptions,
  Posterior,
  Prompt,
  PromptOptions,
} from "./options";
import type { OnProgress } from "./progress";
import type { TuneReport, Tuning } from "./tuning";
import type { Settings } from "../settings/infotext";
import type { Seed } from "../settings/seed";
import type { DiffusionSettings } from "../util/settings_schema.generated";

/** Called with a sentence for the user when the pipeline recovered from a problem. */
export type OnNotice = (notice: string) => void;

/** The digest that a text file of a bundle must have. */
export interface IntegrityOptions {
  /**
   * Digest of the list of models or the manifest, for example `sha384-…` as the bundle's SRI.json
   * has it. The file is then refused if it is another one, and with a manifest every file that it
   * names. Without it, whoever controls the server or the browser's cache decides what is drawn.
   */
  integrity?: string | undefined;
}

/** What happens to a call while another one is under way: it waits, or it is refused. */
export type Concurrency = "queue" | "refuse";

/** How a model is loaded. */
export interface LoadOptions extends IntegrityOptions, FetchOptions, WorkerOptions, LogOptions {
  /**
   * Keep the parameters of only one stage on the GPU at a time: text encoders, then denoiser,
   * then decoder. It takes less memory, and more time, because each picture loads them anew.
   */
  offload?: boolean | undefined;
  /**
   * Decode pictures in overlapping tiles. The decoder needs the most memory of all stages, and
   * less of it this way; decoding takes longer, and the picture is not quite the same.
   */
  tiling?: boolean | undefined;
  /**
   * Settings of all pictures as one object, `inference.diffusion`: among others the size of tiles and
   * how far they overlap, and which stages leave the GPU. `offload` and `tiling` win over it, and so do
   * the options of a call. `settings()` shows what comes out.
   */
  settings?: DiffusionSettings | undefined;
  /**
   * Check finished pictures, unless the option of the same name of `generate` says otherwise; false
   * unless given. The safety checker is fetched with the model, or with `offload` when it is needed.
   */
  safetyChecker?: boolean | undefined;
  /**
   * Whether the third text encoder (T5 of Stable Diffusion 3.5) is loaded. `false` fetches nothing of it,
   * and gives the denoiser zeros in place of its states, as `text_encoder_3=None` of diffusers: it takes
   * far less memory, and long prompts are followed less closely. It has no effect on models without
   * one. With `true`, a bundle without it is refused. It is loaded if there is one unless given.
   */
  textEncoder3?: boolean | undefined;
  /**
   * Which kernels run, for tests and measurements: `auto`, the fastest that the GPU can run;
   * `generated`, the library's own, which TVM generated; or names of variants, separated by commas, which
   * run wherever the GPU can run them.
   */
  kernels?: string | undefined;
  /**
   * Names of the bundle's selection rules that do not count, separated by commas; for support cases. A rule
   * refuses a kernel variant or a precision on some GPUs, so that ignoring it can only allow more:
   * what then runs may be slow, wrong, or refused by the GPU. Names that no rule has are refused.
   */
  ignoredRules?: string | undefined;
  /** Keep downloaded files in the browser; they are checked again when read. True by default. */
  cache?: boolean | undefined;
  /**
   * What happens to a call while another one is under way: `queue`, it waits for its turn, which
   * is the default; `refuse`, it rejects with a BusyError.
   */
  concurrency?: Concurrency | undefined;
  /**
   * When the model is tuned on the visitor's GPU without being asked to: `idle`, in slices of about a second
   * after the first picture, while no call is under way and the page is seen; or `off`, never, unless
   * given. A call stops it; what was found is kept as that of `tune` is. Nothing is done on adapters
   * that compute on the processor, and for stages that do not stay on the GPU.
   */
  tune?: Tuning | undefined;
  /** Called after each slice of such a tuning with what is known by then. */
  onTuned?: ((report: TuneReport) => void) | undefined;
  /** Called with a sentence for the user when the pipeline recovered from a problem. */
  onNotice?: OnNotice | undefined;
  /** Cancels loading; files that have arrived are kept. */
  signal?: AbortSignal | undefined;
  /** Called with the progress of loading; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
}

/** Options of one request that concern its caller. */
export interface DrawOptions<Output extends OutputName = "imageData"> extends GenerateOptions {
  /** What the pictures are given as: `imageData` unless given. */
  output?: Output | undefined;
  /** Called with the progress of drawing; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call, before it starts or between any two steps. */
  signal?: AbortSignal | undefined;
}

/** Options of encoding a picture. */
export interface EncodeImageOptions extends Pick<PictureOptions, "fit"> {
  /** Pixels; a size that the model was compiled for. Without them, the one nearest to the picture. */
  width?: number | undefined;
  /** Pixels. */
  height?: number | undefined;
  /**
   * How latents are taken from the distribution that the encoder gives: its mean, as `mode` of
   * diffusers' `latent_dist`, or a `sample`, as diffusers' pipelines take it; `mode` unless given. A
   * tiny autoencoder's encoder gives no distribution, and both are its latents.
   */
  posterior?: Posterior | undefined;
  /** Seed of the sample; goes with a `posterior` of `sample`. */
  seed?: Seed | undefined;
  /** Called with the progress of the call; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/** The latents of a picture. */
export interface EncodedImage {
  /** Scaled as denoising takes them: float32, (1, channels, height / factor, width / factor). */
  latents: Float32Array;
  /** Width and height of the picture that was encoded. */
  size: PictureSize;
  /** The picture that was encoded: the given one, fitted. */
  image: ImageData;
}

/** Options of encoding prompts. */
export interface EncodeOptions extends PromptOptions {
  /** The negative prompt, or one for each prompt; without it, what the model takes for none. */
  negativePrompt?: Prompt | undefined;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/** Options of counting the tokens of a prompt. */
export interface CountOptions extends Pick<PromptOptions, "promptSyntax"> {
  /** What the second text encoder reads; the prompt unless given, or empty. */
  prompt2?: string | undefined;
  /** What the third text encoder reads; the prompt unless given, or empty. */
  prompt3?: string | undefined;
  /** Whether it is a negative prompt, in which `AND` is a word; false unless given. */
  negative?: boolean | undefined;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/** How many tokens a prompt has for one text encoder. */
export interface TokenCount {
  /** The text encoder's component. */
  encoder: string;
  /** Tokens of the text, without those that begin and end it. */
  tokens: number;
  /** How many the encoder takes; what is beyond is cut. */
  limit: number;
  /** The words that are cut, in small letters as the tokenizer has them; empty if all fits. */
  cut: string;
}

/** How long the stages of one request took, in milliseconds. */
export interface Timings {
  /** Encoding the pictures that are given; absent if there are none. */
  encode?: number;
  /** Encoding the prompts. */
  text: number;
  /** All steps of all pictures. */
  denoise: number;
  /** From the start to the first preview; null if there was none. */
  firstPreview: number | null;
  /** Decoding all pictures. */
  decode: number;
  /** Checking all pictures; absent if they were not checked. */
  safety?: number;
  /** The whole request. */
  total: number;
}

/** Width and height of a picture in pixels. */
export type PictureSize = readonly [width: number, height: number];

/** A rectangle of a picture, in its pixels. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** What became of the picture that was given to draw from. */
export interface PictureReport {
  /** Width and height of the picture, upright, and with what was added at its sides. */
  givenSize: PictureSize;
  /** Width and height that were drawn. */
  size: PictureSize;
  /** How it was fitted; `none` if it had that size, and `onlyMasked` if a part of it was drawn. */
  fit: Fit | "none" | "onlyMasked";
  /** The part of the given picture that was drawn from; it may end between two pixels. */
  from: Rectangle;
  /** Where that part lies in the picture of the drawn size. */
  to: Rectangle;
  /** How many of the steps were left out at the beginning, and how many were run. */
  startStep: number;
  runSteps: number;
  /** The picture before, in the size of the result's pictures. */
  before: ImageData;
}

/**
 * What the safety checker says of a picture, as diffusers' `StableDiffusionSafetyChecker`. A score
 * is how near the picture is to a concept, less the concept's threshold, rounded to three digits: the
 * concept is found where it is above 0. The concepts have numbers and no names.
 */
export interface SafetyReport {
  /** Whether one of the concepts is found. */
  flagged: boolean;
  /** Numbers of the concepts that are found, from 0. */
  concepts: number[];
  /** Score of each concept. */
  conceptScores: number[];
  /** Score of each concept of special care, which makes the checker stricter where it is found. */
  specialScores: number[];
}

/** The pictures of one request, and what is known of them. */
export interface GenerationResult<Picture = ImageData | Blob> {
  /** The first picture. */
  image: Picture;
  /** All pictures, those of the first prompt first. */
  images: Picture[];
  /** The final latents: float32, (images, channels, height / factor, width / factor). */
  latents: Float32Array;
  timings: Timings;
  /** The options that the first picture was drawn with, defaults and the seed filled in. */
  settings: Settings;
  /** Those of each picture. */
  imageSettings: Settings[];
  /** What became of the picture that was given; absent if there was none. */
  picture?: PictureReport;
  /**
   * What the safety checker says of each picture; absent if they were not checked. The pictures are
   * as they were drawn: whoever shows them decides what becomes of those that are flagged.
   */
  safety?: SafetyReport[];
}

/**
 * What one request gives. It can be posted to a worker, cloned and stored; the copy has no `toBlob`.
 *
 * @example
 * ```ts
 * const result = await pipe.generate(["a star", "a moon"], { numImages: 2 });
 * console.log(result.settings.seed); // a random one, because none was given
 * await fetch("/pictures", { method: "POST", body: await result.toBlob(3) });
 * ```
 */
export interface Generated<Output extends OutputName = "imageData"> extends GenerationResult<
  OutputTypes[Output]
> {
  /**
   * Make a PNG file of a picture that carries its settings; `readSettings` reads them.
   *
   * @param index the picture's place in `images`; the first unless given.
   * @throws OptionError if there is no such picture.
   */
  toBlob: (index?: number) => Promise<Blob>;
}

/**
 * What loading took, in milliseconds. `start` comes first; then weights arrive while pipelines are
 * compiled. The last five are sums: several files are worked on at the same time.
 */
export interface LoadTimes {
  /** The manifest, the GPU, the compiled library, the tokenizers: all before the weights. */
  start: number;
  /** From then until all weights were on the GPU, and kept in the browser. */
  weights: number;
  /** From then until all pipelines were compiled. */
  pipelines: number;
  /** Fetching files from the server. */
  fetch: number;
  /** Reading files that the browser kept. */
  read: number;
  /** Computing digests. */
  hash: number;
  /** Writing fetched files to what the browser keeps. */
  write: number;
  /** Handing weights to the GPU: time of the worker's own thread. */
  upload: number;
}

/** What the pipeline holds; none of it grows from one picture to the next. */
export interface Usage {
  /** Bytes in GPU buffers now. */
  gpuBytes: number;
  /** The most bytes in GPU buffers at any time. */
  peakGpuBytes: number;
  /** GPU buffers now. */
  gpuBuffers: number;
  /** Kernels whose pipelines are compiled. */
  pipelines: number;
  /** How many of them run each kernel variant; `generated` counts those that TVM generated. */
  variants: Record<string, number>;
  /** JavaScript functions that WebAssembly refers to. */
  callbacks: number;
  /** Bytes of WebAssembly memory. */
  wasmBytes: number;
}

/** What the self-test found of one stage. */
export interface StageReport {
  /** Name of the compiled function. */
  stage: string;
  /** The largest relative error of its outputs; infinite if one of them is not finite. */
  error: number;
  /** The largest relative error that is accepted. */
  limit: number;
  /** Whether a second call gave the same bits. */
  repeats: boolean;
  /** Time of the second call, its outputs read back. */
  milliseconds: number;
  /** Whether the error is within the limit and the call repeats. */
  good: boolean;
  /** How many of its kernels ran each variant; `generated` counts those that TVM generated. */
  variants: Record<string, number>;
}
