/**
 * Reads the settings of a picture from ComfyUI's graph of nodes, which it writes into pictures: in
 * `prompt` as it was run, in `workflow` as it was drawn on the screen.
 *
 * A sampler's settings are its own inputs or come over links from other nodes, of which there are
 * thousands of kinds. So links are followed by the names of inputs, and the kind of a node matters
 * only where its names mislead.
 */

import type { FoundSettings } from "./found_settings";
import { noSettings, take } from "./found_settings";
import type { Json } from "./loose_json";
import { asObject, asText } from "./loose_json";

interface Node {
  kind: string;
  /** A value, or a link to another node: its id and which of its outputs. */
  inputs: Record<string, Json>;
}

type Graph = Map<string, Node>;

/** The most nodes that are followed from one input; a graph can have a circle. */
const FARTHEST = 100;
/** The most samplers that are compared; a picture has a few. */
const MOST_SAMPLERS = 20;

/** What each input of a sampler means. */
const INPUTS = {
  seed: "seed",
  noise_seed: "seed",
  steps: "steps",
  cfg: "guidanceScale",
  sampler_name: "sampler",
  scheduler: "schedule",
} as const;

/** Inputs that lead from a sampler to nodes with more of its settings. */
const PARTS = ["noise", "guider", "sampler", "sigmas"];
/** Inputs that lead to a text or a number, besides the input of the name that is asked for. */
const VALUES = ["value", "text", "string", "prompt", "int", "float", "number", "seed", "Text"];
/** The input of a node that only passes a link on. */
const REROUTED = "";
/** Inputs that hold a prompt; the first that is there is taken. */
const TEXTS = ["text", "text_g", "text_l", "prompt", "t5xxl", "clip_l"];
/** Inputs that lead from a node to one that it changes. */
const CONDITIONINGS = ["conditioning", "conditioning_1", "conditioning_to", "cond1"];
const LATENTS = ["latent_image", "latent", "samples", "latents", "image", "pixels"];
const MODELS = ["model", "guider", "clip"];
/** Inputs that hold the size of empty latents. */
const SIDES = [
  ["width", "height"],
  ["empty_latent_width", "empty_latent_height"],
] as const;
/** Inputs that hold the layer at which the text encoders stop; 0 leaves it as it is. */
const STOPS = ["stop_at_clip_layer", "clip_skip"];
/** Inputs that hold a model's file name. */
const MODEL_NAMES = ["ckpt_name", "unet_name", "model_name"];

/** Read the graph of the text `prompt`; undefined if it draws nothing. */
export function readPromptGraph(table: Record<string, Json>): FoundSettings | undefined {
  const graph: Graph = new Map();
  for (const [id, value] of Object.entries(table)) {
    const node = asObject(value);
    const inputs = asObject(node?.inputs);
    if (inputs !== undefined && typeof node?.class_type === "string") {
      graph.set(id, { kind: node.class_type, inputs });
    }
  }
  return readGraph(graph);
}

/** Names of the values that the screen shows of a node, in their order. */
const WIDGETS: Record<string, string[]> = {
  KSampler: ["seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
  KSamplerAdvanced: [
    ...["add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"],
    ...["start_at_step", "end_at_step"],
  ],
  CLIPTextEncode: ["text"],
  CLIPSetLastLayer: ["stop_at_clip_layer"],
  EmptyLatentImage: ["width", "height", "batch_size"],
  CheckpointLoaderSimple: ["ckpt_name"],
  LoraLoader: ["lora_name", "strength_model", "strength_clip"],
  PrimitiveNode: ["value"],
};

/** Read the graph of the text `workflow`; undefined if it draws nothing. */
export function readWorkflow(table: Record<string, Json>): FoundSettings | undefined {
  const links = new Map<string, Json>();
  for (const link of Array.isArray(table.links) ? table.links : []) {
    if (Array.isArray(link)) links.set(asText(link[0] ?? null), [asText(link[1] ?? null), 0]);
  }
  const graph: Graph = new Map();
  for (const value of Array.isArray(table.nodes) ? table.nodes : []) {
    const node = asObject(value);
    if (node?.id === undefined || typeof node.type !== "string" || isOff(node.mode)) continue;
    const shown = Array.isArray(node.widgets_values) ? node.widgets_values : [];
    const names = Object.hasOwn(WIDGETS, node.type) ? WIDGETS[node.type]! : [];
    const inputs: Node["inputs"] = {};
    for (const [index, name] of names.entries()) {
      if (name !== "" && shown[index] !== undefined) inputs[name] = shown[index];
    }
    for (const input of Array.isArray(node.inputs) ? node.inputs : []) {
      const { name, link } = asObject(input) ?? {};
      const source = links.get(asText(link ?? null));
      if (typeof name === "string" && source !== undefined) inputs[name] = source;
    }
    graph.set(asText(node.id), { kind: node.type, inputs });
  }
  return readGraph(graph);
}

/** Say whether a node is muted or bypassed. */
function isOff(mode: Json | undefined): boolean {
  return mode === 2 || mode === 4;
}

function readGraph(graph: Graph): FoundSettings | undefined {
  const all = [...graph.values()].filter(isSampler);
  const samplers = all.slice(0, MOST_SAMPLERS);
  // Where several samplers follow each other, the first one draws and the others refine.
  const sampler = samplers.find((node) => beginsEmpty(graph, node)) ?? samplers[0];
  if (sampler === undefined) return undefined;
  const found = noSettings("ComfyUI");
  if (all.length > 1) found.others.push(["Samplers", `${all.length}, one of them read`]);
  const parts = [sampler, ...followAll(graph, sampler, PARTS)];
  for (const part of parts) {
    for (const [name, meaning] of Object.entries(INPUTS)) {
      const value = valueOf(graph, part, name);
      if (value !== undefined && found[meaning] === undefined) take(found, meaning, name, value);
    }
    const first = valueOf(graph, part, "start_at_step");
    if (first !== undefined && Number(first) !== 0) found.others.push(["start_at_step", first]);
    const denoise = valueOf(graph, part, "denoise");
    if (denoise !== undefined && Number(denoise) !== 1) {
      // Of empty latents, only a part of the steps would be run: nothing here draws so.
      if (beginsWithPicture(graph, sampler)) take(found, "strength", "denoise", denoise);
      else found.others.push(["denoise", denoise]);
    }
  }
  for (const part of parts) {
    found.prompt ??= promptOf(graph, part, ["positive", "conditioning"]);
    found.negativePrompt ??= promptOf(graph, part, ["negative"]);
  }
  readLatents(graph, sampler, found);
  readModel(graph, parts, found);
  return found;
}

function isSampler({ inputs }: Node): boolean {
  const has = (...names: string[]): boolean => names.every((name) => name in inputs);
  return has("latent_image") && (has("positive", "negative") || has("guider", "sigmas"));
}

function beginsEmpty(graph: Graph, sampler: Node): boolean {
  const chain = followAll(graph, sampler, LATENTS);
  return (
    !chain.some((node) => isSampler(node)) &&
    chain.some((node) => SIDES.some(([side]) => side in node.inputs))
  );
}

function beginsWithPicture(graph: Graph, sampler: Node): boolean {
  return followAll(graph, sampler, LATENTS).some(({ kind }) => kind === "LoadImage");
}

/** Return the node that an input is linked to. */
function linked(graph: Graph, node: Node, name: string): Node | undefined {
  const value = Object.hasOwn(node.inputs, name) ? node.inputs[name] : undefined;
  return Array.isArray(value) && value[0] !== undefined ? graph.get(asText(value[0])) : undefined;
}

/** Return the nodes that are reached over inputs of these names, the nearest first. */
function followAll(graph: Graph, start: Node, names: string[]): Node[] {
  const reached = new Set<Node>();
  walk(start);
  // Iterating over a set also visits what is added to it meanwhile.
  for (const node of reached) {
    if (reached.size >= FARTHEST) break;
    walk(node);
  }
  return [...reached];

  function walk(node: Node): void {
    for (const name of [...names, REROUTED]) {
      const next = linked(graph, node, name);
      if (next !== undefined && next !== start) reached.add(next);
    }
  }
}

/** Return an input's value as text, over links to nodes that hold one. */
function valueOf(graph: Graph, start: Node, name: string): string | undefined {
  let node: Node | undefined = start;
  let wanted: string | undefined = name;
  for (let hops = 0; hops < FARTHEST && node !== undefined && wanted !== undefined; hops++) {
    const value: Json | undefined = node.inputs[wanted];
    if (typeof value === "string" || typeof value === "number") return String(value);
    node = linked(graph, node, wanted);
    wanted = [name, ...VALUES, REROUTED].find((each) => node !== undefined && each in node.inputs);
  }
  return undefined;
}

/** Return the text that a sampler's prompt is made of; undefined if zeros take its place. */
function promptOf(graph: Graph, sampler: Node, roles: string[]): string | undefined {
  const [first] = roles.map((role) => linked(graph, sampler, role)).filter((node) => node);
  if (first === undefined) return undefined;
  // A node such as ControlNetApplyAdvanced takes both prompts, each under its role's name.
  for (const node of [first, ...followAll(graph, first, [...roles, ...CONDITIONINGS])]) {
    if (node.kind === "ConditioningZeroOut") return undefined;
    for (const name of [...TEXTS, ...roles]) {
      const text = name in node.inputs ? valueOf(graph, node, name) : undefined;
      if (text !== undefined) return text;
    }
  }
  return undefined;
}

function readLatents(graph: Graph, sampler: Node, found: FoundSettings): void {
  const chain = followAll(graph, sampler, LATENTS);
  const empty = chain.find((node) => SIDES.some(([width]) => width in node.inputs));
  for (const [width, height] of SIDES) {
    const sides = [width, height].map((name) => empty && valueOf(graph, empty, name));
    if (sides.every((side) => side !== undefined)) take(found, "size", "Size", sides.join("x"));
  }
  if (beginsWithPicture(graph, sampler)) {
    found.others.push(["Begins with", "a picture"]);
  }
}

function readModel(graph: Graph, parts: Node[], found: FoundSettings): void {
  const prompts = parts.flatMap((part) => followAll(graph, part, ["positive", ...CONDITIONINGS]));
  const chain = new Set([...parts, ...prompts].flatMap((node) => followAll(graph, node, MODELS)));
  for (const node of chain) {
    for (const name of MODEL_NAMES) {
      if (name in node.inputs) found.model ??= valueOf(graph, node, name);
    }
    const lora = "lora_name" in node.inputs ? valueOf(graph, node, "lora_name") : undefined;
    if (lora !== undefined) found.others.push(["LoRA", lora]);
  }
  readClipStop(graph, prompts, found);
}

/**
 * Read at which layer the text encoders stop. Of several nodes that say it, the one nearest to the prompt
 * counts.
 *
 * @param prompts the nodes that make the prompt's embeddings.
 */
function readClipStop(graph: Graph, prompts: readonly Node[], found: FoundSettings): void {
  for (const node of prompts.flatMap((each) => [each, ...followAll(graph, each, MODELS)])) {
    for (const name of STOPS) {
      const stop = valueOf(graph, node, name);
      if (stop === undefined || stop === "0") continue;
      take(found, "clipStop", name, stop);
      return;
    }
  }
}
