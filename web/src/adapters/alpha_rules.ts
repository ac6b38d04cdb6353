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
  let values: Record<string, unknown>;
  try {
    values = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    throw refuse("is not JSON");
  }
  const numberOf = (value: unknown, name: string): number | undefined => {
    if (value === undefined || value === null) return undefined;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw refuse(`has no number as ${name}`);
  };
  return (prefix, module) => {
    const of = (name: string): unknown => values[`${prefix}.${name}`];
    const pattern = Object(of("alpha_pattern")) as Record<string, unknown>;
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
    return { alpha, rootOfRank: of("use_rslora") === true };
  };
}
