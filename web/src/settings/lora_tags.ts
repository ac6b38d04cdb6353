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

/** A tag, and the space before it. A longer name, or longer settings than these, are no tag. */
const TAG = / ?<lora:([^<>:]{1,200})(:[^<>]{1,600}|)>/g;

/** What the web UI takes the scale of the text encoders to be where a tag does not say it. */
const DEFAULT_SCALE = 1;

/** A prompt without its tags, and what they say. */
export interface TaggedLoras {
  prompt: string;
  loras: AppliedLora[];
  /**
   * What tags say that nothing here applies, as pairs of names and values: a scale of the text encoders
   * that differs from that of the denoiser, a smaller rank (`dyn`), weights of blocks (`lbw`).
   */
  others: [string, string][];
}

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
 * Take the tags out of a prompt. In AUTOMATIC1111's web UI `<lora:name:1:0.5>` has the scale of the text
 * encoders first and that of the denoiser behind it, `te=` and `unet=` name them, and what is not said is
 * 1, or for the denoiser as for the text encoders. Here all of a LoRA has one scale: that of the denoiser.
 * What looks like a tag and has no number in the place of a scale stays where it is.
 *
 * Source: AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora/extra_networks_lora.py.
 *
 * @throws OptionError if the prompt is not a string.
 */
export function readLoraTags(prompt: string): TaggedLoras {
  requireString("prompt", prompt);
  const loras: AppliedLora[] = [];
  const others: [string, string][] = [];
  const rest = prompt.replaceAll(TAG, (tag: string, name: string, settings: string) => {
    const read = readSettings(settings);
    if (read === undefined) return tag;
    loras.push({ name, scale: read.scale });
    for (const [part, value] of read.others) others.push([`<lora:${name}> ${part}`, value]);
    return "";
  });
  return { prompt: rest, loras, others };
}

/**
 * Read what stands behind the name in a tag: nothing, or parts with a colon before each.
 *
 * @returns undefined if a scale is not a number.
 */
function readSettings(text: string): { scale: number; others: [string, string][] } | undefined {
  const parts = text.split(":").slice(1);
  const places = parts.filter((part) => !part.includes("="));
  const named = new Map(
    parts
      .filter((part) => part.includes("="))
      .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
  );
  const textScale = toNumber(named.get("te") ?? places[0]) ?? DEFAULT_SCALE;
  const scale = toNumber(named.get("unet") ?? places[1]) ?? textScale;
  if (!Number.isFinite(textScale) || !Number.isFinite(scale)) return undefined;
  named.delete("te");
  named.delete("unet");
  const [, , rank, ...more] = places;
  if (rank !== undefined && !named.has("dyn")) named.set("dyn", rank);
  return {
    scale,
    others: [
      ...(textScale === scale ? [] : [["te", String(textScale)] as [string, string]]),
      ...named,
      ...more.map((part): [string, string] => [part, ""]),
    ],
  };
}

/** Read a number; NaN if the text is none, and undefined if there is no text. */
function toNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return text.trim() === "" ? NaN : Number(text);
}

/** Make the error about a name that no loaded LoRA has. */
export function noSuchLora(name: string, loaded: readonly { name: string }[]): OptionError {
  const names = loaded.map((each) => each.name).join(", ");
  return new OptionError(
    `there is no LoRA of the name ${JSON.stringify(name.slice(0, 60))}`,
    names === "" ? "load it first with loadLora" : `those that are loaded: ${names}`,
  );
}
