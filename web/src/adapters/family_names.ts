/** Says which family of models a LoRA belongs to, as far as its names and shapes tell. */

import type { Manifest } from "../bundle/manifest";
import type { FileTensor } from "./safetensors";
import { splitKey } from "./tensor_keys";

/** Families by the width of the text that their cross attention reads. */
const BY_WIDTH: Readonly<Record<number, string>> = {
  768: "Stable Diffusion 1.x",
  1024: "Stable Diffusion 2.x",
  2048: "SDXL",
};

/** Parts of keys that only another family's files have. */
const BY_KEY: readonly (readonly [string, string])[] = [
  ["lora_te2_", "SDXL"],
  ["text_encoder_2.", "SDXL"],
  ["double_blocks", "FLUX"],
  ["single_transformer_blocks", "FLUX"],
  ["joint_blocks", "Stable Diffusion 3"],
  ["transformer.", "a diffusion transformer"],
  ["lora_transformer_", "a diffusion transformer"],
];

const CROSS_ATTENTION = /attn2[._](?:processor\.)?to_[kv]$/;

/** A family's name for people, and what can be compared. */
export interface FamilyName {
  name: string;
  /** The name without what is this model's own; undefined if it is not known. */
  kind: string | undefined;
  /** Channels of the text that it draws from, if they are known. */
  width: number | undefined;
}

/** Whether two families are known to differ. */
export function differ(one: FamilyName, other: FamilyName): boolean {
  if (one.width !== undefined && other.width !== undefined) return one.width !== other.width;
  return one.kind !== undefined && other.kind !== undefined && one.kind !== other.kind;
}

/** Name the family of a file; undefined if nothing tells it. */
export function familyOfFile(tensors: ReadonlyMap<string, FileTensor>): FamilyName | undefined {
  const width = widthOfFile(tensors);
  const known = width === undefined ? undefined : BY_WIDTH[width];
  if (known !== undefined) return { name: known, kind: known, width };
  const keys = [...tensors.keys()];
  const found = BY_KEY.find(([part]) =>
    keys.some((key) => (part.endsWith(".") ? key.startsWith(part) : key.includes(part))),
  );
  if (found !== undefined) return { name: found[1], kind: found[1], width };
  if (width === undefined) return undefined;
  return { name: `a model of ${width} text channels`, kind: undefined, width };
}

/** Name the family of a model. */
export function familyOfModel(manifest: Manifest): FamilyName {
  const { family, name } = manifest.model;
  const records = Object.values(manifest.components).flatMap((component) => component.records);
  const weight = records.find((record) => record.name.endsWith("attn2.to_k.weight"));
  const width = weight?.shape[1];
  const known = width === undefined ? undefined : BY_WIDTH[width];
  const { encoders, join } = manifest.conditioning;
  // Stable Diffusion 3.5 has several encoders too, and joins their states otherwise.
  const isXl = encoders.length > 1 && join !== "sequence";
  const kind = known ?? (isXl ? "SDXL" : undefined);
  const more = known ?? (width === undefined ? undefined : `${width} text channels`);
  return { name: `${family || name}${more === undefined ? "" : ` (${more})`}`, kind, width };
}

/** Channels of the text that a file's cross attention reads, where a factor's shape has them. */
function widthOfFile(tensors: ReadonlyMap<string, FileTensor>): number | undefined {
  for (const [key, { shape }] of tensors) {
    const { module, part } = splitKey(key) ?? {};
    const tells = part === "down" || part === "hada_w1_b" || part === "diff";
    if (tells && CROSS_ATTENTION.test(module!)) return shape[1];
  }
  return undefined;
}
