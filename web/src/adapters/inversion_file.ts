/**
 * Reads textual inversions (Gal et al. 2022): vectors that stand for a word in a text encoder's table of
 * embeddings. Files of SD 1.5 have one tensor, named `emb_params` or by its word; those of SDXL have
 * `clip_l` for the first text encoder and `clip_g` for the second.
 */

import type { Manifest } from "../bundle/manifest";
import { LoraError } from "../util/errors";
import { readSafetensors, shorten } from "./safetensors";
import type { FileTensor } from "./safetensors";

/** Tokens that begin and end the text of a text encoder. */
const ENDS = 2;
/** Names that are not the word of the inversion. */
const SINGLE = "emb_params";
const [FIRST, SECOND] = ["clip_l", "clip_g"];

/** What a file holds. */
export interface InversionFile {
  /** The word that the file states; undefined if it states none. */
  token: string | undefined;
  /** How many vectors it has: so many tokens stand for the word. */
  count: number;
  /** The vectors of each text encoder's component: float32, (count, features), flat. */
  vectors: Record<string, Float32Array>;
}

/** Name of the record of a text encoder's table of embeddings, (vocabulary, features), ends so. */
export const TABLE = "token_embedding.weight";

/**
 * Read a file.
 *
 * @param title the file's name, for errors.
 * @throws LoraError if it is damaged, or does not belong to the model.
 */
export function readInversionFile(
  data: ArrayBuffer,
  manifest: Manifest,
  title: string,
): InversionFile {
  const { tensors } = readSafetensors(data, title);
  const { encoders } = manifest.conditioning;
  const both = tensors.has(FIRST) && tensors.has(SECOND);
  const [single] = tensors.values();
  const ofModel = `${manifest.model.name} has ${encoders.length} text encoder${encoders.length === 1 ? "" : "s"}`;
  if (both !== encoders.length > 1 && (both || tensors.size === 1)) {
    throw new LoraError(
      `${title} is a textual inversion of ${both ? "SDXL" : "a model with one text encoder, as SD 1.5"}, ` +
        `and ${ofModel}`,
      "take one that was trained for this kind of model",
    );
  }
  const taken = new Map<string, FileTensor>();
  if (both) {
    taken.set(encoders[0]!, tensors.get(FIRST)!);
    taken.set(encoders[1]!, tensors.get(SECOND)!);
  } else if (single !== undefined && tensors.size === 1) taken.set(encoders[0]!, single);
  const odd = [...tensors.values()].find((tensor) => ![...taken.values()].includes(tensor));
  if (taken.size === 0 || odd !== undefined) {
    throw new LoraError(
      `${title} is no textual inversion: ` +
        (odd === undefined ? "it has no tensor" : `it has the tensor ${shorten(odd.name)}`),
      `its tensors are one of any name, or ${FIRST} and ${SECOND}; a LoRA is loaded with loadLora`,
    );
  }
  const counts = [...taken].map(([component, tensor]) =>
    countVectors(manifest, component, tensor, title),
  );
  if (counts.some((count) => count !== counts[0])) {
    throw new LoraError(
      `${title} has ${counts.join(" and ")} vectors for the two text encoders`,
      "fetch the file again: both have as many in a whole one",
    );
  }
  const vectors = [...taken].map(([component, tensor]) => [component, tensor.values()]);
  return {
    token: both || single!.name === SINGLE ? undefined : single!.name,
    count: counts[0]!,
    vectors: Object.fromEntries(vectors) as Record<string, Float32Array>,
  };
}

/** @throws LoraError if a tensor does not fit a text encoder. */
function countVectors(
  manifest: Manifest,
  component: string,
  tensor: FileTensor,
  title: string,
): number {
  const table = manifest.components[component]!.records.find(({ name }) => name.endsWith(TABLE));
  const width = table?.shape[1];
  const [count, features] = tensor.shape.length === 1 ? [1, ...tensor.shape] : tensor.shape;
  const shape = `(${tensor.shape.join(", ")})`;
  if (tensor.shape.length > 2 || features !== width) {
    throw new LoraError(
      `${title}: tensor ${shorten(tensor.name)} has the shape ${shape}, and the embeddings of ` +
        `${component} have ${width ?? "no"} features`,
      "it belongs to another family of models: take one that was trained for this kind of model",
    );
  }
  const most = manifest.tokenizers[component]!.max_length - ENDS;
  if (count! < 1 || count! > most) {
    throw new LoraError(`${title} has ${count!} vectors`, `${component} reads 1 to ${most} tokens`);
  }
  if (!tensor.isFinite()) {
    throw new LoraError(
      `${title}: tensor ${shorten(tensor.name)} has values that are infinite or not numbers`,
      "its training failed, or the file is damaged",
    );
  }
  return count!;
}
