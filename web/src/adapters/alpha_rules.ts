/** The alphas that PEFT's configuration states in a file's metadata, where tensors have none. */

import { LoraError } from "../util/errors";
import type { AlphaRule } from "./layer";

/** Key of the configuration, as diffusers writes it. */
const CONFIGURATION = "lora_adapter_metadata";

/** Says which alpha a layer has that has no tensor for it. */
export type FindAlpha = (prefix: string, module: string) => AlphaRule;

/**
 * Read the configuration of a file's metadata. Without one, every alpha is the rank.
 *
 * @param title the file's name for errors.
 * @throws LoraError if the configuration cannot be read, so that no alpha is guessed.
 */
export function readAlphaRules(metadata: Record<string, string>, title: string): FindAlpha {
  const text = Object.hasOwn(metadata, CONFIGURATION) ? metadata[CONFIGURATION] : undefined;
  if (text === undefined) return () => ({});
  const refuse = (what: string): LoraError =>
    new LoraError(
      `${title}: its metadata ${CONFIGURATION} ${what}`,
      "save the file again with diffusers, or leave this metadata out if every alpha is the rank",
    );
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    throw refuse("is not JSON");
  }
  if (!isObject(values)) throw refuse("is no object");
  const settings = values;
  const numberOf = (value: unknown, name: string): number | undefined => {
    if (value === undefined || value === null) return undefined;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw refuse(`has no number as ${name}`);
  };
  return (prefix, module) => {
    const of = (name: string): unknown => settings[`${prefix}.${name}`];
    const pattern = of("alpha_pattern") ?? {};
    if (!isObject(pattern)) throw refuse("has no object as alpha_pattern");
    // PEFT takes the first pattern that the layer's name ends with. It may be any regular expression;
    // names alone are read.
    const patterns = Object.entries(pattern).map(([text, value]) => {
      return { text, name: text.replace(/^\^/, "").replace(/\$$/, ""), value };
    });
    const odd = patterns.find(({ name }) => !/^[\w.]+$/.test(name));
    if (odd !== undefined) {
      throw refuse(`has ${JSON.stringify(odd.text.slice(0, 60))} in alpha_pattern`);
    }
    const own = patterns.find(({ name }) => `.${module}`.endsWith(`.${name}`));
    const alpha =
      own === undefined
        ? numberOf(of("lora_alpha"), "lora_alpha")
        : numberOf(own.value, "alpha_pattern");
    // PEFT takes whatever Python takes for true; of numbers that is clear.
    const byRoot = of("use_rslora") ?? false;
    if (typeof byRoot !== "boolean" && typeof byRoot !== "number") {
      throw refuse("has neither true nor false as use_rslora");
    }
    return { alpha, rootOfRank: Boolean(byRoot) };
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
