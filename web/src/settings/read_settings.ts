/** Reads the settings of a picture that any of several programs drew. */

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
 * @returns undefined if it carries none.
 */
export async function readSettings(png: Uint8Array): Promise<FoundSettings | undefined> {
  const texts = await readTexts(png);
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

function readParameters(table: Record<string, Json>): FoundSettings {
  const swarm = asObject(table.sui_image_params);
  if (swarm !== undefined) return readSwarmUi(swarm);
  return "num_inference_steps" in table ? readDiffusers(table) : readFooocus(table);
}
