/** Says which family of models a LoRA belongs to, as far as its names and shapes tell. */

import type { Manifest } from "../bundle/manifest";
import type { FileTensor } from "./safetensors";
import { splitKey } from "./tensor_keys";

/** A kind of denoiser, which its layers' names tell. */
interface Kind {
  /** For errors, where no family is known. */
  name: string;
  /** Names of layers that no other kind has. */
  layers: RegExp;
  /** Layers whose number of input channels tells families apart. */
  wide: RegExp;
  /** What that is the number of. */
  channels: string;
  /** Families by it. */
  published: Readonly<Record<number, string>>;
}

// A UNet's blocks have transformer blocks inside, and a transformer has nothing else. The table is that of
// wsd/models/adapter_models.py.
const TRANSFORMER: Kind = {
  name: "a diffusion transformer",
  layers:
    /^(transformer\.|lora_transformer_|lycoris_)?transformer_blocks[._]\d|joint_blocks[._]|(joint|single)_transformer_blocks|(double|single)_blocks/,
  wide: /attn2?[._](to_[qkv]|add_[qkv]_proj|qkv)$|(ff|ff_context)[._]net[._]0[._]proj$|mlp[._]fc1$|norm1(_context)?[._]linear$|adaLN_modulation[._]1$/,
  channels: "channels",
  published: { 1536: "Stable Diffusion 3 or 3.5 Medium", 2432: "Stable Diffusion 3.5 Large" },
};
const UNET: Kind = {
  name: "a UNet",
  layers: /(down|up|input|output)_blocks[._]|(mid|middle)_block[._]/,
  wide: /attn2[._](?:processor\.)?to_[kv]$/,
  channels: "text channels",
  published: { 768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL" },
};

/** Parts of layers' names that only another family's files have. */
const BY_NAME: readonly (readonly [RegExp, string])[] = [
  [/double_blocks|single_blocks|single_transformer_blocks/, "FLUX"],
  [/joint_transformer_blocks/, "AuraFlow"],
];
const SECOND_ENCODER = /^(lora_te2_|text_encoder_2\.)/;

/** A family's name for people, and what can be compared. */
export interface FamilyName {
  name: string;
  /** Of the published models that it is; undefined if that is not known. */
  published: string | undefined;
  /** The kind of its denoiser; undefined if no layer tells it. */
  kind: Kind | undefined;
  /** How many channels its layers read, if that is known. */
  width: number | undefined;
}

/** Whether two families are known to differ. */
export function differ(theirs: FamilyName, ours: FamilyName): boolean {
  const areKnown = theirs.kind !== undefined && ours.kind !== undefined;
  if (areKnown && theirs.kind !== ours.kind) return true;
  if (areKnown && theirs.width !== undefined && ours.width !== undefined) {
    if (theirs.width !== ours.width) return true;
  }
  return theirs.published !== undefined && theirs.published !== ours.published;
}

/** Name the family of a file; undefined if nothing tells it. */
export function familyOfFile(
  tensors: ReadonlyMap<string, FileTensor>,
  manifest: Manifest,
): FamilyName | undefined {
  const inputs = new Map<string, number | undefined>();
  for (const [key, { shape }] of tensors) {
    const { module = key, part } = splitKey(key) ?? {};
    const tells = part === "down" || part === "hada_w1_b" || part === "diff";
    inputs.set(module, tells ? shape[1] : inputs.get(module));
  }
  const { kind, width, published: known } = familyOf(inputs);
  const hasSecond = [...inputs.keys()].some((name) => SECOND_ENCODER.test(name));
  const isOfXl = kind !== TRANSFORMER && manifest.conditioning.encoders.length === 1 && hasSecond;
  const published = known ?? (isOfXl ? UNET.published[2048] : undefined);
  if (kind === undefined && published === undefined) return undefined;
  const name = published ?? `${kind!.name}${widthOf(kind, width, " of ")}`;
  return { name, published, kind, width };
}

/** Name the family of a model. */
export function familyOfModel(manifest: Manifest): FamilyName {
  const { family, name } = manifest.model;
  const records = Object.values(manifest.components)
    .filter(({ role }) => role === "denoiser")
    .flatMap((component) => component.records)
    .filter((record) => record.name.endsWith(".weight"));
  // Convolutions are stored with their input channels last, and no wide layer is one.
  const inputs = records.map(({ name: each, shape }) => {
    return [each.slice(0, -".weight".length), shape[1]] as const;
  });
  const found = familyOf(new Map(inputs));
  const more = found.published ?? widthOf(found.kind, found.width, "");
  return { ...found, name: `${family || name}${more === "" ? "" : ` (${more})`}` };
}

function widthOf(kind: Kind | undefined, width: number | undefined, before: string): string {
  return kind === undefined || width === undefined ? "" : `${before}${width} ${kind.channels}`;
}

/** Tell what layers are of, by their names and how many channels each reads. */
function familyOf(inputs: ReadonlyMap<string, number | undefined>): Omit<FamilyName, "name"> {
  const names = [...inputs.keys()];
  const kind = [TRANSFORMER, UNET].find(({ layers }) => names.some((name) => layers.test(name)));
  // CLIP has layers of such names too.
  const wide = names.filter((name) => kind?.layers.test(name) === true && kind.wide.test(name));
  const width = wide.map((name) => inputs.get(name)).find((count) => count !== undefined);
  const named = BY_NAME.find(([pattern]) => names.some((name) => pattern.test(name)))?.[1];
  const published = named ?? (width === undefined ? undefined : kind?.published[width]);
  return { published, kind, width };
}
