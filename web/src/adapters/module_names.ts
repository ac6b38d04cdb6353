/**
 * The names by which files of LoRAs know a model's layers. They are made of the model's own names,
 * those of diffusers, so that each name of a file is looked up and none is guessed.
 */

import type { Manifest, ParameterRecord } from "../bundle/manifest";
import { originalNames } from "./original_names";

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

/** The layers of a model, by every name that a file may have for them. */
export type ModuleNames = ReadonlyMap<string, Module>;

/** The components that LoRAs know, each with its prefix in diffusers' files and those in kohya's. */
function namedComponents(
  manifest: Manifest,
): { component: string; prefix: string; flat: string[]; isText: boolean }[] {
  const { components, conditioning } = manifest;
  const denoisers = Object.keys(components).filter((id) => components[id]!.role === "denoiser");
  const { encoders } = conditioning;
  return [
    ...denoisers.map((component) => {
      return { component, prefix: "unet", flat: ["lora_unet"], isText: false };
    }),
    ...encoders.map((component, index) => {
      const prefix = index === 0 ? "text_encoder" : `text_encoder_${index + 1}`;
      // Of one encoder, kohya's names have no number; programs differ.
      const flat = [`lora_te${index + 1}`, ...(index === 0 ? ["lora_te"] : [])];
      return { component, prefix, flat, isText: true };
    }),
  ];
}

/** Collect the names of all layers of a model. */
export function nameModules(manifest: Manifest): ModuleNames {
  const found = new Map<string, Module>();
  const isOnlyEncoder = manifest.conditioning.encoders.length === 1;
  for (const { component, prefix, flat, isText } of namedComponents(manifest)) {
    const { records: all } = manifest.components[component]!;
    const records = new Map(all.map((each) => [each.name, each]));
    const modules = [...records.keys()]
      .filter((name) => name.endsWith(WEIGHT))
      .map((name) => name.slice(0, -WEIGHT.length));
    const originals = isText ? new Map<string, string>() : originalNames(modules);
    const spell = (name: string): string[] =>
      isText
        ? spellText(name, [`${prefix}.`, ...(isOnlyEncoder ? [""] : [])], flat)
        : spellDenoiser(name, originals.get(name), `${prefix}.`, flat);
    for (const name of modules) {
      const weight = records.get(name + WEIGHT)!;
      const bias = records.get(name + BIAS);
      const module: Module = { component, name, prefix, weight, bias, isUnused: false };
      for (const spelling of spell(name)) found.set(spelling, module);
    }
    for (const [name, similar] of isText ? unusedModules(modules) : []) {
      const weight = records.get(similar + WEIGHT)!;
      const bias = records.get(similar + BIAS);
      const unused: Module = { component, name, prefix, weight, bias, isUnused: true };
      for (const spelling of spell(name)) found.set(spelling, unused);
    }
  }
  return found;
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

/** Names of a denoiser's layer. */
function spellDenoiser(
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
