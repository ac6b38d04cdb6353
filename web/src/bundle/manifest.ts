/** Reading a bundle's manifest and its list of models; their types are generated from Python. */

import { BLOCK_SCALES, MOMENTS, SCHEMA_VERSION, TEXT_STATES } from "../util/constants.generated";
import { nameOf } from "../util/secrets";
import { FetchError, OptionError, UnsupportedError } from "../util/errors";
import { requireManifest, requireObject } from "../util/option_checks";
import { parseIntegrity } from "./integrity";
import type { EntryPoint, FileEntry, IndexEntry, Manifest } from "./manifest.generated";
import type { ParameterRecord, TensorSpec } from "./manifest.generated";
import { upgradeManifest } from "./manifest_v1";
import type { ManifestV1 } from "./manifest_v1";
import { isFolder, isName } from "./paths";

export type * from "./manifest.generated";

/** Type of a tensor's values on the GPU; packed parameters are uint32. */
export type DType = TensorSpec["dtype"] | "uint32";
/** How a parameter is stored; all but float32 are packed into uint32 words. */
export type Storage = ParameterRecord["dtype"];
/** Width and height in pixels. */
export type Size = readonly [number, number];
/** What a compiled function does in the pipeline. */
export type Role = EntryPoint["role"];

/**
 * Parse a manifest; one of version 1 is upgraded. Its version is checked, and which files it names:
 * `wsd build` has checked the rest.
 *
 * @throws FetchError if the text is not a manifest, or of a newer version than this page, or names
 *   files that are not beside it.
 */
export function parseManifest(text: string, url: string): Manifest {
  const manifest = parseJson(text, url, "a manifest's") as Manifest | ManifestV1 | null;
  const version: unknown = manifest?.schema_version;
  if (manifest?.schema_version === SCHEMA_VERSION) return checkFiles(manifest, url);
  if (manifest?.schema_version === 1) {
    let upgraded: Manifest;
    try {
      upgraded = upgradeManifest(manifest);
    } catch (cause) {
      throw new FetchError(
        `${nameOf(url)} is not a manifest of version 1`,
        "build the bundle again",
        {
          cause,
        },
      );
    }
    return checkFiles(upgraded, url);
  }
  if (version === undefined) throw noManifest(manifest, url);
  throw new FetchError(
    `${nameOf(url)} has schema version ${JSON.stringify(version)}, this page reads 1 to ${SCHEMA_VERSION}`,
    "reload the page, or rebuild the bundle with the same version of WSD",
  );
}

/** Make the error of JSON that is something else than a manifest. */
function noManifest(value: unknown, url: string): FetchError {
  if (Array.isArray(value) && value.every(isIndexEntry)) {
    const folders = value.map(({ manifest }) => manifest).join(", ");
    return new FetchError(
      `${nameOf(url)} is a bundle's list of models, not a manifest`,
      `give it to listModels, or give the address of one of its models: ${folders.slice(0, 200)}`,
    );
  }
  const { _class_name: ofDiffusers } = (value ?? {}) as Record<string, unknown>;
  return new FetchError(
    `${nameOf(url)} is not a manifest of a bundle`,
    ofDiffusers === undefined
      ? "the address must be that of a model's manifest.json, or of its folder"
      : "it is part of a checkpoint of diffusers: build a bundle of it with wsd build --weights",
  );
}

/**
 * Return the ids of the components that every picture is drawn with: all but the safety checker,
 * and the encoder of a model that also draws from text alone.
 */
export function textComponents({ components, pipeline }: Manifest): string[] {
  const roles: Role[] = ["safety_checker"];
  if (pipeline !== "inpainting") roles.push("vae_encoder");
  return Object.keys(components).filter((name) => !roles.includes(components[name]!.role));
}

/** Return every file of a model. */
export function filesOf(manifest: Manifest): FileEntry[] {
  const { components, self_test: selfTest } = manifest;
  const drawing = textComponents(manifest);
  const others = Object.keys(components).filter((name) => !drawing.includes(name));
  return [
    ...drawingFiles(manifest),
    ...Object.values(manifest.schedulers.constants ?? {}),
    ...others.flatMap((name) => components[name]!.shards),
    ...(selfTest === undefined ? [] : [selfTest]),
  ];
}

/**
 * Return the files that loading and drawing from text take: all but the shards of the encoder, the
 * self-test's expected values, and the constants of other schedulers than the default one.
 *
 * @param checks whether finished pictures are checked, which takes the safety checker's shards too.
 */
export function drawingFiles(manifest: Manifest, checks = false): FileEntry[] {
  const { library, tokenizers, kernels, components, schedulers } = manifest;
  const { kernel_choices: choices } = manifest;
  const constants = schedulers.constants?.[schedulers.default];
  const checkers = Object.values(components).filter(({ role }) => role === "safety_checker");
  return [
    library,
    ...Object.values(tokenizers),
    ...(kernels === undefined ? [] : [kernels]),
    ...(choices === undefined ? [] : [choices]),
    ...(constants === undefined ? [] : [constants]),
    ...textComponents(manifest).flatMap((name) => components[name]!.shards),
    ...(checks ? checkers.flatMap(({ shards }) => shards) : []),
  ];
}

const SHA256 = /^[0-9a-f]{64}$/;

/** @throws FetchError unless each file that a manifest names is one beside it, with a digest. */
function checkFiles(manifest: Manifest, url: string): Manifest {
  let files: Partial<FileEntry | null>[];
  try {
    // Older manifests have no pictures. They are not among the files that drawing needs.
    const { example_pictures: pictures = [] } = manifest as Partial<Manifest>;
    files = [...filesOf(manifest), ...pictures, ...(manifest.example_loras ?? [])];
  } catch (cause) {
    throw new FetchError(`${nameOf(url)} is not a manifest`, "build the bundle again", { cause });
  }
  for (const entry of files) {
    const { file, bytes, sha256 } = entry ?? {};
    const good =
      isName(file) && Number.isSafeInteger(bytes) && bytes! >= 0 && SHA256.test(String(sha256));
    if (!good) {
      const shown = JSON.stringify(entry ?? null).slice(0, 200);
      throw new FetchError(
        `${nameOf(url)} names a file that cannot lie beside it: ${shown}`,
        "do not use this bundle: wsd verify says what is wrong with it",
      );
    }
  }
  return manifest;
}

/**
 * Parse a bundle's list of models.
 *
 * @throws FetchError if the text is not such a list.
 */
export function parseIndex(text: string, url: string): IndexEntry[] {
  const entries = parseJson(text, url, "a list of models'");
  if (Array.isArray(entries) && entries.length > 0 && entries.every(isIndexEntry)) return entries;
  const isManifest = (entries as Partial<Manifest> | null)?.schema_version !== undefined;
  throw new FetchError(
    `${nameOf(url)} lists no models`,
    isManifest
      ? "it is a model's manifest: give it to preflight or fromPretrained"
      : "the address must be a bundle's models/index.json",
  );
}

function isIndexEntry(value: unknown): value is IndexEntry {
  const { name, title, dtype, manifest, integrity } = (value ?? {}) as Record<string, unknown>;
  const named = [name, title, dtype].every((text) => typeof text === "string");
  if (!named || !isName(name) || !isFolder(manifest)) return false;
  // Bundles of before digests have none.
  if (integrity === undefined) return true;
  try {
    return typeof integrity === "string" && parseIntegrity(integrity).digests.length > 0;
  } catch {
    return false;
  }
}

function parseJson(text: string, url: string, whose: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // What browsers throw quotes the text, which may be a server's answer about a token.
    throw new FetchError(`${nameOf(url)} is not JSON`, `the address must be ${whose}`);
  }
}

/**
 * Return the entry point of a role for a picture size.
 *
 * @throws OptionError if the size was not compiled.
 */
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

/**
 * Return the denoiser for a prompt of so many chunks, with guidance in the same call or without it.
 *
 * @returns undefined if the model has none.
 * @throws OptionError if the size was not compiled.
 */
export function findDenoiser(
  manifest: Manifest,
  size: Size,
  chunks: number,
  guided: boolean,
): EntryPoint | undefined {
  const one: Role = guided ? "guided_denoiser" : "denoiser";
  const several: Role = guided ? "guided_chunked_denoiser" : "chunked_denoiser";
  return findForChunks(manifest, chunks === 1 ? one : several, size, chunks);
}

/**
 * Return the function that runs the outermost layers of a denoiser, for a prompt of so many chunks, with
 * guidance in the same call or without it.
 *
 * @returns undefined if the model keeps no deep features.
 * @throws OptionError if the size was not compiled.
 */
export function findShallowDenoiser(
  manifest: Manifest,
  size: Size,
  chunks: number,
  guided: boolean,
): EntryPoint | undefined {
  const role: Role = guided ? "guided_shallow_denoiser" : "shallow_denoiser";
  return findForChunks(manifest, role, size, chunks);
}

/** The function of a role that takes the text of so many chunks, or none. */
function findForChunks(
  manifest: Manifest,
  role: Role,
  size: Size,
  chunks: number,
): EntryPoint | undefined {
  const rows = chunks * textRows(findEntryPoint(manifest, "denoiser", size));
  return manifest.entry_points.find(
    (entry) =>
      entry.role === role &&
      String(entry.size) === String(size) &&
      (!entry.inputs.some(({ name }) => name === TEXT_STATES) || textRows(entry) === rows),
  );
}

/**
 * Whether a model's denoiser can keep deep features, so that `cacheInterval` has an effect.
 *
 * @throws OptionError if it is not a manifest.
 */
export function hasDeepCache(manifest: Pick<Manifest, "entry_points">): boolean {
  requireManifest(manifest);
  return manifest.entry_points.some(({ role }) => role === "shallow_denoiser");
}

/** Return the most chunks that a prompt may have: texts as long as the text encoder takes. */
export function promptChunks(manifest: Manifest): number {
  const entries = manifest.entry_points.filter(({ role }) => role === "chunked_denoiser");
  const denoiser = manifest.entry_points.find(({ role }) => role === "denoiser");
  if (denoiser === undefined || entries.length === 0) return 1;
  return Math.max(...entries.map(textRows)) / textRows(denoiser);
}

/** Number of embeddings that a denoiser takes. */
function textRows({ inputs }: EntryPoint): number {
  return inputs.find(({ name }) => name === TEXT_STATES)!.shape[1]!;
}

/**
 * Return how many of the text encoders' last layers a model can leave out: the largest `clipSkip`.
 *
 * @throws OptionError if it is not a manifest.
 */
export function maxClipSkip(manifest: Pick<Manifest, "entry_points">): number {
  requireManifest(manifest);
  const entries = manifest.entry_points.filter(({ role }) => role === "layered_text_encoder");
  const states = entries.map(
    ({ outputs }) => outputs.filter(({ name }) => name.startsWith(TEXT_STATES)).length,
  );
  return entries.length === 0 ? 0 : Math.min(...states) - 1;
}

/**
 * Return how many blocks a model's denoiser has, of which `skipGuidanceLayers` can leave some out; 0 if
 * it can leave out none.
 *
 * @throws OptionError if it is not a manifest.
 */
export function guidanceLayers(manifest: Pick<Manifest, "entry_points">): number {
  requireManifest(manifest);
  const { inputs } = manifest.entry_points.find(({ role }) => role === "denoiser") ?? {};
  return inputs?.find(({ name }) => name === BLOCK_SCALES)?.shape.at(-1) ?? 0;
}

/** Return the number of values of a tensor. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, edge) => product * edge, 1);
}

/**
 * Return the picture sizes that the model was compiled for.
 *
 * @throws OptionError if it is not a manifest.
 */
export function compiledSizes(manifest: Pick<Manifest, "entry_points">): Size[] {
  requireManifest(manifest);
  return manifest.entry_points
    .filter((entry) => entry.role === "denoiser")
    .map((entry) => entry.size)
    .filter((size) => size !== null);
}

/**
 * Return why a model has no self-test, if it has none; nothing is downloaded to find out.
 *
 * @throws OptionError if it is not a manifest.
 */
export function selfTestProblem(manifest: Manifest): OptionError | undefined {
  requireManifest(manifest);
  if (manifest.self_test !== undefined) return undefined;
  return new OptionError(
    "this model came without expected values",
    "make them with `wsd expect`, and build the bundle with --self-test",
  );
}

/**
 * Whether a model has an encoder; bundles that draw from text alone have none.
 *
 * @throws OptionError if it is not a manifest.
 */
export function hasEncoder(manifest: Pick<Manifest, "entry_points">): boolean {
  requireManifest(manifest);
  return manifest.entry_points.some(({ role }) => role === "vae_encoder");
}

/**
 * Whether the encoder says how latents are distributed, so that they are drawn with random numbers.
 * A tiny autoencoder's encoder gives the latents themselves, and none are drawn.
 */
export function givesMoments({ entry_points }: Pick<Manifest, "entry_points">): boolean {
  const encoder = entry_points.find(({ role }) => role === "vae_encoder");
  return encoder?.outputs[0]!.name === MOMENTS;
}

/** @throws UnsupportedError unless a model has an encoder. */
export function requireEncoder(manifest: Manifest): void {
  if (hasEncoder(manifest)) return;
  throw new UnsupportedError(
    `${manifest.model.name} draws from text alone: its bundle has no encoder for pictures`,
    "give no picture, or build the bundle again without --text-to-image-only",
  );
}

/**
 * Whether a model's bundle has a safety checker.
 *
 * @throws OptionError if it is not a manifest.
 */
export function hasSafetyChecker(manifest: Pick<Manifest, "safety_checker">): boolean {
  requireObject("manifest", manifest);
  return manifest.safety_checker !== undefined;
}
