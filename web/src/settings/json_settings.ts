/** Reads the settings that programs write into pictures as a JSON object of named values. */

import type { FoundSettings } from "./found_settings";
import { noSettings, takeAll } from "./found_settings";
import type { Json } from "./loose_json";
import { asObject, asText } from "./loose_json";

type Table = Record<string, Json>;

/** Names of settings in InvokeAI's `invokeai_metadata`. */
const INVOKEAI = {
  positive_prompt: "prompt",
  negative_prompt: "negativePrompt",
  steps: "steps",
  cfg_scale: "guidanceScale",
  seed: "seed",
  width: "width",
  height: "height",
  scheduler: "sampler",
  model: "model",
  strength: "strength",
  clip_skip: "clipSkip",
  generation_mode: null,
  app_version: null,
  rand_device: null,
} as const;

/** Names of settings in InvokeAI before version 3, in `sd-metadata`. */
const INVOKEAI_2 = {
  prompt: "prompt",
  steps: "steps",
  cfg_scale: "guidanceScale",
  seed: "seed",
  width: "width",
  height: "height",
  sampler: "sampler",
  type: null,
} as const;

/** Names of settings in Fooocus' `parameters`. */
const FOOOCUS = {
  prompt: "prompt",
  negative_prompt: "negativePrompt",
  steps: "steps",
  guidance_scale: "guidanceScale",
  seed: "seed",
  resolution: "size",
  sampler: "sampler",
  scheduler: "schedule",
  base_model: "model",
  base_model_hash: null,
  metadata_scheme: null,
  version: null,
  created_by: null,
} as const;

/** Names of arguments of diffusers' pipelines; programs that are made with it write them. */
const DIFFUSERS = {
  prompt: "prompt",
  negative_prompt: "negativePrompt",
  num_inference_steps: "steps",
  guidance_scale: "guidanceScale",
  seed: "seed",
  width: "width",
  height: "height",
  scheduler: "sampler",
  sampler_name: "sampler",
  eta: "eta",
  strength: "strength",
  clip_skip: "clipSkip",
  model: "model",
} as const;

/** Names of settings in SwarmUI's `sui_image_params`. */
const SWARMUI = {
  prompt: "prompt",
  negativeprompt: "negativePrompt",
  steps: "steps",
  cfgscale: "guidanceScale",
  seed: "seed",
  width: "width",
  height: "height",
  sampler: "sampler",
  scheduler: "schedule",
  model: "model",
  // How much of a given picture is drawn anew.
  initimagecreativity: "strength",
  variationseed: "variationSeed",
  variationseedstrength: "variationStrength",
  swarm_version: null,
  aspectratio: null,
  date: null,
  generation_time: null,
} as const;

/** Names of settings in NovelAI's `Comment`. */
const NOVELAI = {
  prompt: "prompt",
  uc: "negativePrompt",
  steps: "steps",
  scale: "guidanceScale",
  seed: "seed",
  width: "width",
  height: "height",
  sampler: "sampler",
  noise_schedule: "schedule",
  strength: "strength",
  request_type: null,
  signed_hash: null,
} as const;

/** What NovelAI calls drawing from a picture, and from one with a mask. */
const FROM_PICTURE = ["Img2ImgRequest", "NativeInfillingRequest"];

/** Read what InvokeAI writes. */
export function readInvokeAi(table: Table): FoundSettings {
  return takeAll(noSettings("InvokeAI"), pairsOf(table), INVOKEAI);
}

/** Read what InvokeAI wrote before version 3. */
export function readInvokeAi2(table: Table): FoundSettings {
  const image = asObject(table.image) ?? {};
  const [first] = Array.isArray(image.prompt) ? image.prompt : [];
  const prompt = asObject(first)?.prompt ?? image.prompt;
  const pairs = pairsOf({ ...image, ...(prompt === undefined ? {} : { prompt }) });
  const found = takeAll(noSettings("InvokeAI"), pairs, INVOKEAI_2);
  if (typeof table.model_weights === "string") found.model = table.model_weights;
  return found;
}

/** Read what Fooocus writes. */
export function readFooocus(table: Table): FoundSettings {
  return takeAll(noSettings("Fooocus"), pairsOf(table), FOOOCUS);
}

/** Read arguments of a pipeline of diffusers. */
export function readDiffusers(table: Table): FoundSettings {
  return takeAll(noSettings("diffusers"), pairsOf(table), DIFFUSERS);
}

/** Read what SwarmUI writes. */
export function readSwarmUi(table: Table): FoundSettings {
  return takeAll(noSettings("SwarmUI"), pairsOf(table), SWARMUI);
}

/** Read what NovelAI writes. */
export function readNovelAi(table: Table): FoundSettings {
  // Of pictures that were drawn from words, it names a strength that nothing used.
  const fromPicture = FROM_PICTURE.includes(asText(table.request_type ?? ""));
  const { strength, ...others } = table;
  const used = fromPicture && strength !== undefined ? { ...others, strength } : others;
  const found = takeAll(noSettings("NovelAI"), pairsOf(used), NOVELAI);
  found.sampler = found.sampler?.replace(/^k_/, "");
  if (found.schedule === "native") found.schedule = "normal";
  return found;
}

/** List values with their names, without those that are empty or off: they change no picture. */
function pairsOf(table: Table): [string, string][] {
  return Object.entries(table)
    .filter(([, value]) => !isOff(value))
    .map(([key, value]) => {
      const name = asObject(value)?.model_name ?? asObject(value)?.name;
      return [key, typeof name === "string" ? name : asText(value)];
    });
}

function isOff(value: Json): boolean {
  if (value === null || value === false) return true;
  return Array.isArray(value) && value.length === 0;
}
