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
      // A model of one encoder has no number in kohya's names; some programs write one.
      const flat = [`lora_te${index + 1}`, ...(encoders.length === 1 ? ["lora_te"] : [])];
      return { component, prefix, flat, isText: true };
    }),
  ];
}

/** Collect the names of all layers of a model. */
export function nameModules(manifest: Manifest): ModuleNames {
  const found = new Map<string, Module>();
  for (const { component, prefix, flat, isText } of namedComponents(manifest)) {
    const records = new Map(
      manifest.components[component]!.records.map((each) => [each.name, each]),
    );
    const modules = [...records.keys()]
      .filter((name) => name.endsWith(WEIGHT))
      .map((name) => name.slice(0, -WEIGHT.length));
    const originals = isText ? new Map<string, string>() : originalNames(modules);
    for (const name of modules) {
      const weight = records.get(name + WEIGHT)!;
      const module = { component, name, prefix, weight, bias: records.get(name + BIAS) };
      const original = originals.get(name);
      const spellings = isText
        ? spellText(name, prefix, flat)
        : spellDenoiser(name, original ?? name, prefix, flat);
      for (const spelling of spellings) found.set(spelling, module);
    }
  }
  return found;
}

/** Names of a text encoder's layer. */
function spellText(name: string, prefix: string, flat: string[]): string[] {
  // Versions of transformers differ in whether they name this level.
  const core = name.startsWith("text_model.") ? name.slice("text_model.".length) : name;
  return [core, `text_model.${core}`].flatMap((each) => [
    `${prefix}.${each}`,
    `${prefix}.base_model.model.${each}`,
    `base_model.model.${prefix}.${each}`,
    ...flat.map((start) => `${start}_${each.replaceAll(".", "_")}`),
  ]);
}

/** Names of a denoiser's layer. */
function spellDenoiser(name: string, original: string, prefix: string, flat: string[]): string[] {
  const ours = [name, ...oldProcessorName(name)];
  return [
    // PEFT's own files of a denoiser alone, and the oldest ones of diffusers, have no prefix.
    ...ours.flatMap((each) => [each, `${prefix}.${each}`]),
    `base_model.model.${name}`,
    `${prefix}.base_model.model.${name}`,
    `base_model.model.${prefix}.${name}`,
    `diffusion_model.${original}`,
    `model.diffusion_model.${original}`,
    ...[name, original].flatMap((each) =>
      flat.map((start) => `${start}_${each.replaceAll(".", "_")}`),
    ),
  ];
}

/** The name that diffusers once gave to what an attention's processor adds to a layer. */
function oldProcessorName(name: string): string[] {
  const parts = name.split(".");
  const at = parts.findIndex((part) => part === "attn1" || part === "attn2");
  const [layer, index] = parts.slice(at + 1);
  if (at < 0 || layer?.startsWith("to_") !== true || (index ?? "0") !== "0") return [];
  return [`${parts.slice(0, at + 1).join(".")}.processor.${layer}_lora`];
}
