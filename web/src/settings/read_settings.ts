/** Reads the settings of a picture that any of several programs drew. */

import { requireString } from "../util/option_checks";
import { readPromptGraph, readWorkflow } from "./comfyui";
import type { FoundSettings } from "./found_settings";
import {
  readDiffusers,
  readFooocus,
  readInvokeAi,
  readInvokeAi2,
  readNovelAi,
  readSwarmUi,
} from "./json_settings";
import type { Json } from "./loose_json";
import { asObject, parseObject } from "./loose_json";
import { readTexts } from "./png";
import { parseInfotext } from "./infotext";

/** A text's keyword, and how a JSON object in it is read; the first that gives something counts. */
const READERS: [string, (table: Record<string, Json>) => FoundSettings | undefined][] = [
  ["parameters", readParameters],
  ["invokeai_metadata", readInvokeAi],
  ["sd-metadata", readInvokeAi2],
  ["prompt", readPromptGraph],
  ["workflow", readWorkflow],
  ["Comment", (table) => ("uc" in table || "sampler" in table ? readNovelAi(table) : undefined)],
];

/**
 * Read the settings that a PNG carries.
 *
 * These programs are known: WSD, AUTOMATIC1111's web UI and those that write what it writes
 * (Forge, SD.Next, Civitai), ComfyUI, InvokeAI, Fooocus, SwarmUI, NovelAI, and those that write
 * the arguments of diffusers' pipelines as JSON.
 *
 * @param png the file, or its bytes.
 * @returns undefined if it carries none.
 * @throws OptionError if it is neither.
 *
 * @example
 * ```ts
 * const found = await readSettings(await result.toBlob(1));
 * console.log(found?.prompt, found?.seed, found?.picture); // … { number: 2, of: 4 }
 * ```
 */
export async function readSettings(
  png: Blob | ArrayBuffer | Uint8Array,
): Promise<FoundSettings | undefined> {
  const bytes = png instanceof Blob ? await png.arrayBuffer() : png;
  const isBuffer = Object.prototype.toString.call(bytes) === "[object ArrayBuffer]";
  const texts = await readTexts(isBuffer ? new Uint8Array(bytes) : (bytes as Uint8Array));
  for (const [keyword, read] of READERS) {
    const text = texts.get(keyword);
    if (text === undefined) continue;
    const table = parseObject(text);
    if (table === undefined && keyword === "parameters") return parseInfotext(text);
    const found = table === undefined ? undefined : read(table);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Read the settings of a text that was copied from one of these programs: what stands in
 * `parameters`.
 *
 * @returns undefined if it names no setting beside a prompt, which any text could be.
 * @throws OptionError if it is not a string.
 */
export function readSettingsText(text: string): FoundSettings | undefined {
  requireString("text", text);
  const table = parseObject(text);
  const found = table === undefined ? parseInfotext(text) : readParameters(table);
  const { steps, seed, sampler, guidanceScale } = found;
  const named = [steps, seed, sampler, guidanceScale].filter((value) => value !== undefined);
  return named.length === 0 ? undefined : found;
}

function readParameters(table: Record<string, Json>): FoundSettings {
  const swarm = asObject(table.sui_image_params);
  if (swarm !== undefined) return readSwarmUi(swarm);
  return "num_inference_steps" in table ? readDiffusers(table) : readFooocus(table);
}
