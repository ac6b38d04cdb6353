/** The manifest's shape; wsd/bundle/manifest.schema.json is its definition. */

import { FetchError, OptionError } from "../api/errors";

export const SCHEMA_VERSION = 1;

export type DType = "float32" | "int32" | "uint32";
/** How a parameter is stored; all but float32 are packed into words. */
export type Storage = "float32" | "float16" | "int8";
/** Width and height in pixels. */
export type Size = readonly [number, number];

export interface FileEntry {
  file: string;
  bytes: number;
  sha256: string;
}

export interface TensorSpec {
  name: string;
  shape: number[];
  dtype: DType;
}

export type Role =
  | "text_encoder"
  | "denoiser"
  | "guided_denoiser"
  | "vae_decoder"
  | "vae_decoder_tile"
  | "image_to_rgba"
  | "linear_combination";

export interface EntryPoint {
  name: string;
  role: Role;
  component: string | null;
  size: Size | null;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  /** Names of the shaders that it runs. */
  kernels: string[];
  workspace_bytes: number;
  /** Of the largest of the buffers that it works in. */
  largest_buffer_bytes: number;
}

export interface ParameterRecord {
  name: string;
  shape: number[];
  dtype: Storage;
  offset: number;
  bytes: number;
}

export interface ComponentEntry {
  bytes: number;
  records: ParameterRecord[];
  shards: FileEntry[];
}

export interface SchedulerConfig {
  algorithm: "dpmpp2m" | "euler" | "euler_ancestral" | "ddim" | "lcm" | "pndm";
  title: string;
  max_steps: number;
  timestep_spacing: "linspace" | "leading" | "trailing";
  steps_offset: number;
  use_karras_sigmas: boolean;
  final_alpha_cumprod: number;
  original_inference_steps: number;
  timestep_scaling: number;
}

export interface SchedulerConstants {
  default: string;
  num_train_timesteps: number;
  prediction_type: "epsilon" | "v_prediction";
  alphas_cumprod: number[];
  schedulers: Record<string, SchedulerConfig>;
}

export interface TokenizerEntry extends FileEntry {
  max_length: number;
  bos_token_id: number;
  eos_token_id: number;
  pad_token_id: number;
}

export interface Manifest {
  schema_version: number;
  model: { name: string; title: string; pipeline: string; dtype: string; source: string };
  library: FileEntry;
  entry_points: EntryPoint[];
  components: Record<string, ComponentEntry>;
  scheduler: SchedulerConstants;
  /** By text encoder. */
  tokenizers: Record<string, TokenizerEntry>;
  force_zeros_for_empty_prompt: boolean;
  examples: string[];
  defaults: { steps: number; guidance_scale: number; size: Size };
  latents: { channels: number; scale_factor: number };
  preview: { weights: number[][]; bias: number[] };
  requires: { features: string[]; limits: Record<string, number> };
  /** The most GPU memory that one picture takes. */
  peak_bytes: { size: Size; offload: boolean; tiling: boolean; bytes: number }[];
  toolchain: Record<string, string>;
  /** What may run in the place of the library's own shaders. */
  kernels?: FileEntry;
  /** What each stage must give, if the bundle was built with it. */
  self_test?: FileEntry;
}

/** Check what the page cannot do without; the build has checked the rest. */
export function parseManifest(text: string, url: string): Manifest {
  const manifest = parseJson(text, url, "a manifest's") as Partial<Manifest> | null;
  if (manifest?.schema_version !== SCHEMA_VERSION) {
    throw new FetchError(
      `${url} has schema version ${JSON.stringify(manifest?.schema_version)}, expected ${SCHEMA_VERSION}`,
      "reload the page, or rebuild the bundle with the same version of WSD",
    );
  }
  return manifest as Manifest;
}

/** An entry of models/index.json: a model in weights of one precision. */
export interface IndexEntry {
  name: string;
  title: string;
  dtype: string;
  /** Its folder, relative to the list. */
  manifest: string;
}

/** Read a bundle's list of models. */
export function parseIndex(text: string, url: string): IndexEntry[] {
  const entries = parseJson(text, url, "a list of models'");
  const keys = ["name", "title", "dtype", "manifest"] as const;
  const good = (entry: unknown): entry is IndexEntry =>
    keys.every((key) => typeof (entry as Partial<IndexEntry> | null)?.[key] === "string");
  if (Array.isArray(entries) && entries.length > 0 && entries.every(good)) return entries;
  throw new FetchError(
    `${url} lists no models`,
    "the address must be a bundle's models/index.json",
  );
}

function parseJson(text: string, url: string, whose: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new FetchError(`${url} is not JSON`, `the address must be ${whose}`, { cause });
  }
}

/** The entry point that plays a role at a picture size. */
export function findEntryPoint(manifest: Manifest, role: Role, size: Size): EntryPoint {
  const found = manifest.entry_points.find(
    (entry) =>
      entry.role === role &&
      (entry.size === null || (entry.size[0] === size[0] && entry.size[1] === size[1])),
  );
  if (found === undefined) {
    throw new OptionError(
      `size ${size[0]}x${size[1]} was not compiled`,
      `sizes of this model: ${compiledSizes(manifest)
        .map((s) => s.join("x"))
        .join(", ")}`,
    );
  }
  return found;
}

/** How many values a tensor of a shape has. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, edge) => product * edge, 1);
}

/** The picture sizes that the model was compiled for. */
export function compiledSizes(manifest: Pick<Manifest, "entry_points">): Size[] {
  return manifest.entry_points
    .filter((entry) => entry.role === "denoiser")
    .map((entry) => entry.size)
    .filter((size) => size !== null);
}

/** Why a model cannot be tested, if it cannot: to be asked before anything is downloaded. */
export function selfTestProblem(manifest: Manifest): OptionError | undefined {
  if (manifest.self_test !== undefined) return undefined;
  return new OptionError(
    "this model came without expected values",
    "make them with `wsd expect`, and build the bundle with --self-test",
  );
}
