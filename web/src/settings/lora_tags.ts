/** Tags such as `<lora:name:0.8>` in prompts, by which AUTOMATIC1111's web UI applies LoRAs. */

import { OptionError } from "../util/errors";
import { requireLoras, requireString } from "../util/option_checks";

/** A LoRA that a picture was drawn with. */
export interface AppliedLora {
  name: string;
  /** Factor on what it adds to the weights. */
  scale: number;
  /**
   * The first 12 hexadecimal digits of the SHA-256 of its tensors, by which AUTOMATIC1111's web UI
   * knows its file; undefined where a picture's text does not tell it.
   */
  hash?: string | undefined;
}

/** Characters of a LoRA's name that stand in its tag; others would end it, or its settings. */
const NAME = /^[\p{L}\p{N}._ -]{1,100}$/u;

/** A tag, and the space before it. A longer name or number than this is no tag. */
const TAG = / ?<lora:([^<>:]{1,200}):([^<>]{1,80})>/g;

/**
 * Whether a text can be the name of a LoRA.
 *
 * @throws OptionError if it is not a string.
 */
export function isLoraName(name: string): boolean {
  requireString("name", name);
  return NAME.test(name) && name.trim() === name;
}

/**
 * Add a tag for each LoRA to a prompt.
 *
 * @throws OptionError if the prompt is not a string, or the LoRAs are not what they must be.
 */
export function writeLoraTags(prompt: string, loras: readonly AppliedLora[]): string {
  requireString("prompt", prompt);
  requireLoras("loras", loras);
  return prompt + loras.map(({ name, scale }) => ` <lora:${name}:${scale}>`).join("");
}

/**
 * Take the tags out of a prompt. Of a tag with two scales, for the denoiser and for the text encoders,
 * the first counts. What looks like a tag and has no number stays where it is.
 *
 * @throws OptionError if the prompt is not a string.
 */
export function readLoraTags(prompt: string): { prompt: string; loras: AppliedLora[] } {
  requireString("prompt", prompt);
  const loras: AppliedLora[] = [];
  const rest = prompt.replaceAll(TAG, (tag: string, name: string, numbers: string) => {
    const [number] = numbers.split(":");
    const scale = Number(number);
    if (number!.trim() === "" || !Number.isFinite(scale)) return tag;
    loras.push({ name, scale });
    return "";
  });
  return { prompt: rest, loras };
}

/** Make the error about a name that no loaded LoRA has. */
export function noSuchLora(name: string, loaded: readonly { name: string }[]): OptionError {
  const names = loaded.map((each) => each.name).join(", ");
  return new OptionError(
    `there is no LoRA of the name ${JSON.stringify(name.slice(0, 60))}`,
    names === "" ? "load it first with loadLora" : `those that are loaded: ${names}`,
  );
}
