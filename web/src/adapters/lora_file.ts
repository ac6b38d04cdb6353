/** Reads a LoRA's file for a model: every tensor belongs to a layer of the model, or the file is refused. */

import type { Manifest } from "../bundle/manifest";
import { sha256 } from "../bundle/sha256";
import { LoraError } from "../util/errors";
import { readAlphaRules } from "./alpha_rules";
import { differ, familyOfFile, familyOfModel } from "./family_names";
import { findFastVariant } from "./fast_variants";
import { clipWords } from "./trigger_words";
import { LayerProblem, makePatch, makeVectorPatch } from "./layer";
import type { AlphaRule, Parts } from "./layer";
import { nameModules } from "./module_names";
import type { Module, Place } from "./module_names";
import type { Layer } from "./patch";
import type { FileTensor, TensorFile } from "./safetensors";
import { readSafetensors, shorten } from "./safetensors";
import { splitKey } from "./tensor_keys";

/** How many of a file's unknown tensors an error names. */
const NAMED = 3;
/** Names of tensors of a third text encoder, T5. */
const THIRD_ENCODER = /^(lora_te3_|text_encoder_3\.)/;
/** Digits of AUTOMATIC1111's short hashes. */
const HASH_DIGITS = 12;

/** A file that was read. */
export interface LoraFile {
  layers: Layer[];
  /** How many layers of the model it changes; a bias belongs to its layer. */
  changed: number;
  /** Names of the tensors of layers that the model does not run. */
  unused: string[];
  /** As `LoadedLora.hash`. */
  hash: string;
  /** Words that its metadata states for prompts. */
  triggerWords: string[];
  /** What it is of the LoRAs that were distilled for few steps; undefined for others. */
  fastVariant: string | undefined;
}

/**
 * Read a file for a model. Values are checked, and read again when weights are patched.
 *
 * @param title the file's name for errors.
 * @param names of where it comes from, which may say what it is.
 * @throws LoraError if the file is damaged, or does not belong to the model.
 */
export async function readLoraFile(
  data: ArrayBuffer,
  manifest: Manifest,
  title: string,
  names: readonly string[] = [title],
): Promise<LoraFile> {
  const file = readSafetensors(data, title);
  const { grouped, unused } = groupTensors(file, manifest, title);
  const hash = hashOf(file); // in another thread, while values are looked at here
  hash.catch(() => undefined); // thrown below, unless something else is wrong
  for (const tensor of file.tensors.values()) {
    if (tensor.isFinite()) continue;
    throw new LoraError(
      `${title}: tensor ${shorten(tensor.name)} holds values that are not numbers, or infinite`,
      "train or download it again: a picture that is drawn with it would be black",
    );
  }
  const findAlpha = readAlphaRules(file.metadata, title);
  const layers = [...grouped].flatMap(([module, { place, parts }]) => {
    try {
      return makeLayers(place, parts, findAlpha(module.prefix, module.name));
    } catch (problem) {
      if (!(problem instanceof LayerProblem)) throw problem;
      throw doesNotFit(
        file,
        manifest,
        title,
        `${module.prefix}.${module.name}: ${problem.message}`,
      );
    }
  });
  return {
    layers,
    changed: grouped.size,
    unused,
    hash: (await hash).slice(0, HASH_DIGITS),
    triggerWords: wordsOf(file.metadata),
    fastVariant: findFastVariant(names, file.metadata, [...file.tensors.keys()], manifest),
  };
}

/** The hash that other programs know a file by: their own in its metadata, or that of its tensors. */
async function hashOf({ metadata, body }: TensorFile): Promise<string> {
  const stated = metadata.sshs_model_hash ?? "";
  return /^[0-9a-f]{12,64}$/.test(stated) ? stated : sha256(body);
}

function wordsOf(metadata: Record<string, string>): string[] {
  return clipWords((metadata["modelspec.trigger_phrase"] ?? "").split(","));
}

/** What a file has for a layer of the model. */
interface FoundLayer {
  /** The layer's name in the file. */
  name: string;
  place: Place;
  parts: Parts;
}

/** Find the layer of each tensor. */
function groupTensors(
  file: TensorFile,
  manifest: Manifest,
  title: string,
): { grouped: Map<Module, FoundLayer>; unused: string[] } {
  if (file.tensors.size === 0) {
    throw new LoraError(`${title} holds no tensors`, "give a LoRA's .safetensors file");
  }
  const names = nameModules(manifest);
  const grouped = new Map<Module, FoundLayer>();
  const [unknown, unused]: [string[], string[]] = [[], []];
  for (const [key, tensor] of file.tensors) {
    const { module: name, part } = splitKey(key) ?? {};
    const places = name === undefined ? undefined : names.get(name);
    if (name === undefined || places === undefined || part === undefined) {
      unknown.push(key);
      continue;
    }
    if (places.every(({ module }) => module.isUnused)) {
      unused.push(key);
      continue;
    }
    for (const place of places) {
      const found: FoundLayer = grouped.get(place.module) ?? { name, place, parts: {} };
      grouped.set(place.module, found);
      const other = found.parts[part];
      if (other !== undefined) throw isDouble(title, tensor, other);
      if (found.name !== name) throw isDouble(title, tensor, Object.values(found.parts)[0]!);
      found.parts[part] = tensor;
    }
  }
  if (unknown.length > 0) throw isUnknown(unknown, file, manifest, title);
  return { grouped, unused };
}

function makeLayers({ module, rows }: Place, parts: Parts, rule: AlphaRule): Layer[] {
  const { component, weight, bias } = module;
  const { diff_b: diff, alpha, ...matrices } = parts;
  const others =
    diff !== undefined && Object.keys(matrices).length === 0
      ? {}
      : { ...matrices, ...(alpha && { alpha }) };
  const layers: Layer[] = [];
  if (Object.keys(others).length > 0) {
    layers.push({
      component,
      record: weight.name,
      patch: makePatch(others, weight, rule, rows),
    });
  }
  if (diff !== undefined) {
    if (bias === undefined)
      throw new LayerProblem("it has diff_b, and the model has no bias there");
    layers.push({
      component,
      record: bias.name,
      patch: makeVectorPatch(diff, "diff_b", bias, rows),
    });
  }
  return layers;
}

function isDouble(title: string, one: FileTensor, other: FileTensor): LoraError {
  return new LoraError(
    `${title}: ${shorten(one.name)} and ${shorten(other.name)} are the same tensor of one layer`,
    "two files were joined, or a name was written twice: give each LoRA as a file of its own",
  );
}

function isUnknown(
  unknown: readonly string[],
  file: TensorFile,
  manifest: Manifest,
  title: string,
): LoraError {
  const named = unknown.slice(0, NAMED).map(shorten).join(", ");
  const isOfThird = unknown.every((key) => THIRD_ENCODER.test(key));
  const more = unknown.length > NAMED ? `, and ${unknown.length - NAMED} more` : "";
  return doesNotFit(
    file,
    manifest,
    title,
    `${unknown.length} of its ${file.tensors.size} tensors belong to no layer of this model: ${named}${more}`,
    isOfThird
      ? "load the model with its third text encoder (textEncoder3), or give a LoRA that does not change it"
      : undefined,
  );
}

/** Say what does not fit, and of which family the file is if it is of another one. */
function doesNotFit(
  { tensors }: TensorFile,
  manifest: Manifest,
  title: string,
  problem: string,
  hint?: string,
): LoraError {
  const [theirs, ours] = [familyOfFile(tensors, manifest), familyOfModel(manifest)];
  if (theirs === undefined || !differ(theirs, ours)) {
    return new LoraError(
      `${title}: ${problem}`,
      hint ??
        "nothing of it is applied: give a LoRA that was trained for this model's family, " +
          `${ours.name}, without tensors of other kinds`,
    );
  }
  return new LoraError(
    `${title} is a LoRA for ${theirs.name}, and this model is of the family ${ours.name}: ${problem}`,
    `choose a LoRA for ${ours.name}, or a model of the LoRA's family`,
  );
}
