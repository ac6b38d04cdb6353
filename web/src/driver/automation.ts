/**
 * What `wsd render`, `parity`, `bench` and `doctor` do in a page. Python evaluates this program
 * in the page and then calls its functions by name, see wsd/runtime/driver.py: arguments and
 * results are JSON, with arrays as in codec.ts.
 */

import type { Remote } from "comlink";

import type {
  GenerateOptions,
  Prompt,
  PromptEmbeddings,
  PromptOptions,
  PromptSyntax,
} from "../api/options";
import type { ProgressEvent } from "../api/progress";
import type {
  CountOptions,
  LoadOptions,
  StageReport,
  Timings,
  TokenCount,
  Usage,
} from "../api/types";
import type { Size } from "../bundle/manifest";
import type { BenchmarkOptions, BenchmarkReport } from "../diagnostics/benchmark";
import { askForAdapter } from "../gpu/device";
import type * as Client from "../index";
import { decode, encode } from "./codec";
import { importModule } from "./import_module";
import { isNode, measureOnnxRuntime } from "./onnxruntime_web";
import type { StageWorker } from "./worker";

interface Page {
  /** Python's function that progress is reported to, if there is one. */
  wsdProgress?: (event: Pick<ProgressEvent, "stage" | "loaded" | "total">) => void;
}

/** What loading took, and on what; Python's types of the same names are in page_types.py. */
interface Loaded {
  milliseconds: number;
  /** Vendor, architecture and description of the GPU. */
  adapter: Record<string, string>;
}

/** A preview, and the step after which it was made. */
interface Preview {
  step: number;
  image: ImageData;
}

/** What was drawn, with what is asked of every picture afterwards. */
interface Drawn {
  images: ImageData[];
  /** Previews of all pictures in the order of their steps. */
  previews: Preview[];
  /** float32, (images, channels, height / factor, width / factor). */
  latents: Float32Array;
  timings: Timings;
  /** The settings as the PNG of each picture carries them. */
  settings: string[];
  /** What the safety checker says of each picture; absent if they were not checked. */
  safety?: Client.SafetyReport[];
  usage: Usage;
}

/** An adapter; Python decides by it whether it is a GPU. */
interface AdapterDescription {
  vendor: string;
  architecture: string;
  description: string;
  /** Whether the browser says that it is only a fallback. */
  fallback: boolean;
  /** Whether it has the feature `shader-f16`. */
  f16: boolean;
}

let client: typeof Client;
let pipeline: Client.StableDiffusionPipeline;

/**
 * Load a model with the client of a bundle.
 *
 * @param clientUrl address of the bundle's client.js, or of driver/client.js of the developers'
 *   build, whose worker also has the calls of single stages.
 * @param manifestUrl address of the model's manifest.
 * @returns milliseconds of loading, and the GPU.
 */
async function load(clientUrl: string, manifestUrl: string, options: LoadOptions): Promise<Loaded> {
  client = (await importModule(clientUrl)) as typeof Client;
  const started = performance.now();
  pipeline = await client.StableDiffusionPipeline.fromPretrained(manifestUrl, {
    ...options,
    onProgress: reportProgress,
  });
  return { milliseconds: performance.now() - started, adapter: pipeline.adapter };
}

/** Draw with the loaded model. */
async function generate(prompt: Prompt | null, options: GenerateOptions): Promise<Drawn> {
  const previews: Preview[] = [];
  const onProgress = (event: ProgressEvent): void => {
    const { preview } = event as { preview?: ImageData };
    if (preview !== undefined) previews.push({ step: event.loaded, image: preview });
    reportProgress(event);
  };
  const generated = await pipeline.generate(prompt, { ...options, onProgress });
  const { images, latents, timings, safety } = generated;
  const drawn = { images, previews, latents, timings, settings: textsOf(generated) };
  return { ...drawn, ...(safety && { safety }), usage: await usage() };
}

/** The settings of each picture as its PNG carries them. */
function textsOf({ images, settings, imageSettings }: Client.Generated): string[] {
  // The client is the bundle's own: an older one has one table for all pictures.
  const ofEach = imageSettings as Client.Settings[] | undefined;
  return (
    ofEach?.map((each) => client.formatSettings(each)) ??
    images.map((_, index) => client.formatSettings(settings, index))
  );
}

async function encodePrompt(
  prompt: Prompt,
  negativePrompt?: Prompt | null,
  options?: PromptOptions,
): Promise<PromptEmbeddings> {
  return pipeline.encodePrompt(prompt, {
    ...(negativePrompt == null ? {} : { negativePrompt }),
    ...options,
  });
}

/** Load a textual inversion from the bytes of its file. */
async function loadTextualInversion(
  bytes: Uint8Array<ArrayBuffer>,
  options: Client.InversionOptions,
): Promise<Client.LoadedInversion> {
  return pipeline.loadTextualInversion(new Blob([bytes]), options);
}

function unloadTextualInversion(token?: string): void {
  pipeline.unloadTextualInversion(token);
}

/** What a change of LoRAs took; Python's type of the same name is in page_types.py. */
interface LoraChange {
  milliseconds: number;
  /** Names of the LoRAs that are loaded afterwards. */
  names: string[];
}

async function timeLoras(change: Promise<unknown>): Promise<LoraChange> {
  const started = performance.now();
  await change;
  const milliseconds = performance.now() - started;
  return { milliseconds, names: pipeline.loras.map(({ name }) => name) };
}

/** Load a LoRA from an address, which may be relative to the page. */
async function loadLora(address: string, options: Client.LoraOptions): Promise<LoraChange> {
  const url = new URL(address, document.baseURI);
  return timeLoras(pipeline.loadLora(url, { ...options, onProgress: reportProgress }));
}

async function setAdapters(scales: Record<string, number>): Promise<LoraChange> {
  return timeLoras(pipeline.setAdapters(scales, { onProgress: reportProgress }));
}

/** Unload a LoRA, or all of them. */
async function unloadLora(name?: string): Promise<LoraChange> {
  return timeLoras(pipeline.unloadLora(name, { onProgress: reportProgress }));
}

async function countTokens(prompt: string, options: CountOptions): Promise<TokenCount[]> {
  return pipeline.countTokens(prompt, options);
}

async function selfTest(): Promise<StageReport[]> {
  return pipeline.selfTest();
}

async function usage(): Promise<Usage> {
  return pipeline.usage();
}

async function tune(options: Client.TuneOptions): Promise<Client.TuneReport> {
  return pipeline.tune({ ...options, onProgress: reportProgress });
}

/** The worker's calls of single stages; only driver/client.js starts a worker that has them. */
function stages(): Remote<StageWorker> {
  return pipeline.remote as unknown as Remote<StageWorker>;
}

async function encodeText(
  text: string,
  text2?: string,
  syntax?: PromptSyntax,
  clipSkip?: number,
  text3?: string,
): Promise<Record<string, Float32Array>> {
  // The worker is the bundle's own: an older one takes nothing but a text.
  const isPlain = [text2, syntax, clipSkip, text3].every((given) => given === undefined);
  return stages().encodeText(isPlain ? text : { text, text2, syntax, clipSkip, text3 });
}

async function predictNoise(
  inputs: Record<string, Float32Array>,
  size?: Size,
): Promise<Float32Array> {
  return stages().predictNoise(inputs, size);
}

async function decodeLatents(latents: Float32Array, size?: Size): Promise<Float32Array> {
  return stages().decodeLatents(latents, size);
}

async function encodeImage(pixels: Uint8Array, size?: Size): Promise<Float32Array> {
  return stages().encodeImage(pixels, size);
}

async function checkPicture(pixels: Uint8Array, size: Size): Promise<Client.SafetyReport> {
  return stages().checkPicture(pixels, size);
}

async function combineLatents(terms: Float32Array[], weights: number[]): Promise<Float32Array> {
  return stages().combineLatents(terms, weights);
}

async function runBenchmark(options: BenchmarkOptions): Promise<BenchmarkReport> {
  return stages().runBenchmark(options);
}

/** What the browser's fastest adapter is; null if there is none. */
async function describeAdapter(): Promise<AdapterDescription | null> {
  const adapter = await askForAdapter();
  if (adapter === null) return null;
  const { vendor, architecture, description } = adapter.info;
  const { isFallbackAdapter: fallback = false } = adapter.info as { isFallbackAdapter?: boolean };
  return { vendor, architecture, description, fallback, f16: adapter.features.has("shader-f16") };
}

const functions = {
  load,
  generate,
  selfTest,
  tune,
  usage,
  encodePrompt,
  countTokens,
  loadTextualInversion,
  unloadTextualInversion,
  loadLora,
  setAdapters,
  unloadLora,
  encodeText,
  predictNoise,
  decodeLatents,
  encodeImage,
  checkPicture,
  combineLatents,
  runBenchmark,
  describeAdapter,
  isNode,
  measureOnnxRuntime,
};

/**
 * Call one of the functions.
 *
 * @returns its value, or the error that it threw: Python raises its own for it.
 */
async function call(name: keyof typeof functions, args: unknown[]): Promise<object> {
  const called = functions[name] as (...args: unknown[]) => unknown;
  try {
    return { value: encode(await called(...(decode(args) as unknown[]))) ?? null };
  } catch (thrown) {
    const { name: kind, message, hint } = thrown as Partial<Client.WsdError>;
    return { error: { name: kind ?? "Error", message: message ?? String(thrown), hint } };
  }
}

function reportProgress({ stage, loaded, total }: ProgressEvent): void {
  (globalThis as Page).wsdProgress?.({ stage, loaded, total });
}

Object.assign(globalThis, { wsdAutomation: { call } });
