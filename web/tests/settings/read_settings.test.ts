import { deflateSync } from "node:zlib";

import { expect, test } from "vitest";

import type { FoundSettings } from "../../src/settings/found_settings";
import { parseJson } from "../../src/settings/loose_json";
import { readTexts, writeText } from "../../src/settings/png";
import { readSettings } from "../../src/settings/read_settings";
import { findScheduler, nameSampler } from "../../src/settings/sampler_names";
import { formatSettings, parseInfotext, parseSettings } from "../../src/settings/infotext";
import { SCHEDULERS } from "../../src/util/constants.generated";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function chunk(type: string, ...parts: (string | Uint8Array)[]): Uint8Array {
  const data = Buffer.concat(parts.map((part) => (typeof part === "string" ? bytes(part) : part)));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, bytes(type), data, Buffer.alloc(4)]);
}

function png(...chunks: Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.from(SIGNATURE), ...chunks]);
}

/** A picture with texts, as Pillow writes them. */
function picture(texts: Record<string, string | object>): Uint8Array {
  const chunks = Object.entries(texts).map(([keyword, text]) =>
    chunk("iTXt", `${keyword}\0\0\0\0\0`, typeof text === "string" ? text : JSON.stringify(text)),
  );
  return png(chunk("IHDR", new Uint8Array(13)), chunk("IDAT", "x"), ...chunks, chunk("IEND"));
}

/** What is found, without what is undefined. */
function present(found: FoundSettings | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(found ?? {}).filter(([, value]) => value !== undefined));
}

async function read(texts: Record<string, string | object>): Promise<Record<string, unknown>> {
  return present(await readSettings(picture(texts)));
}

const text = "a cat\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, Seed: 7";

test.each([
  ["tEXt", chunk("tEXt", "parameters\0", text)],
  ["zTXt", chunk("zTXt", "parameters\0\0", deflateSync(text))],
  ["iTXt", chunk("iTXt", "parameters\0\0\0en\0Einstellungen\0", text)],
  ["compressed iTXt", chunk("iTXt", "parameters\0\u0001\0\0\0", deflateSync(text))],
])("a text is read from %s", async (_, made) => {
  const found = await readSettings(png(chunk("IDAT", "x"), made));
  expect(found).toEqual(parseInfotext(text));
});

test("damaged, endless and far too many texts are left out", async () => {
  const bomb = deflateSync(Buffer.alloc(17 * 2 ** 20, "a"));
  const chunks = [
    chunk("zTXt", "broken\0\0", "no zlib"),
    chunk("zTXt", "cut\0\0", deflateSync(text).subarray(0, 20)),
    chunk("zTXt", "bomb\0\0", bomb),
    chunk("zTXt", "method\0\u0001", deflateSync(text)),
    chunk("iTXt", "short\0"),
    chunk("tEXt", "none"),
    chunk("tEXt", "a\0one"),
    chunk("tEXt", "a\0two"),
    ...Array.from({ length: 100 }, (_, index) => chunk("tEXt", `key${index}\0x`)),
  ];
  const texts = await readTexts(png(...chunks));
  expect(texts.get("a")).toBe("one");
  for (const keyword of ["broken", "cut", "bomb", "method", "short", "key99"]) {
    expect(texts.has(keyword)).toBe(false);
  }
});

test("Latin-1 is what tEXt holds", async () => {
  const data = Uint8Array.from([0x63, 0xe9, 0x80]);
  expect((await readTexts(png(chunk("tEXt", "a\0", data)))).get("a")).toBe("cé\u0080");
});

// What programs write; the names are those of the sampler tables.
const INFOTEXTS: [string, string, object][] = [
  [
    "A1111 before 1.9",
    "a cat\nNegative prompt: dog, (bad:1.2)\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned",
    {
      ...{
        prompt: "a cat",
        negativePrompt: "dog, (bad:1.2)",
        steps: 20,
        guidanceScale: 7,
        seed: 1,
      },
      ...{ width: 512, height: 768, sampler: "DPM++ 2M Karras", model: "v1-5-pruned", others: [] },
    },
  ],
  [
    "A1111 since 1.9, with hashes in quotation marks",
    'a cat\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Lora hashes: "a: b, c: d", TI hashes: "x: \\"y\\", z: w", Clip skip: 2, Version: v1.9.3',
    {
      ...{ prompt: "a cat", steps: 20, sampler: "DPM++ 2M", schedule: "Karras", seed: 1 },
      ...{ guidanceScale: 7, width: 512, height: 512, clipSkip: 1, inversions: ["x", "z"] },
      others: [
        ["LoRA", "a"],
        ["LoRA", "c"],
      ],
    },
  ],
  [
    "Windows' line ends, and some at the end",
    "a cat\r\nin a hat\r\nNegative prompt: dog\r\nbird\r\nSteps: 20, Sampler: Euler a, CFG scale: 7\r\n\r\n",
    {
      ...{ prompt: "a cat\nin a hat", negativePrompt: "dog\nbird", steps: 20 },
      ...{ sampler: "Euler a", guidanceScale: 7, others: [] },
    },
  ],
  [
    "Forge, with lines below of an extension",
    "a cat\nSteps: 8, Sampler: Euler, Schedule type: SGM Uniform, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 99, Version: f2.0.1\nTemplate: a {cat|dog}\n",
    {
      ...{ prompt: "a cat", steps: 8, sampler: "Euler", schedule: "SGM Uniform", seed: 99 },
      guidanceScale: 1,
      others: [
        ["Distilled CFG Scale", "3.5"],
        ["Template", "Template: a {cat|dog}"],
      ],
    },
  ],
  [
    "SD.Next, whose line begins otherwise",
    "a cat\nSampler: UniPC, Seed: 18446744073709551615, CFG scale: 6, App: SD.Next",
    {
      ...{ program: "SD.Next", prompt: "a cat", sampler: "UniPC", guidanceScale: 6 },
      ...{ seed: 18446744073709551615n, others: [] },
    },
  ],
  [
    "values that cannot be read",
    "a cat\nSteps: 20, Sampler: Euler, Seed: many, Size: big, CFG scale: , RNG: NV, Broken, : x",
    {
      ...{ prompt: "a cat", steps: 20, sampler: "Euler" },
      others: [
        ["Seed", "many"],
        ["Size", "big"],
        ["CFG scale", ""],
        ["RNG", "NV"],
      ],
    },
  ],
  [
    "no settings at all",
    "just: words, and: more",
    { prompt: "just: words, and: more", others: [] },
  ],
  ["nothing", "\n", { prompt: "", others: [] }],
];

test.each(INFOTEXTS)("the text of %s", async (_, given, expected) => {
  expect(await read({ parameters: given })).toEqual({ program: "A1111", ...expected });
});

const node = (class_type: string, inputs: object): object => ({ class_type, inputs });
const GRAPH = {
  3: node("KSampler", {
    ...{ seed: 5, steps: 20, cfg: 8, sampler_name: "dpmpp_2m", scheduler: "karras", denoise: 1 },
    ...{ model: ["4", 0], positive: ["6", 0], negative: ["7", 0], latent_image: ["5", 0] },
  }),
  4: node("CheckpointLoaderSimple", { ckpt_name: "sd15/dream.safetensors" }),
  5: node("EmptyLatentImage", { width: 512, height: 768, batch_size: 1 }),
  6: node("CLIPTextEncode", { text: "a cat", clip: ["4", 1] }),
  7: node("CLIPTextEncode", { text: "dog", clip: ["4", 1] }),
  8: node("VAEDecode", { samples: ["3", 0], vae: ["4", 2] }),
  9: node("SaveImage", { images: ["8", 0] }),
};
const GRAPH_FOUND = {
  ...{ program: "ComfyUI", prompt: "a cat", negativePrompt: "dog", steps: 20, guidanceScale: 8 },
  ...{ seed: 5, width: 512, height: 768, sampler: "dpmpp_2m", schedule: "karras" },
  ...{ model: "sd15/dream.safetensors", others: [] },
};

const GRAPHS: [string, object, object][] = [
  ["a plain one", GRAPH, {}],
  [
    "values that come over links",
    {
      ...GRAPH,
      3: node("KSampler", {
        ...GRAPH_SAMPLER(),
        ...{ seed: ["20", 0], steps: ["21", 0], positive: ["24", 0] },
      }),
      6: node("CLIPTextEncode", { text: ["22", 0], clip: ["4", 1] }),
      20: node("Seed (rgthree)", { seed: 5 }),
      21: node("PrimitiveInt", { value: 20 }),
      22: node("ShowText", { text: ["23", 0] }),
      23: node("String Literal", { string: "a cat" }),
      24: node("ControlNetApplyAdvanced", { positive: ["6", 0], negative: ["7", 0], strength: 1 }),
    },
    {},
  ],
  [
    "KSamplerAdvanced, SDXL's texts, zeros as negative prompt, LoRA and clip skip",
    {
      ...GRAPH,
      3: node("KSamplerAdvanced", {
        ...GRAPH_SAMPLER(),
        ...{ seed: undefined, noise_seed: 5, start_at_step: 0, end_at_step: 10000 },
        ...{ model: ["30", 0], negative: ["31", 0] },
      }),
      6: node("CLIPTextEncodeSDXL", {
        text_g: "a cat",
        text_l: "a cat",
        width: 1,
        clip: ["32", 0],
      }),
      30: node("LoraLoader", { lora_name: "pixel.safetensors", model: ["4", 0], clip: ["4", 1] }),
      31: node("ConditioningZeroOut", { conditioning: ["6", 0] }),
      32: node("CLIPSetLastLayer", { stop_at_clip_layer: -2, clip: ["30", 1] }),
    },
    {
      negativePrompt: undefined,
      // How many layers that leaves out depends on the model.
      clipStop: -2,
      others: [["LoRA", "pixel.safetensors"]],
    },
  ],
  [
    "of two stops the one nearest to the prompt, which the model's own chain does not have",
    {
      ...GRAPH,
      3: node("KSampler", { ...GRAPH_SAMPLER(), model: ["30", 0] }),
      6: node("CLIPTextEncode", { text: "a cat", clip: ["33", 0] }),
      30: node("LoraLoader", { lora_name: "a.safetensors", model: ["4", 0], clip: ["32", 0] }),
      32: node("CLIPSetLastLayer", { stop_at_clip_layer: -3, clip: ["4", 1] }),
      33: node("CLIPSetLastLayer", { stop_at_clip_layer: -1, clip: ["30", 1] }),
    },
    { clipStop: -1, others: [["LoRA", "a.safetensors"]] },
  ],
  [
    "a stop that there cannot be",
    {
      ...GRAPH,
      6: node("CLIPTextEncode", { text: "a cat", clip: ["32", 0] }),
      32: node("CLIPSetLastLayer", { stop_at_clip_layer: 1.5, clip: ["4", 1] }),
    },
    { others: [["stop_at_clip_layer", "1.5"]] },
  ],
  [
    "SamplerCustomAdvanced, whose settings are nodes",
    {
      ...GRAPH,
      3: node("SamplerCustomAdvanced", {
        ...{ noise: ["40", 0], guider: ["41", 0], sampler: ["42", 0], sigmas: ["43", 0] },
        latent_image: ["5", 0],
      }),
      40: node("RandomNoise", { noise_seed: 5 }),
      41: node("CFGGuider", { cfg: 8, model: ["4", 0], positive: ["6", 0], negative: ["7", 0] }),
      42: node("KSamplerSelect", { sampler_name: "dpmpp_2m" }),
      43: node("BasicScheduler", { scheduler: "karras", steps: 20, denoise: 1, model: ["4", 0] }),
    },
    {},
  ],
  [
    "two samplers: the one that begins counts, wherever it stands",
    {
      1: node("KSampler", {
        ...GRAPH_SAMPLER(),
        ...{ seed: 6, steps: 10, denoise: 0.5, latent_image: ["50", 0] },
      }),
      ...GRAPH,
      50: node("LatentUpscale", { samples: ["3", 0], width: 1024, height: 1536 }),
    },
    { others: [["Samplers", "2, one of them read"]] },
  ],
  [
    "one that begins with a picture",
    {
      ...GRAPH,
      3: node("KSampler", { ...GRAPH_SAMPLER(), denoise: 0.6 }),
      5: node("VAEEncode", { pixels: ["60", 0], vae: ["4", 2] }),
      60: node("LoadImage", { image: "cat.png" }),
    },
    {
      ...{ width: undefined, height: undefined, strength: 0.6 },
      others: [["Begins with", "a picture"]],
    },
  ],
  [
    "an efficient loader that holds everything",
    {
      3: node("KSampler (Efficient)", {
        ...GRAPH_SAMPLER(),
        ...{ model: ["4", 0], positive: ["4", 1], negative: ["4", 2], latent_image: ["4", 3] },
      }),
      4: node("Efficient Loader", {
        ...{ ckpt_name: "sd15/dream.safetensors", positive: "a cat", negative: "dog" },
        ...{ empty_latent_width: 512, empty_latent_height: 768, clip_skip: -2 },
      }),
    },
    { clipStop: -2 },
  ],
];

function GRAPH_SAMPLER(): object {
  return (GRAPH[3] as { inputs: object }).inputs;
}

test.each(GRAPHS)("ComfyUI's graph: %s", async (_, graph, changed) => {
  expect(await read({ prompt: graph })).toEqual(
    present({ ...GRAPH_FOUND, ...changed } as unknown as FoundSettings),
  );
});

test("ComfyUI's seeds keep all digits, and NaN, which JSON does not have, does not hide a graph", async () => {
  const graph = JSON.stringify({ ...GRAPH, 70: node("Random", { is_changed: ["NaN", 0.5] }) })
    .replace('"NaN"', "NaN")
    .replace('"seed":5', '"seed":18446744073709551615');
  expect(await read({ prompt: graph })).toEqual({ ...GRAPH_FOUND, seed: 18446744073709551615n });
});

test("ComfyUI's screen is read where it is all there is", async () => {
  const link = (id: number, from: number, to: number, type: string): unknown[] => {
    return [id, from, 0, to, 0, type];
  };
  const shown = (id: number, type: string, values: unknown[], inputs: object = {}): object => ({
    ...{ id, type, widgets_values: values },
    inputs: Object.entries(inputs).map(([name, l]) => ({ name, link: l as number })),
  });
  const workflow = {
    nodes: [
      { ...shown(2, "KSampler", [1, "fixed", 1, 1, "euler", "normal", 1]), mode: 4 },
      shown(3, "KSampler", [5, "fixed", 20, 8, "dpmpp_2m", "karras", 1], {
        ...{ model: 1, positive: 2, negative: 3, latent_image: 4 },
      }),
      shown(4, "CheckpointLoaderSimple", ["sd15/dream.safetensors"]),
      shown(5, "EmptyLatentImage", [512, 768, 1]),
      shown(6, "CLIPTextEncode", ["a cat"], { clip: 5 }),
      shown(7, "CLIPTextEncode", ["dog"], { clip: 5 }),
      shown(8, "Reroute", [], { "": 6 }),
    ],
    links: [
      link(1, 4, 3, "MODEL"),
      link(2, 8, 3, "CONDITIONING"),
      link(3, 7, 3, "CONDITIONING"),
      link(4, 5, 3, "LATENT"),
      link(5, 4, 6, "CLIP"),
      link(6, 6, 8, "CONDITIONING"),
    ],
  };
  expect(await read({ workflow })).toEqual(GRAPH_FOUND);
  expect(await read({ prompt: {}, workflow })).toEqual(GRAPH_FOUND);
});

const TABLES: [string, Record<string, string | object>, object][] = [
  [
    "InvokeAI",
    {
      invokeai_metadata: {
        ...{ app_version: "4.2.0", generation_mode: "txt2img", positive_prompt: "a cat" },
        ...{ negative_prompt: "", width: 768, height: 432, seed: 356120443, rand_device: "cpu" },
        ...{ cfg_scale: 7.5, steps: 50, scheduler: "dpmpp_2m_k", clip_skip: 1, loras: [] },
        ...{
          model: { name: "dream", base: "sd-1" },
          vae: { model_name: "mse" },
          seamless_x: false,
        },
      },
    },
    {
      ...{ program: "InvokeAI", prompt: "a cat", negativePrompt: "", width: 768, height: 432 },
      ...{ seed: 356120443, guidanceScale: 7.5, steps: 50, sampler: "dpmpp_2m_k", model: "dream" },
      clipSkip: 1,
      others: [["vae", "mse"]],
    },
  ],
  [
    "InvokeAI before version 3",
    {
      "sd-metadata": {
        model_weights: "stable-diffusion-1.5",
        image: {
          ...{ prompt: [{ prompt: "a cat", weight: 1 }], steps: 20, cfg_scale: 7.5, seed: 4 },
          ...{ width: 512, height: 512, sampler: "k_euler", type: "txt2img" },
        },
      },
    },
    {
      ...{ program: "InvokeAI", prompt: "a cat", steps: 20, guidanceScale: 7.5, seed: 4 },
      ...{ width: 512, height: 512, sampler: "k_euler", model: "stable-diffusion-1.5", others: [] },
    },
  ],
  [
    "Fooocus",
    {
      parameters: {
        ...{ prompt: "a cat", negative_prompt: "", styles: "[]", performance: "Speed", steps: 30 },
        ...{ resolution: "(1152, 896)", guidance_scale: 4, sampler: "dpmpp_2m_sde_gpu" },
        ...{ scheduler: "karras", seed: "8124812759124", base_model: "juggernautXL_v8" },
        ...{ version: "Fooocus v2.5.0" },
      },
    },
    {
      ...{ program: "Fooocus", prompt: "a cat", negativePrompt: "", steps: 30, width: 1152 },
      ...{ height: 896, guidanceScale: 4, sampler: "dpmpp_2m_sde_gpu", schedule: "karras" },
      ...{ seed: 8124812759124, model: "juggernautXL_v8" },
      others: [
        ["styles", "[]"],
        ["performance", "Speed"],
      ],
    },
  ],
  [
    "a program made with diffusers",
    {
      parameters: {
        ...{ prompt: "a cat", negative_prompt: "dog", num_inference_steps: 30, seed: 7 },
        ...{ guidance_scale: 7.5, width: 512, height: 768, scheduler: "EulerDiscreteScheduler" },
        ...{ eta: 0, clip_skip: 1, cross_attention_kwargs: null },
      },
    },
    {
      ...{ program: "diffusers", prompt: "a cat", negativePrompt: "dog", steps: 30, seed: 7 },
      ...{ guidanceScale: 7.5, width: 512, height: 768, sampler: "EulerDiscreteScheduler", eta: 0 },
      clipSkip: 1,
      others: [],
    },
  ],
  [
    "SwarmUI",
    {
      parameters: {
        sui_image_params: {
          ...{ prompt: "a cat", negativeprompt: "dog", model: "dream", seed: 2042464333 },
          ...{ steps: 25, cfgscale: 1, width: 512, height: 768, sampler: "euler" },
          ...{ scheduler: "normal", swarm_version: "0.9.1.1" },
        },
      },
    },
    {
      ...{ program: "SwarmUI", prompt: "a cat", negativePrompt: "dog", model: "dream", steps: 25 },
      ...{ seed: 2042464333, guidanceScale: 1, width: 512, height: 768, sampler: "euler" },
      ...{ schedule: "normal", others: [] },
    },
  ],
  [
    "NovelAI",
    {
      ...{ Software: "NovelAI", Description: "a cat" },
      Comment: {
        ...{ prompt: "a cat", uc: "dog", steps: 28, scale: 5, seed: 1, width: 832, height: 1216 },
        ...{ sampler: "k_dpmpp_2m", noise_schedule: "native", sm: false },
      },
    },
    {
      ...{ program: "NovelAI", prompt: "a cat", negativePrompt: "dog", steps: 28, seed: 1 },
      ...{ guidanceScale: 5, width: 832, height: 1216, sampler: "dpmpp_2m", schedule: "normal" },
      others: [],
    },
  ],
];

test.each([
  ["PromptGenerateRequest", undefined],
  [undefined, undefined],
  ["Img2ImgRequest", 0.7],
  ["NativeInfillingRequest", 0.7],
])("a strength of NovelAI counts where a picture was given: %s", async (request, strength) => {
  const comment = { prompt: "a cat", uc: "dog", steps: 28, strength: 0.7, request_type: request };
  const found = await read({ Software: "NovelAI", Comment: comment });
  expect(found).toMatchObject({ program: "NovelAI", steps: 28, others: [] });
  expect(found.strength).toBe(strength);
});

test.each(TABLES)("what %s writes", async (_, texts, expected) => {
  expect(await read(texts)).toEqual(expected);
});

test("texts without settings are none", async () => {
  for (const texts of [{}, { Comment: "hello" }, { Comment: { a: 1 } }, { prompt: "a cat" }]) {
    expect(await read(texts)).toEqual({});
  }
  expect(await read({ prompt: "[[[", workflow: "{}" })).toEqual({});
  expect(await readSettings(new Uint8Array([1, 2, 3]))).toBeUndefined();
});

test("numbers of JSON keep their digits, and what is not JSON is nothing", () => {
  expect(
    parseJson('{"a": [NaN, -Infinity, 12345678901234567890, -1234567890123456, 1.5e3]}'),
  ).toEqual({ a: [null, null, "12345678901234567890", "-1234567890123456", 1500] });
  expect(parseJson('"NaN 12345678901234567890 \\" NaN"')).toBe('NaN 12345678901234567890 " NaN');
  expect(parseJson("1.23456789012345678901")).toBeCloseTo(1.23456789);
  expect(parseJson("[".repeat(101) + "]".repeat(101))).toBeUndefined();
  expect(parseJson("{")).toBeUndefined();
});

test("every scheduler survives the text that is written for other programs", () => {
  for (const scheduler of SCHEDULERS) {
    const settings = {
      ...{
        prompt: "a",
        negativePrompt: undefined,
        steps: 4,
        guidanceScale: 3,
        eta: 0.5,
        scheduler,
      },
      ...{ seed: -1, width: 64, height: 64, model: 'a, b: "c"' },
    };
    expect(parseSettings(formatSettings(settings))).toEqual(settings);
  }
  expect(nameSampler("dpmpp_2m_karras")).toEqual({ sampler: "DPM++ 2M", schedule: "Karras" });
});

test.each([
  ["A1111", "DPM++ 2M Karras", "", "dpmpp_2m_karras"],
  ["A1111", "DPM++ 2M", "", "dpmpp_2m"],
  ["A1111", "DPM++ 2M", "Automatic", "dpmpp_2m_karras"],
  ["A1111", "dpm++ 2m", "karras", "dpmpp_2m_karras"],
  ["SD.Next", "Euler a", "", "euler_a"],
  ["ComfyUI", "dpmpp_2m", "normal", "dpmpp_2m"],
  ["ComfyUI", "euler_ancestral", "normal", "euler_a"],
  ["Fooocus", "dpmpp_2m_sde_gpu", "karras", "dpmpp_2m_sde_karras"],
  ["InvokeAI", "dpmpp_2m_k", "", "dpmpp_2m_karras"],
  ["InvokeAI", "euler_a", "", "euler_a"],
  ["NovelAI", "dpmpp_2m", "normal", "dpmpp_2m"],
  ["diffusers", "DPMSolverMultistepScheduler", "", "dpmpp_2m"],
  ["diffusers", "EulerAncestralDiscreteScheduler", "", "euler_a"],
  ["diffusers", "PNDMScheduler", "", "pndm"],
  ["A1111", "UniPCMultistepScheduler", "", "unipc"],
])("%s' sampler %s with the schedule %j", (program, sampler, schedule, expected) => {
  const known = findScheduler(program, sampler, schedule);
  expect(known).toEqual({ schedulers: [expected], exact: true });
});

test("a schedule that is not known leaves the sampler's others", () => {
  const known = findScheduler("A1111", "DPM++ 2M", "SGM Uniform")!;
  expect(known.exact).toBe(false);
  expect(known.schedulers[0]).toBe("dpmpp_2m");
  expect(findScheduler("A1111", "Restart", "Karras")).toBeUndefined();
  expect(findScheduler("ComfyUI", "constructor", "")).toBeUndefined();
});

// Megabytes for each; what takes the square of the time takes hours.
const LONG = 2_000_000;
const circle = Object.fromEntries(
  Array.from({ length: 5000 }, (_, id) => {
    const links = ["positive", "negative", "latent_image", "model", "conditioning", "seed", "cfg"];
    const next = [String((id * 7 + 1) % 5000), 0];
    return [id, node("KSampler", Object.fromEntries(links.map((name) => [name, next])))];
  }),
);
const HOSTILE: [string, Record<string, string | object>][] = [
  ["letters", { parameters: `a\nSteps: 1, ${"a".repeat(LONG)}` }],
  ["words", { parameters: `a\nSteps: 1, ${"a b".repeat(LONG / 3)}` }],
  ["spaces", { parameters: `a\nSteps: 1,${" ".repeat(LONG)}x` }],
  ["keys", { parameters: `a\n${"Steps: 1,".repeat(LONG / 9)}` }],
  ["colons", { parameters: `a\nSteps: 1${":".repeat(LONG)}` }],
  ["quotation marks", { parameters: `a\nSteps: 1, ${'a: "b, '.repeat(LONG / 7)}` }],
  ["open quotation marks", { parameters: `a\nSteps: 1, ${'a: "\\", '.repeat(LONG / 8)}` }],
  ["backslashes", { parameters: `a\nSteps: 1, a: "${"\\".repeat(LONG)}` }],
  ["digits", { parameters: `a\nSteps: 1, Seed: ${"1".repeat(LONG)}, Size: ${"1".repeat(LONG)}` }],
  ["line ends", { parameters: "\n".repeat(LONG) }],
  ["line ends of Windows", { parameters: `x${"\r\n".repeat(LONG / 2)}x` }],
  ["lines", { parameters: "Negative prompt: Steps: \n".repeat(LONG / 25) }],
  ["settings", { parameters: "Steps: 1, Sampler: Euler\n".repeat(LONG / 25) }],
  ["brackets", { prompt: "{".repeat(LONG) }],
  ["arrays", { prompt: `{"a":${"[".repeat(LONG)}` }],
  ["numbers", { prompt: `{"a": ${"1".repeat(LONG)}.}` }],
  ["signs", { prompt: `{"a": ${"-".repeat(LONG)}1}` }],
  ["strings", { prompt: `{${'"a\\"b":1,'.repeat(LONG / 10)}` }],
  ["a string without end", { prompt: `{"${'\\"'.repeat(LONG / 2)}` }],
  ["circles", { prompt: circle }],
];

test.each(HOSTILE)(
  "megabytes of %s are read in time",
  async (_, texts) => {
    await readSettings(picture(texts));
  },
  20_000,
);

test("a text survives its PNG beside others", async () => {
  const made = writeText(picture({ prompt: GRAPH }), text);
  expect((await readTexts(made)).get("parameters")).toBe(text);
  expect(present(await readSettings(made))).toMatchObject({ program: "A1111", prompt: "a cat" });
});
