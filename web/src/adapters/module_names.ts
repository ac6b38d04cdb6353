/**
 * The names by which files of LoRAs know a model's layers. They are made of the model's own names,
 * those of diffusers, so that each name of a file is looked up and none is guessed.
 */

import type { Manifest, ParameterRecord } from "../bundle/manifest";
import { originalNames } from "./original_names";
import { isTransformer, transformerNames } from "./transformer_names";
import type { RowOrder } from "./rows";
import { ALL_ROWS } from "./rows";

const WEIGHT = ".weight";
const BIAS = ".bias";

/** A layer of the model that a LoRA can change. */
export interface Module {
  /** Id of its component. */
  component: string;
  /** Its name in the component, as diffusers has it. */
  name: string;
  /** Prefix by which diffusers' files name the component, `unet` for example. */
  prefix: string;
  weight: ParameterRecord;
  bias: ParameterRecord | undefined;
  /** Whether the bundle lacks it, because the model does not run it. */
  isUnused: boolean;
}

/** A layer of the model, and which rows of a layer of a file it is. */
export interface Place {
  module: Module;
  rows: RowOrder;
}

/**
 * The layers of a model, by every name that a file may have for them; several for a name that stands for
 * several.
 */
export type ModuleNames = ReadonlyMap<string, readonly Place[]>;

/** A component that LoRAs know, with its prefix in diffusers' files and those in kohya's. */
interface NamedComponent {
  component: string;
  prefix: string;
  flat: string[];
  spell: SpellAll;
}

/** Returns the names that files have for a layer, and which rows of what is named it is. */
type Spell = (module: string) => [string, RowOrder][];
/** The same for all layers of a component. */
type SpellAll = (modules: readonly string[], named: NamedComponent) => Spell;

function namedComponents(manifest: Manifest): NamedComponent[] {
  const { components, conditioning } = manifest;
  const denoisers = Object.keys(components).filter((id) => components[id]!.role === "denoiser");
  const { encoders } = conditioning;
  return [
    ...denoisers.map((component) => {
      const names = components[component]!.records.map(({ name }) => name);
      return isTransformer(names)
        ? { component, prefix: "transformer", flat: [], spell: transformerNames }
        : { component, prefix: "unet", flat: ["lora_unet"], spell: spellAllOfUnet };
    }),
    ...encoders.map((component, index) => {
      const prefix = index === 0 ? "text_encoder" : `text_encoder_${index + 1}`;
      // Of one encoder, kohya's names have no number; programs differ.
      const flat = [`lora_te${index + 1}`, ...(index === 0 ? ["lora_te"] : [])];
      const spell = encoders.length === 1 ? spellAllOfOnlyText : spellAllOfText;
      return { component, prefix, flat, spell };
    }),
  ];
}

/** Collect the names of all layers of a model. */
export function nameModules(manifest: Manifest): ModuleNames {
  const found = new Map<string, Place[]>();
  for (const named of namedComponents(manifest)) {
    const { component, prefix } = named;
    const { records: all } = manifest.components[component]!;
    const records = new Map(all.map((each) => [each.name, each]));
    const modules = [...records.keys()]
      .filter((name) => name.endsWith(WEIGHT))
      .map((name) => name.slice(0, -WEIGHT.length));
    const spell = named.spell(modules, named);
    const add = (name: string, similar: string, isUnused: boolean): void => {
      const weight = records.get(similar + WEIGHT)!;
      const bias = records.get(similar + BIAS);
      const module: Module = { component, name, prefix, weight, bias, isUnused };
      for (const [spelling, rows] of new Map(spell(name))) {
        const places = found.get(spelling) ?? [];
        places.push({ module, rows });
        found.set(spelling, places);
      }
    };
    for (const name of modules) add(name, name, false);
    const isText = manifest.conditioning.encoders.includes(component);
    for (const [name, similar] of isText ? unusedModules(modules) : []) add(name, similar, true);
  }
  return found;
}

/** All names stand for whole layers. */
function wholly(names: readonly string[]): [string, RowOrder][] {
  return names.map((name) => [name, ALL_ROWS]);
}

const spellAllOfUnet: SpellAll = (modules, { prefix, flat }) => {
  const originals = originalNames(modules);
  return (name) => wholly(spellUnet(name, originals.get(name), `${prefix}.`, flat));
};

const spellAllOfText: SpellAll = (modules, { prefix, flat }) => {
  // T5's blocks have no level of a text model before them.
  const isT5 = modules.some((name) => name.startsWith("encoder.block."));
  return (name) =>
    wholly(isT5 ? spellT5(name, prefix, flat) : spellText(name, [`${prefix}.`], flat));
};

const spellAllOfOnlyText: SpellAll = (_, { prefix, flat }) => {
  return (name) => wholly(spellText(name, [`${prefix}.`, ""], flat));
};

function spellT5(name: string, prefix: string, flat: readonly string[]): string[] {
  return [`${prefix}.${name}`, ...flat.map((start) => `${start}_${name.replaceAll(".", "_")}`)];
}

const LAYER = /^(.*\bencoder\.layers\.)(\d+)(\..+)$/;

/**
 * Layers of a text encoder that the model does not run, each with a similar one that it runs. SDXL takes
 * what the layer before the first encoder's last one gives, so that a bundle lacks the last one and the
 * norm behind it; training changes them all the same.
 */
function unusedModules(modules: readonly string[]): Map<string, string> {
  const unused = new Map<string, string>();
  const [, start] = modules.map((name) => LAYER.exec(name)).find((match) => match !== null) ?? [];
  if (start === undefined) return unused;
  const norm = start.replace(/encoder\.layers\.$/, "final_layer_norm");
  if (modules.includes(norm)) return unused;
  const layers = modules.map((name) => LAYER.exec(name)).filter((match) => match !== null);
  const last = Math.max(...layers.map(([, , number]) => Number(number)));
  for (const [name, , number, rest] of layers) {
    if (Number(number) === last) unused.set(`${start}${last + 1}${rest!}`, name);
  }
  unused.set(norm, layers[0]![0]);
  return unused;
}

/** The names that diffusers once gave to the layers of attention in a text encoder. */
const OLD_TEXT: Readonly<Record<string, string>> = {
  q_proj: "to_q",
  k_proj: "to_k",
  v_proj: "to_v",
  out_proj: "to_out",
};

/** Names of a text encoder's layer. */
function spellText(name: string, prefixes: string[], flat: string[]): string[] {
  // Versions of transformers differ in whether they name this level.
  const core = name.startsWith("text_model.") ? name.slice("text_model.".length) : name;
  // The projection is not within this level.
  const names = core === "text_projection" ? [core] : [core, `text_model.${core}`];
  return names.flatMap((each) => {
    const at = each.lastIndexOf(".") + 1;
    const last = each.slice(at);
    const old = Object.hasOwn(OLD_TEXT, last) ? [each.slice(0, at) + OLD_TEXT[last]!] : [];
    return [
      ...prefixes.flatMap((prefix) => [each, ...old].map((spelling) => prefix + spelling)),
      ...flat.map((start) => `${start}_${each.replaceAll(".", "_")}`),
    ];
  });
}

/** Names of a UNet's layer. */
function spellUnet(
  name: string,
  original: string | undefined,
  prefix: string,
  flat: string[],
): string[] {
  const known = original === undefined ? [] : [original];
  return [
    // PEFT's files of a denoiser alone, and the oldest ones of diffusers, have no prefix.
    ...[name, ...oldAttentionNames(name)].flatMap((each) => [each, prefix + each]),
    ...known.flatMap((each) => [`diffusion_model.${each}`, `model.diffusion_model.${each}`]),
    ...[name, ...known].flatMap((each) =>
      flat.map((start) => `${start}_${each.replaceAll(".", "_")}`),
    ),
  ];
}

const ATTENTION = /^(.*\.attn[12])\.(to_[qkv]|to_out)(\.0)?$/;

/** The names that diffusers once gave to what is added to a layer of attention in a UNet. */
function oldAttentionNames(name: string): string[] {
  const [, block, layer, index] = ATTENTION.exec(name) ?? [];
  if (block === undefined || (layer === "to_out") !== (index !== undefined)) return [];
  return [`${block}.processor.${layer!}`, `${block}.${layer!}`];
}
