/** Checks what callers give to the methods that load and apply LoRAs. */

import { isLoraName } from "../settings/lora_tags";
import { OptionError } from "../util/errors";
import { LORA_CHECKS, requireObject, requireOptions, show } from "../util/option_checks";
import { loraAddress } from "./addresses";
import type { FetchOptions } from "./load_options";
import type { LoraOptions, LoraSource } from "./lora";

/**
 * A source as it is sent to the worker: an absolute address, or the file.
 *
 * @param options how addresses are fetched: a `fetch` of the caller's own may take any.
 */
export function sentSource(source: LoraSource, options: FetchOptions): string | Blob {
  // Of any realm: an iframe's Blob is of another class.
  const kind = Object.prototype.toString.call(source);
  if (kind === "[object Blob]" || kind === "[object File]") return source as Blob;
  return loraAddress(source as string | URL, options);
}

/**
 * Check the options of `loadLora`.
 *
 * @throws OptionError if one is not known, or of another type, or no name that a picture can carry.
 */
export function checkLoraOptions(options: LoraOptions | null | undefined): LoraOptions {
  const given = requireOptions("loadLora", options, LORA_CHECKS);
  if (given.name !== undefined && !isLoraName(given.name)) {
    throw new OptionError(
      `name is ${show(given.name)}`,
      "it must be 1 to 100 letters, digits, spaces and . _ -, without a space at either end",
    );
  }
  return given;
}

/** @throws OptionError unless a value is an object of names and scales. */
export function checkScales(scales: Readonly<Record<string, number>>): Record<string, number> {
  requireObject("scales", scales);
  for (const [name, scale] of Object.entries(scales)) {
    if (Number.isFinite(scale)) continue;
    throw new OptionError(
      `the scale of ${JSON.stringify(name.slice(0, 60))} is ${show(scale)}`,
      "it must be a number; 0 applies nothing",
    );
  }
  return { ...scales };
}
