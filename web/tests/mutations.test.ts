/**
 * Readers on many damaged files of each kind: each file is read or refused, within a second of the
 * processor and 100 MB. `nox -s security` takes a hundred thousand of each, `npm test` a hundred.
 */

import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { parseAdapterBundle } from "../src/adapters/adapter_bundle";
import { readInversionFile } from "../src/adapters/inversion_file";
import { readLoraFile } from "../src/adapters/lora_file";
import { filesOf, parseIndex, parseManifest } from "../src/bundle/manifest";
import type { TokenizerEntry } from "../src/bundle/manifest";
import { readKernelTable } from "../src/gpu/kernel_table";
import { createTokenizer } from "../src/pipeline/clip_tokenizer";
import { writeText } from "../src/settings/png";
import { readSettings } from "../src/settings/read_settings";
import { WsdError } from "../src/util/errors";
import { modelOf } from "./adapters/adapter_models";
import type { TestTensor } from "./safetensors_file";
import { writeSafetensors } from "./safetensors_file";

const FUZZ = process.env.WSD_FUZZ;
const COUNT = FUZZ === undefined ? 100 : 50 * Number(FUZZ);
const SEED = FUZZ === undefined ? 1 : Date.now() >>> 0;
const MOST_SECONDS = 1;
/** How often an input is read again that took longer. */
const RERUNS = 2;
const MOST_BYTES = 100 * 2 ** 20;

/** Return a function that returns whole numbers below a limit: mulberry32. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const TEXTS = [
  ...["", "..", "../", "/x/", "C:/", "con", "\u001b[31m", "\0", "\u202e", "é", "\ud800", "null"],
  ...["x".repeat(300), "x".repeat(50_000), "Steps: 1, ".repeat(500), "__proto__", "constructor"],
  ...["[".repeat(2000), '{"a":'.repeat(500), "1e999", "1".repeat(500), "tEXt", "iTXt", "zTXt"],
];
const VALUES: unknown[] = [null, true, {}, [], [[]], 0, -1, 2 ** 31, 2 ** 53, 1e308, 0.5, ...TEXTS];

type Draw = (limit: number) => number;

function pick<T>(list: readonly T[], draw: Draw): T {
  return list[draw(list.length)]!;
}

/** Change one place of a JSON value. */
function changeValue(value: unknown, draw: Draw): void {
  let place = value as Record<string, unknown>;
  for (;;) {
    const keys = Object.keys(place);
    if (keys.length === 0) return;
    const key = pick(keys, draw);
    const below = place[key];
    if (typeof below === "object" && below !== null && draw(5) > 0) {
      if (Object.keys(below).length > 0) {
        place = below as Record<string, unknown>;
        continue;
      }
    }
    const way = draw(4);
    if (way === 0) Reflect.deleteProperty(place, key);
    else if (way === 1) place[pick(TEXTS, draw)] = below;
    else place[key] = pick(VALUES, draw);
    return;
  }
}

/** Change one place of a file's bytes. */
function changeBytes(data: Uint8Array, draw: Draw): Uint8Array {
  const at = draw(data.length + 1);
  const until = Math.min(data.length, at + pick([1, 2, 4, 8, 64, 1000], draw));
  const text = new TextEncoder().encode(pick(TEXTS, draw));
  const joined = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
  switch (draw(6)) {
    case 0: {
      const copy = data.slice();
      if (at < copy.length) copy[at] = draw(256);
      return copy;
    }
    case 1:
      return joined(data.subarray(0, at), data.subarray(until));
    case 2:
      return joined(data.subarray(0, until), data.subarray(at));
    case 3:
      return data.slice(0, at);
    case 4: {
      const copy = data.slice();
      for (let index = at; index < Math.min(at + 4, copy.length); index++) copy[index] = draw(256);
      return copy;
    }
    default:
      return joined(data.subarray(0, at), text, data.subarray(at));
  }
}

/** Return a damaged file: its bytes are changed, or for JSON half of the time its values. */
function mutate(seed: Uint8Array, json: boolean, draw: Draw): Uint8Array {
  if (json && draw(2) === 0) {
    const value: unknown = JSON.parse(new TextDecoder().decode(seed));
    for (let times = pick([1, 1, 2, 3], draw); times > 0; times--) changeValue(value, draw);
    return new TextEncoder().encode(JSON.stringify(value));
  }
  let data = seed;
  for (let times = pick([1, 1, 1, 2, 8], draw); times > 0; times--) data = changeBytes(data, draw);
  return data;
}

interface Case {
  name: string;
  seeds: Uint8Array[];
  json: boolean;
  /** Read a file; an error that is no WsdError is a fault, unless any is one of the reader's. */
  read: (data: Uint8Array) => unknown;
  anyError?: boolean;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (data: Uint8Array): string => new TextDecoder().decode(data);
const manifests = [
  readFileSync("../tests/fixtures/manifest-v1.json"),
  readFileSync("../tests/fixtures/manifest-v2.json"),
];

const header = new Uint8Array([
  ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13],
  ...encode("IHDR"),
  ...new Uint8Array(17),
]);
const infotext =
  "a cat\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 64x64";
const workflow = JSON.stringify({
  3: { class_type: "KSampler", inputs: { seed: 1, steps: 2, cfg: 3, positive: ["6", 0] } },
  6: { class_type: "CLIPTextEncode", inputs: { text: "a cat" } },
});

const entry = { max_length: 77, bos_token_id: 718, eos_token_id: 719, pad_token_id: 719 };
const tokenizer = readFileSync("../wsd/models/tiny/checkpoints/tiny-sd15/tokenizer/tokenizer.json");
const variant = { name: "tiled-f32", problem: "gemm", features: [], threads: 64, launches: [] };

const tensorOf = (...shape: number[]): TestTensor => {
  const count = shape.reduce((product, edge) => product * edge, 1);
  return { shape, values: Array.from({ length: count }, (_, at) => at / 8) };
};
const fileOf = (...file: Parameters<typeof writeSafetensors>): Uint8Array =>
  new Uint8Array(writeSafetensors(...file));

const MODEL = modelOf({
  unet: {
    "conv_in.weight": [4, 2, 3, 3],
    "conv_in.bias": [4],
    "time_embedding.linear_1.weight": [4, 4],
  },
  text_encoder: { "text_model.encoder.layers.0.mlp.fc1.weight": [4, 4] },
});
const TABLE = "text_model.embeddings.token_embedding.weight";
const ENCODER = modelOf({ text_encoder: { [TABLE]: [9, 4] } });
const ENCODERS = modelOf({
  text_encoder: { [TABLE]: [9, 4] },
  text_encoder_2: { [TABLE]: [9, 6] },
});

/** A file of each kind of change. */
const LORAS = [
  fileOf(
    {
      "unet.conv_in.lora_A.weight": tensorOf(2, 2, 3, 3),
      "unet.conv_in.lora_B.weight": tensorOf(4, 2, 1, 1),
      "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight": tensorOf(2, 4),
      "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight": tensorOf(4, 2),
    },
    {
      lora_adapter_metadata:
        '{"unet.lora_alpha":2,"unet.alpha_pattern":{"conv_in":3},"unet.use_rslora":true}',
      "modelspec.trigger_phrase": "one, two",
    },
  ),
  fileOf({
    "lora_unet_time_embedding_linear_1.lora_down.weight": tensorOf(2, 4),
    "lora_unet_time_embedding_linear_1.lora_up.weight": tensorOf(4, 2),
    "lora_unet_time_embedding_linear_1.alpha": { shape: [], values: [2] },
    "lora_unet_time_embedding_linear_1.dora_scale": tensorOf(4, 1),
    "lora_unet_conv_in.diff_b": tensorOf(4),
  }),
  fileOf({
    "lora_unet_conv_in.hada_w1_a": tensorOf(2, 4),
    "lora_unet_conv_in.hada_w1_b": tensorOf(2, 2),
    "lora_unet_conv_in.hada_t1": tensorOf(2, 2, 3, 3),
    "lora_unet_conv_in.hada_w2_a": tensorOf(2, 4),
    "lora_unet_conv_in.hada_w2_b": tensorOf(2, 2),
    "lora_unet_conv_in.hada_t2": tensorOf(2, 2, 3, 3),
  }),
  fileOf({
    "lora_unet_conv_in.lokr_w1": tensorOf(2, 2),
    "lora_unet_conv_in.lokr_w2_a": tensorOf(2, 2),
    "lora_unet_conv_in.lokr_w2_b": tensorOf(2, 9),
  }),
];

const CASES: Case[] = [
  {
    name: "manifest",
    seeds: manifests.map((data) => new Uint8Array(data)),
    json: true,
    read: (data) => filesOf(parseManifest(decode(data), "url")),
  },
  {
    name: "list of models",
    seeds: [encode('[{"name":"a","title":"b","dtype":"f32","manifest":"a/"}]')],
    json: true,
    read: (data) => parseIndex(decode(data), "url"),
  },
  {
    name: "kernel table",
    seeds: [
      encode(
        JSON.stringify({
          version: 3,
          heads: [""],
          bodies: [""],
          kernels: { k: [variant] },
          bytes: {},
        }),
      ),
      encode(JSON.stringify({ version: 2, bodies: [""], kernels: { k: [variant] }, bytes: {} })),
    ],
    json: true,
    read: (data) => readKernelTable(decode(data)),
    anyError: true,
  },
  {
    name: "tokenizer",
    seeds: [new Uint8Array(tokenizer)],
    json: true,
    read: (data) => createTokenizer(decode(data), entry as TokenizerEntry).tokenize("a red circle"),
    anyError: true,
  },
  {
    name: "LoRA",
    seeds: LORAS,
    json: false,
    read: async (data) => {
      const { layers } = await readLoraFile(data.slice().buffer, MODEL, "a.safetensors");
      // Values are read when weights are changed.
      return layers.map(({ patch }) => patch.make(0.5));
    },
  },
  {
    name: "adapter.json",
    seeds: [
      encode(
        JSON.stringify({
          ...{ version: 1, name: "a", file: "a.safetensors", bytes: 5, sha256: "0".repeat(64) },
          trigger_words: ["a word", "another"],
        }),
      ),
    ],
    json: true,
    read: (data) => parseAdapterBundle(decode(data), "https://example.org/adapter.json"),
  },
  {
    name: "textual inversion of SD 1.5",
    seeds: [
      fileOf({ emb_params: tensorOf(3, 4) }),
      fileOf({ "<toy>": { shape: [4], values: [1, 2, 3, 4] } }),
    ],
    json: false,
    read: (data) => readInversionFile(data.slice().buffer, ENCODER, "a.safetensors"),
  },
  {
    name: "textual inversion of SDXL",
    seeds: [fileOf({ clip_l: tensorOf(2, 4), clip_g: tensorOf(2, 6) })],
    json: false,
    read: (data) => readInversionFile(data.slice().buffer, ENCODERS, "a.safetensors"),
  },
  {
    name: "PNG",
    seeds: [writeText(header, infotext), writeText(header, workflow)],
    json: false,
    read: (data) => readSettings(data),
  },
];

/** Tokenizers take a millisecond each. */
const counts = (name: string): number => (name === "tokenizer" ? COUNT / 10 : COUNT);

test.each(CASES)(
  "damaged files are read or refused: $name",
  { timeout: 3_600_000 },
  async ({ name, seeds, json, read, anyError }) => {
    const draw = generator(SEED);
    for (const seed of seeds) await read(seed);
    const before = process.memoryUsage().rss;
    let longest = 0;
    let accepted = 0;
    for (let number = 0; number < counts(name); number++) {
      const data = mutate(pick(seeds, draw), json, draw);
      const shown = `input ${number} of seed ${SEED}: ${decode(data.subarray(0, 300))}`;
      const readOnce = async (): Promise<[seconds: number, isRead: boolean]> => {
        const started = process.cpuUsage();
        let isRead = false;
        try {
          isRead = (await read(data)) !== undefined;
        } catch (error) {
          if (!(error instanceof WsdError) && anyError !== true)
            expect.fail(`${shown}: ${String(error)}`);
        }
        const { user, system } = process.cpuUsage(started);
        return [(user + system) / 1e6, isRead];
      };
      const [first, isRead] = await readOnce();
      if (isRead) accepted++;
      let seconds = first;
      // A busy machine is slow once; a fault is slow each time.
      for (let again = 0; again < RERUNS && seconds > MOST_SECONDS; again++)
        seconds = Math.min(seconds, (await readOnce())[0]);
      longest = Math.max(longest, seconds);
      if (seconds > MOST_SECONDS) expect.fail(`${shown}: ${seconds} s`);
    }
    const grown = process.memoryUsage().rss - before;
    console.info(
      `${name}: ${counts(name)} inputs, ${accepted} read, longest ${Math.ceil(longest * 1e3)} ms, ` +
        `${grown >> 20} MiB more`,
    );
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(counts(name));
    // Garbage of many inputs may wait to be collected; none alone takes as much.
    expect(grown).toBeLessThan(4 * MOST_BYTES);
  },
);
