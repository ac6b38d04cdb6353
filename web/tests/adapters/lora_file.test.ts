import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { parseAdapterBundle } from "../../src/adapters/adapter_bundle";
import { readLoraFile } from "../../src/adapters/lora_file";
import { nameModules } from "../../src/adapters/module_names";
import type { Delta, StoredFactor, LowRank, Patch } from "../../src/adapters/patch";
import { splitKey } from "../../src/adapters/tensor_keys";
import type { TestTensor } from "../safetensors_file";
import { writeSafetensors } from "../safetensors_file";
import type { Layers } from "./adapter_models";
import { modelOf } from "./adapter_models";

/** Component → its parameters, and spelling → key of a down matrix → parameter. */
type Names = Record<
  string,
  {
    parameters: Record<string, number[]>;
    keys: Record<string, Record<string, string>>;
  }
>;

const NAMES = JSON.parse(readFileSync("../tests/fixtures/adapter_names.json", "utf8")) as Record<
  string,
  Names
>;

describe.each(Object.entries(NAMES))("names of %s", (_, components) => {
  const layers = Object.entries(components).map(([id, { parameters }]) => [id, parameters]);
  const modules = nameModules(modelOf(Object.fromEntries(layers) as Layers));

  it("are those of diffusers' converters", () => {
    for (const [component, { keys }] of Object.entries(components)) {
      for (const [key, parameter] of Object.values(keys).flatMap((each) => Object.entries(each))) {
        const { module, part } = splitKey(key)!;
        expect(part, key).toBe("down");
        const found = modules
          .get(module)!
          .map((place) => [place.module.component, place.module.weight.name, place.rows.pieces]);
        expect([key, found]).toEqual([key, [[component, parameter, 1]]]);
      }
    }
  });
});

interface ArithmeticCase {
  shape: number[];
  weight: number[];
  settings: Record<string, unknown>;
  adapters: {
    form: string;
    scale: number;
    dtype: string;
    tensors: Record<string, { shape: number[]; values: number[] }>;
  }[];
  merged: number[];
}

const ARITHMETIC = Object.entries(
  JSON.parse(readFileSync("../tests/fixtures/adapter_arithmetic.json", "utf8")) as Record<
    string,
    ArithmeticCase
  >,
);

const { fround } = Math;

/** One value of a float32, float16 or bfloat16 factor. */
function widened({ type, bytes }: StoredFactor, place: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (type === "F32") return view.getFloat32(4 * place, true);
  const half = view.getUint16(2 * place, true);
  if (type === "BF16") return new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return half & 0x8000 ? -size : size;
}

/** One value of a factor whose matrices are turned, as widen.wgsl turns them. */
function turned(factor: StoredFactor, row: number, column: number): number {
  const [, length, steps] = factor.axes;
  // Row-major (count, steps, length), of which a row here may have several steps.
  const at = row * length + column;
  const [n, j, i] = [
    Math.floor(at / (steps * length)),
    Math.floor(at / length) % steps,
    at % length,
  ];
  return widened(factor, (n * length + i) * steps + j);
}

/** A product of matrices, value by value, as the shaders compute it. */
function product({ up, down, rank }: LowRank, row: number, column: number): number {
  const [, inputs, positions] = down.axes;
  let sum = 0;
  for (let r = 0; r < rank; r++) {
    const [p, i] = [Math.floor(column / inputs), column % inputs];
    const right = turned(down, r * positions + p, i);
    sum = fround(sum + fround(turned(up, r, row) * right));
  }
  return sum;
}

/** One value of a difference; rows are (positions, inputs) long. */
function valueOf(delta: Delta, row: number, column: number, inputs: number): number {
  if (delta.kind === "low-rank") return product(delta.factors, row, column);
  if (delta.kind === "product") {
    return fround(product(delta.first, row, column) * product(delta.second, row, column));
  }
  const [c, positions, d] = delta.rightShape;
  const [position, input] = [Math.floor(column / inputs), column % inputs];
  const left = delta.left[Math.floor(row / c) * delta.leftColumns + Math.floor(input / d)]!;
  return fround(left * delta.right[((row % c) * positions + position) * d + (input % d)]!);
}

/** Apply a change without lengths to a weight in its stored layout. */
function apply({ delta, factor }: Patch, weight: Float32Array, rows: number, inputs: number): void {
  const columns = weight.length / rows;
  for (let at = 0; at < weight.length; at++) {
    const value = valueOf(delta, Math.floor(at / columns), at % columns, inputs);
    weight[at] = weight[at]! + fround(value * factor);
  }
}

/** Turn PyTorch's layout (out, in, height, width) into the stored one, (out, height, width, in). */
function store(values: readonly number[], [rows, inputs, ...kernel]: number[]): number[] {
  const positions = kernel.reduce((count, edge) => count * edge, 1);
  const stored: number[] = [];
  for (let row = 0; row < rows!; row++) {
    for (let position = 0; position < positions; position++) {
      for (let input = 0; input < inputs!; input++) {
        stored.push(values[(row * inputs! + input) * positions + position]!);
      }
    }
  }
  return stored;
}

/** A tensor with its values in the case's type; they are exact in it. */
function encode(
  { shape, values }: { shape: number[]; values: number[] },
  dtype: string,
): TestTensor {
  const bits = new Uint32Array(Float32Array.from(values.flat(9)).buffer);
  if (dtype === "F32") return { shape, values: values.flat(9) };
  const words = [...bits].map((word) => (dtype === "BF16" ? word >>> 16 : narrow(word)));
  return {
    shape,
    raw: { dtype, bytes: new Uint8Array(Uint16Array.from(words).buffer) },
  };
}

/** The float16 of a float32 that is one exactly, normal or zero. */
function narrow(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const exponent = (word >>> 23) & 0xff;
  if (exponent === 0) return sign;
  if (exponent > 112) return sign | (((word & 0x7fffffff) - (112 << 23)) >>> 13);
  return sign | (((word & 0x7fffff) | 0x800000) >>> (126 - exponent));
}

describe("the arithmetic of Python's merge", () => {
  it.each(ARITHMETIC)("%s", async (_, { shape, weight, settings, adapters, merged }) => {
    const manifest = modelOf({
      unet: { "mid_block.attentions.0.proj_in.weight": shape },
    });
    const [rows, inputs] = shape as [number, number];
    const values = Float32Array.from(store(weight.flat(9), shape));
    let isExact = true;
    for (const { scale, dtype, tensors } of adapters) {
      const prefix = "unet.mid_block.attentions.0.proj_in";
      const named = Object.entries(tensors).map(([suffix, tensor]) => [
        prefix + suffix,
        encode(tensor, dtype),
      ]);
      const configuration = Object.entries(settings).map(([name, value]) => [
        `unet.${name}`,
        value,
      ]);
      const file = writeSafetensors(Object.fromEntries(named) as Record<string, TestTensor>, {
        lora_adapter_metadata: JSON.stringify(Object.fromEntries(configuration)),
      });
      const { layers } = await readLoraFile(file, manifest, "a.safetensors");
      expect(layers).toHaveLength(1);
      const patch = layers[0]!.patch.make(scale);
      apply(patch, values, rows, inputs);
      if (patch.magnitude === undefined) continue;
      isExact = false;
      const { values: lengths, axis, blend, epsilon } = patch.magnitude;
      const columns = values.length / rows;
      const lineOf = (at: number): number =>
        axis === "out" ? Math.floor(at / columns) : at % inputs;
      const squares = new Float64Array(lengths.length);
      values.forEach((value, at) => (squares[lineOf(at)]! += value * value));
      values.forEach((value, at) => {
        const ratio = lengths[lineOf(at)]! / (Math.sqrt(squares[lineOf(at)]!) + epsilon);
        values[at] = value * (blend * (ratio - 1) + 1);
      });
      apply({ ...patch, factor: patch.rest }, values, rows, inputs);
    }
    const expected = Float32Array.from(store(merged.flat(9), shape));
    if (isExact) expect([...values]).toEqual([...expected]);
    else values.forEach((value, at) => expect(value).toBeCloseTo(expected[at]!, 5));
  });
});

const ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";
const MODEL = modelOf(
  {
    unet: {
      [`${ATTENTION}.weight`]: [4, 768],
      [`${ATTENTION}.bias`]: [4],
      "conv_in.weight": [4, 2, 3, 3],
    },
    text_encoder: {
      "text_model.encoder.layers.0.mlp.fc1.weight": [4, 4],
      "text_model.final_layer_norm.weight": [4],
    },
  },
  "sd15",
);

function zeros(...shape: number[]): TestTensor {
  return {
    shape,
    values: Array<number>(shape.reduce((count, edge) => count * edge, 1)).fill(0),
  };
}

/** A LoRA for the attention of `MODEL`, with changes. */
function loraOf(
  changes: Record<string, TestTensor> = {},
  inputs = 768,
): Record<string, TestTensor> {
  return {
    [`unet.${ATTENTION}.lora_A.weight`]: zeros(2, inputs),
    [`unet.${ATTENTION}.lora_B.weight`]: zeros(4, 2),
    ...changes,
  };
}

async function refusalOf(
  tensors: Record<string, TestTensor>,
  metadata?: Record<string, string>,
): Promise<string> {
  const error: unknown = await readLoraFile(
    writeSafetensors(tensors, metadata),
    MODEL,
    "a.safetensors",
  ).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    name: "LoraError",
    hint: expect.stringMatching(/./) as unknown,
  });
  return (error as Error).message;
}

describe("a file that does not fit", () => {
  it.each([
    ["another family's width", loraOf({}, 2048), /a LoRA for SDXL.*sd15 \(Stable Diffusion 1\.x\)/],
    [
      "the second text encoder of another family",
      { "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": zeros() },
      /a LoRA for SDXL/,
    ],
    [
      "a layer that the model lacks",
      loraOf({ "unet.nowhere.alpha": zeros() }),
      /1 of its 3.*nowhere/,
    ],
    [
      "a rank that does not fit",
      loraOf({ [`unet.${ATTENTION}.lora_B.weight`]: zeros(4, 3) }),
      /up has/,
    ],
    ["one factor alone", { [`unet.${ATTENTION}.lora_A.weight`]: zeros(2, 768) }, /up is missing/],
    ["no tensors", {}, /holds no tensors/],
    [
      "a layer twice",
      loraOf({
        [`lora_unet_${ATTENTION.replaceAll(".", "_")}.lora_down.weight`]: zeros(2, 768),
      }),
      /are the same tensor/,
    ],
    ["two kinds at once", loraOf({ [`unet.${ATTENTION}.diff`]: zeros(4, 768) }), /several kinds/],
    [
      "a kernel of another shape with as many values",
      {
        "unet.conv_in.lora_down.weight": zeros(2, 2, 9, 1),
        "unet.conv_in.lora_up.weight": zeros(4, 2),
      },
      /down has the shape \(2, 2, 9, 1\)/,
    ],
    [
      "a LoHa's kernel of another shape",
      {
        "unet.conv_in.hada_w1_a": zeros(4, 2),
        "unet.conv_in.hada_w1_b": zeros(2, 2, 1, 9),
        "unet.conv_in.hada_w2_a": zeros(4, 2),
        "unet.conv_in.hada_w2_b": zeros(2, 18),
      },
      /hada_w1_b has the shape \(2, 2, 1, 9\)/,
    ],
    [
      "a LoKr's kernel of another shape",
      {
        "unet.conv_in.lokr_w1": zeros(2, 2),
        "unet.conv_in.lokr_w2": zeros(2, 1, 9, 1),
      },
      /lokr_w2 has the shape \(2, 1, 9, 1\)/,
    ],
    [
      "a core of another shape with as many values",
      {
        "unet.conv_in.lora_down.weight": zeros(2, 2, 1, 1),
        "unet.conv_in.lora_mid.weight": zeros(2, 2, 9, 1),
        "unet.conv_in.lora_up.weight": zeros(4, 2, 1, 1),
      },
      /mid has the shape \(2, 2, 9, 1\)/,
    ],
    [
      "values that are not numbers",
      loraOf({
        [`unet.${ATTENTION}.lora_B.weight`]: {
          shape: [4, 2],
          values: [NaN, 0, 0, 0, 0, 0, 0, 0],
        },
      }),
      /not numbers/,
    ],
  ])("%s", async (_, tensors, message) => {
    expect(await refusalOf(tensors)).toMatch(message);
  });

  it.each([
    ["{", /lora_adapter_metadata is not JSON/],
    ["[]", /lora_adapter_metadata is no object/],
    ['{"unet.lora_alpha":true}', /no number as lora_alpha/],
    ['{"unet.alpha_pattern":"abc"}', /no object as alpha_pattern/],
    ['{"unet.alpha_pattern":{"to_k|to_q":1}}', /has "to_k\|to_q" in alpha_pattern/],
    ['{"unet.use_rslora":"no"}', /neither true nor false as use_rslora/],
  ])("metadata that cannot be read: %s", async (text, message) => {
    expect(await refusalOf(loraOf(), { lora_adapter_metadata: text })).toMatch(message);
  });

  it("thousands of unknown tensors are refused at once", async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => [`layer_${index}.alpha`, zeros()]);
    const message = await refusalOf(Object.fromEntries(many) as Record<string, TestTensor>);
    expect(message).toContain("20000 of its 20000 tensors");
    expect(message.length).toBeLessThan(400);
  });
});

it("alphas of PEFT's configuration count where no tensor has one", async () => {
  const configuration = {
    "unet.lora_alpha": 1,
    "unet.alpha_pattern": { "attn2.to_k": 8 },
    "unet.use_rslora": true,
  };
  const metadata = { lora_adapter_metadata: JSON.stringify(configuration) };
  const file = writeSafetensors(loraOf(), metadata);
  const { layers } = await readLoraFile(file, MODEL, "a.safetensors");
  expect(layers[0]!.patch.make(0.5).factor).toBe(fround((0.5 * 8) / Math.SQRT2));
});

it("a factor beyond float32 is refused", async () => {
  const { layers } = await readLoraFile(writeSafetensors(loraOf()), MODEL, "a.safetensors");
  expect(() => layers[0]!.patch.make(1e39)).toThrow(/beyond float32/);
  expect(() => layers[0]!.patch.check(1e39)).toThrow(/beyond float32/);
});

it("the layers that SDXL's first encoder does not run are named, and change nothing", async () => {
  const layer = "encoder.layers.0.mlp.fc1.weight";
  const manifest = modelOf({
    text_encoder: { [layer]: [2, 2] },
    // It is run to its end, for the pooled text.
    text_encoder_2: { [layer]: [2, 2], "final_layer_norm.weight": [2] },
  });
  const layerOf = (index: number): Record<string, TestTensor> => ({
    [`lora_te1_text_model_encoder_layers_${index}_mlp_fc1.lora_down.weight`]: zeros(1, 2),
    [`lora_te1_text_model_encoder_layers_${index}_mlp_fc1.lora_up.weight`]: zeros(2, 1),
  });
  const norm = {
    "lora_te1_text_model_final_layer_norm.w_norm": zeros(2),
    "lora_te1_text_model_final_layer_norm.b_norm": zeros(2),
  };
  const file = writeSafetensors({ ...layerOf(0), ...layerOf(1), ...norm });
  const read = await readLoraFile(file, manifest, "a.safetensors");
  expect(read.layers).toHaveLength(1);
  expect(read.unused).toEqual([...Object.keys(layerOf(1)), ...Object.keys(norm)]);
  const second = Object.fromEntries(
    Object.entries(layerOf(1)).map(([key, tensor]) => [key.replace("te1", "te2"), tensor]),
  );
  for (const others of [layerOf(2), second]) {
    const beyond = readLoraFile(writeSafetensors({ ...layerOf(0), ...others }), manifest, "a");
    await expect(beyond).rejects.toThrow(/belong to no layer/);
  }
  const used = { "lora_te2_text_model_final_layer_norm.w_norm": zeros(2) };
  const ofNorm = await readLoraFile(writeSafetensors(used), manifest, "a.safetensors");
  expect([ofNorm.changed, ofNorm.unused]).toEqual([1, []]);
});

it("a projection of text has no level of the text model before it", () => {
  const projection = { "text_projection.weight": [2, 2] };
  const names = nameModules(modelOf({ text_encoder: {}, text_encoder_2: projection }));
  expect([...names.keys()]).toEqual(["text_encoder_2.text_projection", "lora_te2_text_projection"]);
});

it("of trigger words, no more are taken than anybody reads", async () => {
  const phrase = ["", " one ", "x".repeat(3000), ...Array<string>(100).fill("word")].join(",");
  const file = writeSafetensors(loraOf(), {
    "modelspec.trigger_phrase": phrase,
  });
  const { triggerWords } = await readLoraFile(file, MODEL, "a.safetensors");
  expect(triggerWords.slice(0, 3)).toEqual(["one", "x".repeat(200), "word"]);
  expect(triggerWords).toHaveLength(20);
  const bundle = {
    version: 1,
    name: "a",
    file: "a.safetensors",
    bytes: 1,
    sha256: "0".repeat(64),
    trigger_words: phrase.split(","),
  };
  const parsed = parseAdapterBundle(JSON.stringify(bundle), "https://example.org/adapter.json");
  expect(parsed.triggerWords).toEqual(triggerWords);
});
