/** A pipeline that runs in a worker of its own. */

import * as Comlink from "comlink";

import type { Manifest } from "../bundle/manifest";
import { resolvePrompts } from "../pipeline/generation_request";
import { fitForEncoding, picturesOf } from "../pipeline/picture_options";
import { prepareSettled, settleSettings } from "../pipeline/settled_request";
import type { Inversion } from "../pipeline/inversion";
import { requireEncoder } from "../bundle/manifest";
import type { MergedSettings } from "../bundle/inference_settings";
import { noSuchLora } from "../settings/lora_tags";
import { untilAborted } from "../util/concurrency";
import { AbortError, OptionError, throwIfAborted } from "../util/errors";
import {
  CALLER_CHECKS,
  COUNT_CHECKS,
  ENCODE_CHECKS,
  ENCODE_IMAGE_CHECKS,
  GENERATE_CHECKS,
  INVERSION_CHECKS,
  LOAD_CHECKS,
  requireOptions,
  requireSignal,
  requireString,
  requireTuning,
  TUNE_CHECKS,
} from "../util/option_checks";
import { checkSettings } from "../util/schema_check";
import type { LoadedModel } from "../worker/worker_pipeline";
import { explainAddress, manifestAddress } from "./addresses";
import { CallQueue } from "./call_queue";
import { checkEnvironment } from "./environment";
import { makeGenerated } from "./generated";
import { IdleTuning } from "./idle_tuning";
import { purge } from "./kept_models";
import type { InversionOptions, LoadedInversion } from "./inversion";
import type { LoadedLora, LoraOptions, LoraSource } from "./lora";
import { checkLoraOptions, checkScales, sentSource } from "./lora_calls";
import type { GenerateOptions, ImageInput, OutputName, Prompt, PromptEmbeddings } from "./options";
import type { FetchOptions } from "./load_options";
import { logNotice, noticeOf, PipelineWorker, reporting } from "./pipeline_worker";
import type { RemotePipeline } from "./pipeline_worker";
import { CallProgress, LOADING_SHARE } from "./progress";
import type { OnProgress } from "./progress";
import type { TuneOptions, TuneReport, Tuning } from "./tuning";
import type {
  CountOptions,
  DrawOptions,
  EncodedImage,
  EncodeImageOptions,
  EncodeOptions,
  Generated,
  LoadOptions,
  LoadTimes,
  OnNotice,
  StageReport,
  TokenCount,
  Usage,
} from "./types";

declare global {
  // Types without this symbol (`lib` older than ESNext.Disposable) can be used with the class too.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** Browsers older than `await using` have no such symbol; esbuild's helper uses this one. */
const asyncDispose: typeof Symbol.asyncDispose =
  (Symbol as Partial<SymbolConstructor>).asyncDispose ??
  (Symbol.for("Symbol.asyncDispose") as never);

/** A LoRA that is loaded, and where it came from: an address, or the file. */
interface KeptLora {
  loaded: LoadedLora;
  source: string | Blob;
}

/** Work of a call in the worker; it gets the number, the reports and the signal of the call. */
type Work<Result> = (
  remote: RemotePipeline,
  call: number,
  report: OnProgress,
  cancelled: AbortSignal,
) => Promise<Result>;

const ignore = (): void => undefined;

/** Options of calls that can be followed and cancelled. */
export interface CallOptions {
  /** Called with the progress of the call; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/**
 * A loaded model that draws pictures. All computing is done in a worker and on the GPU.
 *
 * Calls run one after another in their order; with `concurrency: "refuse"` a call is refused while
 * another one is under way. The signal of a call cancels that call alone.
 *
 * @example
 * const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json");
 * const { image } = await pipe.generate("a red circle", { seed: 7 });
 * canvas.getContext("2d")!.putImageData(image, 0, 0);
 * await pipe.unload();
 */
export class StableDiffusionPipeline {
  readonly manifest: Manifest;
  /** Vendor, architecture and description of the GPU. */
  readonly adapter: Record<string, string>;
  /** What loading took, when `fromPretrained` loaded it. */
  readonly loadTimes: LoadTimes;
  readonly #url: string;
  readonly #options: LoadOptions;
  readonly #calls: CallQueue;
  #worker: PipelineWorker;
  /** Loading the model again, while that is done. */
  #reload: Promise<void> | undefined;
  /** The LoRAs that are loaded, in the order in which they are applied. */
  #loras: readonly KeptLora[] = [];
  /** The textual inversions that are loaded; the worker gets them with each request. */
  #inversions: readonly Inversion[] = [];
  /** Called with the progress of the reload: that of the call that waits for it. */
  #onReload: OnProgress = () => undefined;
  #unloading: Promise<void> | undefined;
  /** Tunes the model while nobody calls it, if that is wished. */
  readonly #idle: IdleTuning;

  private constructor(
    url: string,
    options: LoadOptions,
    worker: PipelineWorker,
    { manifest, adapter, loadTimes }: LoadedModel,
  ) {
    this.manifest = manifest;
    this.adapter = adapter;
    this.loadTimes = loadTimes;
    this.#url = url;
    this.#options = options;
    this.#worker = worker;
    this.#calls = new CallQueue(options.concurrency ?? "queue");
    this.#idle = new IdleTuning((signal) => this.#tuneSlice(signal), options.tune === "idle");
  }

  /**
   * The worker's methods.
   * @internal
   */
  get remote(): RemotePipeline {
    return this.#worker.remote;
  }

  /**
   * Fetch, check and start a model.
   *
   * @param manifestUrl address of its manifest.json, or of its folder, or of a deployment's
   *   stable-diffusion-config.json, whose first model it is.
   * @throws UnsupportedError if the browser or its GPU lacks something that the model needs.
   * @throws FetchError or IntegrityError if a file cannot be fetched, or is damaged.
   * @throws OutOfMemoryError if the GPU has no room even for one stage at a time.
   * @throws OptionError if an option is not known or of another type.
   * @throws AbortError, or the signal's reason, if the signal is aborted.
   */
  static async fromPretrained(
    manifestUrl: string | URL,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    checkEnvironment();
    const given = requireOptions("fromPretrained", options, LOAD_CHECKS);
    checkSettings(given.settings);
    const url = manifestAddress(manifestUrl, given);
    const { signal } = given;
    throwIfAborted(signal);
    const worker = PipelineWorker.start(given);
    const onProgress: OnProgress = (event) => {
      // The worker may report more until it has ended.
      if (!signal?.aborted) given.onProgress?.(event);
    };
    let loaded: LoadedModel | undefined;
    const { onNotice: notify = logNotice } = given;
    const onNotice: OnNotice = (notice) => {
      // The signal is that of loading; the loaded model has notices too.
      if (loaded !== undefined || !signal?.aborted) notify(notice);
    };
    try {
      loaded = await untilAborted(worker.load(url, { ...given, onProgress, onNotice }), signal);
    } catch (error) {
      throw explainAddress(error, manifestUrl, url);
    }
    return new StableDiffusionPipeline(url, given, worker, loaded);
  }

  /**
   * Draw one or several pictures; the same seed gives the same picture as diffusers on a CPU.
   *
   * @param prompt a text, a list of texts, or null where embeddings are given.
   * @throws OptionError if an option is not known or out of range, or a picture cannot be read.
   * @throws UnsupportedError if the GPU has no buffers for the size, or the model has no encoder for
   *   the picture that is given.
   * @throws OutOfMemoryError if the GPU has no room even for one stage at a time.
   * @throws DeviceLostError if the GPU is lost; the next call loads the model again.
   * @throws BusyError if calls are refused while another one is under way.
   * @throws AbortError, or the signal's reason, if the signal is aborted; AbortError too if the
   *   pipeline is unloaded meanwhile.
   * @throws UnloadedError if the pipeline was unloaded before.
   *
   * @example
   * Several prompts, given up after a minute:
   *
   * ```ts
   * const { images } = await pipe.generate(["a star", "a moon"], {
   *   negativePrompt: "blue",
   *   signal: AbortSignal.timeout(60_000), // or that of an AbortController, for a button
   *   onProgress: ({ overall }) => (progress.value = overall),
   * });
   * ```
   */
  async generate<Output extends OutputName = "imageData">(
    prompt: Prompt | null | undefined,
    options: DrawOptions<Output> = {},
  ): Promise<Generated<Output>> {
    const { safetyChecker } = this.#options;
    const caller = { safetyChecker, ...requireOptions("generate", options, GENERATE_CHECKS) };
    checkSettings(caller.settings);
    const prepared = prepareSettled(this.manifest, prompt, caller, this.#options);
    // Those that are loaded when the call is made, and not when its turn comes.
    const inversions = this.#inversions;
    const result = await this.#callWithPicture(prepared, caller, async (remote, call, report) => {
      const { request: resolved } = await prepared;
      const request = { ...resolved, inversions };
      const sent = Comlink.transfer(request, picturesOf(request));
      const drawn = await remote.generate(call, sent, report);
      this.#idle.armed = true;
      return drawn;
    });
    const { report } = await prepared;
    const picture = report === undefined ? {} : { picture: report };
    return makeGenerated({ ...result, ...picture }, caller.output ?? ("imageData" as Output));
  }

  /**
   * Encode prompts, to draw with them later or to mix them.
   *
   * @returns the options of `generate` that stand for the prompts; the prompt is null then.
   * @throws what `generate` throws.
   *
   * @example
   * A picture half-way between two prompts:
   *
   * ```ts
   * const [day, night] = [await pipe.encodePrompt("day"), await pipe.encodePrompt("night")];
   * const promptEmbeds = day.promptEmbeds!.map((value, at) => (value + night.promptEmbeds![at]!) / 2);
   * await pipe.generate(null, { ...day, promptEmbeds, seed: 7 });
   * ```
   */
  async encodePrompt(prompt: Prompt, options: EncodeOptions = {}): Promise<PromptEmbeddings> {
    const { signal, ...given } = requireOptions("encodePrompt", options, ENCODE_CHECKS);
    // There are no embeddings in place of the prompts.
    const resolved = resolvePrompts(this.manifest, prompt, given);
    const { prompts, negativePrompts, prompts2, negativePrompts2, promptSyntax, clipSkip } =
      resolved;
    const { prompts3, negativePrompts3 } = resolved;
    const inversions = this.#inversions;
    const texts = {
      prompts,
      negativePrompts,
      prompts2,
      negativePrompts2,
      prompts3,
      negativePrompts3,
      promptSyntax,
      inversions,
      clipSkip,
    };
    return this.#call({ signal }, (remote, call) => remote.encodePrompt(call, texts));
  }

  /**
   * Count a prompt's tokens for each text encoder, and name the words that are cut. It waits for no
   * other call.
   *
   * @throws OptionError for a prompt that cannot be read in its syntax, or an option that is wrong.
   * @throws UnloadedError if the pipeline was unloaded before.
   * @throws AbortError, or the signal's reason, if the signal is aborted.
   *
   * @example
   * ```ts
   * const [{ tokens, limit, cut }] = await pipe.countTokens("a (red:1.2) circle", {
   *   promptSyntax: "a1111",
   * });
   * ```
   */
  async countTokens(prompt: string, options: CountOptions = {}): Promise<TokenCount[]> {
    const caller = requireOptions("countTokens", options, COUNT_CHECKS);
    requireString("prompt", prompt);
    const { promptSyntax = "plain", prompt2, prompt3, negative = false, signal } = caller;
    const texts = negative
      ? { negativePrompt: prompt, negativePrompt2: prompt2, negativePrompt3: prompt3 }
      : { prompt2, prompt3 };
    // The errors that drawing with it would have.
    resolvePrompts(this.manifest, negative ? "" : prompt, { ...texts, promptSyntax });
    const inversions = this.#inversions;
    const words = {
      text: prompt,
      text2: prompt2,
      text3: prompt3,
      syntax: promptSyntax,
      inversions,
    };
    return this.#calls.beside(signal, async (cancelled) => {
      const worker = await this.#ready(() => undefined, cancelled);
      return worker.run(cancelled, (remote, call) => remote.countTokens(call, words));
    });
  }

  /**
   * Encode a picture to the latents that denoising takes.
   *
   * @throws OptionError if the picture cannot be read, or an option is out of range.
   * @throws UnsupportedError if the model has no encoder for pictures.
   * @throws what `generate` throws, else.
   *
   * @example
   * ```ts
   * const { latents, size } = await pipe.encodeImage(file); // the mean of what the encoder gives
   * const sample = await pipe.encodeImage(file, { posterior: "sample", seed: 7 });
   * ```
   */
  async encodeImage(image: ImageInput, options: EncodeImageOptions = {}): Promise<EncodedImage> {
    const caller = requireOptions("encodeImage", options, ENCODE_IMAGE_CHECKS);
    requireEncoder(this.manifest);
    const { posterior = "mode", seed } = caller;
    if ((posterior === "sample") !== (seed !== undefined)) {
      throw seed === undefined
        ? new OptionError("posterior is sample, and there is no seed", "give the sample's seed")
        : new OptionError("seed is given without a sample", 'give posterior: "sample" too');
    }
    const fitted = fitForEncoding(this.manifest, image, caller);
    const latents = await this.#callWithPicture(fitted, caller, async (remote, call, report) => {
      const { image, size } = await fitted;
      return remote.encodePicture(call, image.data, size, posterior, seed ?? 0, report);
    });
    return { latents, ...(await fitted) };
  }

  /**
   * Return all settings of a picture: the manifest's, those that the model was loaded with, and those of
   * a call, merged in this order, with the memory that is planned for them. Nothing is drawn.
   *
   * @param options of a call of `generate`; its plain options win over its `settings`.
   * @throws OptionError with the path of the first setting that the model cannot have.
   *
   * @example
   * ```ts
   * const { diffusion, sources, peakBytes } = pipe.settings({ numInferenceSteps: 8 });
   * console.log(diffusion.scheduler.numSteps, sources["scheduler.numSteps"]); // 8 call
   * ```
   */
  settings(options: GenerateOptions = {}): MergedSettings {
    const given = requireOptions("settings", options, GENERATE_CHECKS);
    checkSettings(given.settings);
    return settleSettings(this.manifest, this.#options, given);
  }

  /** The LoRAs that are loaded, in the order in which they are applied. */
  get loras(): readonly LoadedLora[] {
    return this.#loras.map(({ loaded }) => ({ ...loaded }));
  }

  /**
   * Load a LoRA and apply it, in addition to those that are applied already. The weights are changed on
   * the GPU, from what the model's files have, so that unloading it gives the first pictures again.
   *
   * Files of kohya's programs, diffusers, PEFT, LyCORIS (LoHa, LoKr) and ComfyUI are read, DoRA
   * included. Every tensor of a file is applied, or the file is refused.
   *
   * @param source a .safetensors file, its address, or the address of an adapter.json of `wsd lora`.
   * @returns what is known of it. Its name is the given one, or else that of its file, with a number
   *   if another LoRA has that.
   * @throws LoraError if the file is damaged or belongs to another family of models, or a LoRA of the
   *   given name is loaded; the model is then as it was.
   * @throws FetchError or IntegrityError if the file cannot be fetched, or is another one.
   * @throws what `generate` throws, else.
   *
   * @example
   * ```ts
   * const { name } = await pipe.loadLora("loras/pixel-art.safetensors", { scale: 0.8 });
   * const { image } = await pipe.generate("a fox, pixel art", { seed: 7 });
   * await pipe.setAdapters({ [name]: 0.4 });
   * await pipe.unloadLora(name);
   * ```
   */
  async loadLora(source: LoraSource, options: LoraOptions = {}): Promise<LoadedLora> {
    const caller = checkLoraOptions(options);
    const sent = sentSource(source, this.#options);
    const { name, scale, sha256 } = caller;
    const loaded = await this.#call(
      caller,
      this.#changing(sent, (remote, call, report) =>
        remote.loadLora(call, sent, { name, scale, sha256 }, report),
      ),
    );
    return loaded.at(-1)!;
  }

  /**
   * Set the scales of LoRAs. As with diffusers' `set_adapters`, those that are not named are applied no
   * more; they stay loaded, with the scale 0.
   *
   * @param scales name → factor on what the LoRA adds to the weights.
   * @throws OptionError if no LoRA of a name is loaded.
   * @throws what `generate` throws, else.
   */
  async setAdapters(
    scales: Readonly<Record<string, number>>,
    options: CallOptions = {},
  ): Promise<void> {
    const caller = requireOptions("setAdapters", options, CALLER_CHECKS);
    const checked = checkScales(scales);
    await this.#call(
      caller,
      this.#changing(undefined, (remote, call, report) =>
        remote.setAdapters(call, checked, report),
      ),
    );
  }

  /**
   * Remove a LoRA; without any, the weights are those of the model's files again. Where the worker had to
   * be ended, the model is not loaded again for that.
   *
   * @param name the LoRA's; without it, all of them are removed.
   * @throws OptionError if no LoRA of this name is loaded.
   * @throws what `generate` throws, else.
   */
  async unloadLora(name?: string, options: CallOptions = {}): Promise<void> {
    const caller = requireOptions("unloadLora", options, CALLER_CHECKS);
    const given = name ?? undefined;
    if (given !== undefined) requireString("name", given);
    const unload = this.#changing(undefined, (remote, call, report) =>
      remote.unloadLora(call, given, report),
    );
    await this.#inTurn(caller, async (run, cancelled) => {
      // Loading the model again may fail at the very LoRA that is to go. That goes without a worker.
      await untilAborted(Promise.resolve(this.#reload).catch(ignore), cancelled);
      if (this.#worker.ended) this.#forgetLora(given);
      else await run(unload);
    });
  }

  /** The textual inversions that are loaded. */
  get textualInversions(): readonly LoadedInversion[] {
    return this.#inversions.map(({ token, count, sha256 }) => ({ token, vectors: count, sha256 }));
  }

  /**
   * Load a textual inversion: a word for which learned vectors stand in prompts and negative prompts.
   * The model's files and functions stay as they are.
   *
   * @param source a .safetensors file of SD 1.5 or SDXL, or its address.
   * @throws LoraError if the file is damaged, is no textual inversion, or belongs to another family.
   * @throws OptionError if a textual inversion of its word is loaded, or an option is wrong.
   * @throws FetchError or IntegrityError if the file cannot be fetched, or is another one.
   * @throws what `generate` throws, else.
   *
   * @example
   * ```ts
   * const { token } = await pipe.loadTextualInversion(file, { token: "<my-cat>" });
   * const { image } = await pipe.generate(`a ${token} on a table`, { seed: 7 });
   * pipe.unloadTextualInversion(token);
   * ```
   */
  async loadTextualInversion(
    source: string | URL | Blob,
    options: InversionOptions = {},
  ): Promise<LoadedInversion> {
    const caller = requireOptions("loadTextualInversion", options, INVERSION_CHECKS);
    const sent = sentSource(source, this.#options);
    const { token, sha256 } = caller;
    const read = await this.#call(caller, (remote, call, report) =>
      remote.readInversion(call, sent, { token, sha256 }, report),
    );
    INVERSION_CHECKS.token!("token", read.token);
    if (this.#findInversion(read.token) !== undefined) {
      throw new OptionError(
        `a textual inversion of the word ${JSON.stringify(read.token)} is loaded already`,
        "give this one another token, or unload the other one first",
      );
    }
    this.#inversions = [...this.#inversions, read];
    return { token: read.token, vectors: read.count, sha256: read.sha256 };
  }

  /**
   * Forget a textual inversion by its word, or all of them. Calls that wait already still know it.
   *
   * @throws OptionError if there is none of this word.
   */
  unloadTextualInversion(word?: string): void {
    if (word === undefined) {
      this.#inversions = [];
      return;
    }
    requireString("word", word);
    const found = this.#findInversion(word);
    if (found === undefined) {
      throw new OptionError(
        `no textual inversion of the word ${JSON.stringify(word.slice(0, 100))} is loaded`,
        `loaded: ${this.#inversions.map((each) => each.token).join(", ") || "none"}`,
      );
    }
    this.#inversions = this.#inversions.filter((each) => each !== found);
  }

  /** Words are found in capital and small letters, so two that differ in those are the same. */
  #findInversion(token: string): Inversion | undefined {
    const plain = (text: string): string => text.normalize("NFC").toLowerCase();
    return this.#inversions.find((each) => plain(each.token) === plain(token));
  }

  /**
   * Run each stage on fixed inputs and compare its outputs with PyTorch's. Every file was
   * checked before, so a stage that is not good is the fault of the GPU or its driver.
   *
   * @throws OptionError if the model was built without expected values (`wsd expect`).
   * @throws what `generate` throws, else.
   */
  async selfTest(options: CallOptions = {}): Promise<StageReport[]> {
    const caller = requireOptions("selfTest", options, CALLER_CHECKS);
    return this.#call(caller, (remote, call, report) => remote.selfTest(call, report));
  }

  /**
   * Time what may run in the kernels of the model on this GPU, and have the fastest run from now on.
   * Nothing becomes slower: a variant takes the place of another one only if it is faster by 3 % at least,
   * and only if the whole function is. The browser keeps what was found for this GPU, and a model that is
   * loaded again runs it, unless the option `kernels` names others.
   *
   * The kernels of the functions that were compiled are timed: those that the model was loaded with, and
   * those that drew since. Pictures stay the same within the limits that all variants keep.
   *
   * @throws OptionError if an option is not known or out of range.
   * @throws what `generate` throws, else.
   *
   * @example
   * ```ts
   * const { gain, changed, complete } = await pipe.tune({ seconds: 5 });
   * console.log(`${changed} kernels are others now, which draw ${gain.toFixed(2)} times as fast`);
   * if (!complete) await pipe.tune({ seconds: 30 }); // goes on where the first call ended
   * ```
   */
  async tune(options: TuneOptions = {}): Promise<TuneReport> {
    const { seconds, again, ...caller } = requireOptions("tune", options, TUNE_CHECKS);
    return this.#call(caller, (remote, call, report) =>
      remote.tune(call, { seconds, again }, report),
    );
  }

  /**
   * Begin or end tuning while nobody calls the model, as the load option `tune` does.
   *
   * @throws OptionError if it is neither `idle` nor `off`.
   */
  setTuning(when: Tuning): void {
    requireTuning("when", when);
    this.#idle.enabled = when === "idle";
  }

  /**
   * Count what the pipeline holds now, and the most GPU memory that it ever took. It waits for the
   * calls before it.
   */
  async usage(options: Pick<CallOptions, "signal"> = {}): Promise<Usage> {
    const caller = requireOptions("usage", options, { signal: requireSignal });
    return this.#call(caller, (remote, call) => remote.usage(call));
  }

  /**
   * Remove what the browser keeps of a model, except files that another kept model shares.
   *
   * @throws FetchError if the manifest is neither kept nor fetched.
   */
  static async purge(manifestUrl: string | URL, options: FetchOptions = {}): Promise<void> {
    await purge(manifestUrl, options);
  }

  /**
   * Release the GPU and end the worker. Calls that run or wait reject with an AbortError, and later
   * ones with an UnloadedError. To call it again does nothing more.
   */
  async unload(): Promise<void> {
    this.#calls.close(
      new AbortError("cancelled, because the pipeline was unloaded", "load the model again"),
    );
    this.#idle.enabled = false;
    this.#unloading ??= this.#worker.unload();
    return this.#unloading;
  }

  /** The same as {@link unload}, for `await using`. */
  async [asyncDispose](): Promise<void> {
    return this.unload();
  }

  /**
   * Make work that changes the LoRAs, and remembers those that are loaded then: another worker loads
   * them again. Where the call was cancelled when all was done, it is undone.
   *
   * @param source of the one that is added.
   */
  #changing(source: string | Blob | undefined, work: Work<LoadedLora[]>): Work<LoadedLora[]> {
    return async (remote, call, report, cancelled) => {
      const loaded = await work(remote, call, report, cancelled);
      if (cancelled.aborted) {
        await this.#undoLoras();
        throwIfAborted(cancelled);
      }
      const sources = new Map(this.#loras.map((lora) => [lora.loaded.name, lora.source]));
      this.#loras = loaded.map((each) => {
        return { loaded: each, source: sources.get(each.name) ?? source! };
      });
      return loaded;
    };
  }

  async #undoLoras(): Promise<void> {
    const worker = this.#worker;
    try {
      await worker.run(undefined, (remote, call) => remote.undoLoras(call));
    } catch (error) {
      // Another one has those that are remembered.
      worker.end(error);
    }
  }

  /** Forget a LoRA, or all of them, where there is no worker that has it. */
  #forgetLora(name: string | undefined): void {
    const isGone = ({ loaded }: KeptLora): boolean => name === undefined || loaded.name === name;
    if (name !== undefined && !this.#loras.some(isGone)) throw noSuchLora(name, this.loras);
    this.#loras = this.#loras.filter((lora) => !isGone(lora));
  }

  /**
   * Do a call's work when its turn has come and its pictures are decoded.
   *
   * @param prepared rejects where they cannot be drawn from. That ends the call at once, and not
   *   when its turn comes.
   */
  async #callWithPicture<Result>(
    prepared: unknown,
    caller: CallOptions,
    work: Work<Result>,
  ): Promise<Result> {
    if (!(prepared instanceof Promise)) return this.#call(caller, work);
    const unusable = new AbortController();
    prepared.catch((error: unknown) => unusable.abort(error));
    const signals = [unusable.signal, ...(caller.signal === undefined ? [] : [caller.signal])];
    return this.#call({ ...caller, signal: AbortSignal.any(signals) }, work);
  }

  /** Do a call's work in the worker when its turn has come. */
  async #call<Result>(caller: CallOptions, work: Work<Result>): Promise<Result> {
    return this.#inTurn(caller, (run) => run(work));
  }

  /**
   * Do something when a call's turn has come.
   *
   * @param turn gets what does work in the worker, and the signal that cancels the call.
   */
  async #inTurn<Result>(
    { onProgress, signal }: CallOptions,
    turn: (
      run: <Found>(work: Work<Found>) => Promise<Found>,
      cancelled: AbortSignal,
    ) => Promise<Result>,
  ): Promise<Result> {
    let settled = false;
    const progress = new CallProgress((event) => {
      // The worker may report a step after the call was cancelled.
      if (!settled) onProgress?.(event);
    });
    const stopped = this.#idle.begin();
    try {
      return await this.#calls.run(signal, async (cancelled) => {
        await stopped;
        throwIfAborted(cancelled); // the model may have been unloaded meanwhile
        return turn(async (work) => {
          const worker = await this.#ready(progress.phase(LOADING_SHARE), cancelled);
          const report = Comlink.proxy(reporting(progress.phase()));
          return worker.run(cancelled, (remote, call) => work(remote, call, report, cancelled));
        }, cancelled);
      });
    } finally {
      settled = true;
      this.#idle.end();
    }
  }

  /** Tune for about a second; returns whether nothing is left to do until a call compiles more. */
  async #tuneSlice(signal: AbortSignal): Promise<boolean> {
    // A call that was cancelled may not have ended in the worker.
    await this.#calls.settled;
    throwIfAborted(signal);
    // A call loads the model again, and not this.
    if (this.#worker.ended || this.#reload !== undefined) return true;
    const report = await this.#worker.run(signal, (remote, call) => remote.tuneSlice(call));
    reporting(this.#options.onTuned)(report);
    return report.complete;
  }

  /**
   * Return the worker; if the last one had to be ended, one in which the model is loaded again. A
   * call that is cancelled meanwhile leaves the reload to the next one.
   */
  async #ready(onProgress: OnProgress, signal: AbortSignal): Promise<PipelineWorker> {
    if (this.#reload === undefined && !this.#worker.ended) return this.#worker;
    this.#onReload = onProgress;
    this.#reload ??= this.#loadAgain().finally(() => (this.#reload = undefined));
    await untilAborted(this.#reload, signal);
    return this.#worker;
  }

  async #loadAgain(): Promise<void> {
    this.#worker = PipelineWorker.start(this.#options);
    noticeOf(this.#options)("The model's worker had to be ended; the model is loaded again.");
    const onProgress: OnProgress = (event) => this.#onReload(event);
    await this.#worker.load(this.#url, { ...this.#options, onProgress, signal: undefined });
    try {
      for (const { loaded, source } of this.#loras) {
        const { name, scale, sha256, triggerWords } = loaded;
        const report = Comlink.proxy(ignore);
        await this.#worker.run(undefined, (remote, call) =>
          remote.loadLora(call, source, { name, scale, sha256, triggerWords }, report),
        );
      }
    } catch (error) {
      // Without them it would draw other pictures: the next call tries again.
      this.#worker.end(error);
      throw error;
    }
  }
}
