/** LoRAs of Stable Diffusion 3.5: names, layers that are rows of one in the file, and refusals. */

import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { readLoraFile } from "../../src/adapters/lora_file";
import { nameModules } from "../../src/adapters/module_names";
import type { Delta, Layer, LowRank } from "../../src/adapters/patch";
import { splitKey } from "../../src/adapters/tensor_keys";
import type { Manifest } from "../../src/bundle/manifest";
import type { TestTensor } from "../safetensors_file";
import { writeSafetensors } from "../safetensors_file";
import { modelOf } from "./adapter_models";

/** Names of the transformer's layers, and spelling → name in a file → [layer, pieces, order]. */
interface Names {
  modules: string[];
  keys: Record<string, Record<string, [string, number, number[]][]>>;
}

const NAMES = JSON.parse(
  readFileSync("../tests/fixtures/sd35_adapter_names.json", "utf8"),
) as Names;

/** A model whose layers have these sizes. */
function sd35(
  layers: Record<string, number[]>,
  more: Parameters<typeof modelOf>[0] = {},
): Manifest {
  const model = modelOf({ transformer: layers, ...more }, "sd35");
  return { ...model, conditioning: { ...model.conditioning, join: "sequence" } };
}

describe("names", () => {
  const sizes = NAMES.modules.map((module): [string, number[]] => [`${module}.weight`, [2, 2]]);
  const modules = nameModules(sd35(Object.fromEntries(sizes)));

  it.each(Object.keys(NAMES.keys))("of %s are those of diffusers' converter", (spelling) => {
    for (const [key, expected] of Object.entries(NAMES.keys[spelling]!)) {
      const found = modules.get(splitKey(key)!.module)!.map(({ module, rows }) => {
        return [module.name, rows.pieces, rows.order];
      });
      expect(found.length, key).toBe(expected.length);
      expect(found, key).toEqual(expect.arrayContaining(expected));
    }
  });

  it("of T5 have no level of a text model, and those of CLIP have", () => {
    const names = nameModules(
      sd35(
        {},
        {
          text_encoder: {},
          text_encoder_2: { "encoder.layers.0.mlp.fc1.weight": [2, 2] },
          text_encoder_3: { "encoder.block.0.layer.0.SelfAttention.q.weight": [2, 2] },
        },
      ),
    );
    const spellings = [...names.keys()];
    expect(spellings).toContain("lora_te2_text_model_encoder_layers_0_mlp_fc1");
    expect(spellings.filter((name) => name.includes("_3") || name.includes("te3"))).toEqual([
      "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q",
      "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    ]);
  });
});

const BLOCK = "transformer_blocks.0";
const MODEL = sd35({
  [`${BLOCK}.attn.to_q.weight`]: [4, 6],
  [`${BLOCK}.attn.to_q.bias`]: [4],
  [`${BLOCK}.attn.to_k.weight`]: [4, 6],
  [`${BLOCK}.attn.to_k.bias`]: [4],
  [`${BLOCK}.attn.to_v.weight`]: [4, 6],
  [`${BLOCK}.attn.to_v.bias`]: [4],
  "norm_out.linear.weight": [12, 6],
  "norm_out.linear.bias": [12],
});
/** The same layers as they are in the file, for what all rows are. */
const WHOLE = sd35({
  "whole.weight": [12, 6],
  "whole.bias": [12],
  [`${BLOCK}.attn.to_add_out.weight`]: [2, 2],
});
const QKV = "lora_unet_joint_blocks_0_x_block_attn_qkv";
const LAST = "lora_unet_final_layer_adaLN_modulation_1";

/** Numbers that differ, exact in float16. */
function numbers(...shape: number[]): TestTensor {
  const count = shape.reduce((product, edge) => product * edge, 1);
  return { shape, values: Array.from({ length: count }, (_, at) => ((at * 37) % 61) / 64 - 0.5) };
}

/** What is behind the names of a layer of 12 rows and 6 inputs. */
const KINDS: Record<string, Record<string, TestTensor>> = {
  lora: {
    ".lora_up.weight": numbers(12, 2),
    ".lora_down.weight": numbers(2, 6),
    ".alpha": { shape: [], values: [1] },
  },
  loha: {
    ".hada_w1_a": numbers(12, 2),
    ".hada_w1_b": numbers(2, 6),
    ".hada_w2_a": numbers(12, 2),
    ".hada_w2_b": numbers(2, 6),
  },
  "loha with cores": {
    ".hada_w1_a": numbers(2, 12),
    ".hada_w1_b": numbers(2, 6),
    ".hada_t1": numbers(2, 2),
    ".hada_w2_a": numbers(2, 12),
    ".hada_w2_b": numbers(2, 6),
    ".hada_t2": numbers(2, 2),
  },
  // Neither four rows nor six are whole blocks of the right factor.
  lokr: { ".lokr_w1": numbers(2, 2), ".lokr_w2": numbers(6, 3) },
  "lokr of five": { ".lokr_w1": numbers(4, 3), ".lokr_w2": numbers(3, 2) },
  difference: { ".diff": numbers(12, 6), ".diff_b": numbers(12) },
  dora: {
    ".lora_up.weight": numbers(12, 2),
    ".lora_down.weight": numbers(2, 6),
    ".dora_scale": numbers(12, 1),
  },
};

function fileOf(name: string, parts: Record<string, TestTensor>): ArrayBuffer {
  const named = Object.entries(parts).map(([suffix, tensor]) => [name + suffix, tensor]);
  return writeSafetensors(Object.fromEntries(named) as Record<string, TestTensor>);
}

function float32(bytes: Uint8Array<ArrayBuffer>): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** A product of matrices, of one row and column. */
function product({ up, down, rank }: LowRank, row: number, column: number): number {
  const [left, right] = [float32(up.bytes), float32(down.bytes)];
  const [blocks, rows] = up.axes;
  let sum = 0;
  for (let r = 0; r < rank; r++) {
    // (1, rows, rank), or (rank, rows, 1); of the right factor, (rank, inputs, 1) or (rank, inputs).
    const value = blocks === 1 ? left[row * rank + r]! : left[r * rows + row]!;
    sum += value * right[r * 6 + column]!;
  }
  return sum;
}

function valueOf(delta: Delta, row: number, column: number): number {
  if (delta.kind === "low-rank") return product(delta.factors, row, column);
  if (delta.kind === "product") {
    return product(delta.first, row, column) * product(delta.second, row, column);
  }
  const { left, leftColumns, right, rightShape } = delta;
  const [c, , d] = rightShape;
  const factor = left[Math.floor(row / c) * leftColumns + Math.floor(column / d)]!;
  return Math.fround(factor * right[(row % c) * d + (column % d)]!);
}

/** What a layer's change adds, row by row, with the length that a row is given. */
function rowsOf(layer: Layer, count: number, columns: number): unknown[] {
  const { delta, factor, magnitude } = layer.patch.make(0.5);
  return Array.from({ length: count }, (_, row) => [
    factor,
    magnitude?.values[row],
    ...Array.from({ length: columns }, (__, column) => valueOf(delta, row, column)),
  ]);
}

describe("layers that are one matrix in the file", () => {
  it.each(Object.keys(KINDS))("%s: each layer has its own rows", async (kind) => {
    const parts = KINDS[kind]!;
    const whole = (await readLoraFile(fileOf("whole", parts), WHOLE, "a")).layers;
    const joined = (await readLoraFile(fileOf(QKV, parts), MODEL, "a")).layers;
    const swapped = (await readLoraFile(fileOf(LAST, parts), MODEL, "a")).layers;
    for (const [at, end] of [".weight", ".bias"].slice(0, whole.length).entries()) {
      const all = rowsOf(whole[at]!, 12, at === 0 ? 6 : 1);
      ["to_q", "to_k", "to_v"].forEach((head, place) => {
        const layer = joined.find(({ record }) => record === `${BLOCK}.attn.${head}${end}`)!;
        const rows = rowsOf(layer, 4, at === 0 ? 6 : 1);
        expect(rows).toEqual(all.slice(4 * place, 4 * place + 4));
      });
      // The original code has the shift first, and diffusers the scale.
      const rows = rowsOf(swapped[at]!, 12, at === 0 ? 6 : 1);
      expect(rows).toEqual([...all.slice(6), ...all.slice(0, 6)]);
      expect(new Set(all.map(String)).size).toBeGreaterThan(4);
    }
    expect(joined).toHaveLength(3 * whole.length);
  });

  it("count as the layers that they change", async () => {
    expect((await readLoraFile(fileOf(QKV, KINDS.lora!), MODEL, "a")).changed).toBe(3);
    expect((await readLoraFile(fileOf(LAST, KINDS.lora!), MODEL, "a")).changed).toBe(1);
  });

  it("alphas of PEFT's configuration are those of the transformer", async () => {
    const file = writeSafetensors(
      {
        "diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_A.weight": numbers(2, 6),
        "diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_B.weight": numbers(12, 2),
      },
      { lora_adapter_metadata: JSON.stringify({ "transformer.lora_alpha": 8 }) },
    );
    const { layers } = await readLoraFile(file, MODEL, "a");
    expect(layers.map(({ patch }) => patch.make(1).factor)).toEqual([4, 4, 4]);
  });
});

describe("a file that does not fit", () => {
  const refused = async (tensors: Record<string, TestTensor>, model = MODEL): Promise<string> => {
    const error: unknown = await readLoraFile(writeSafetensors(tensors), model, "a").catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: "LoraError", hint: expect.stringMatching(/./) as unknown });
    const { message, hint } = error as Error & { hint: string };
    return `${message} ${hint}`;
  };
  const layer = (name: string, inputs: number): Record<string, TestTensor> => ({
    [`${name}.lora_A.weight`]: numbers(2, inputs),
    [`${name}.lora_B.weight`]: numbers(4, 2),
  });
  const medium = sd35({ [`${BLOCK}.attn.to_q.weight`]: [4, 1536] });
  const unet = modelOf(
    { unet: { "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": [4, 768] } },
    "sd15",
  );
  const OF_UNET = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";

  it.each([
    [
      "of one head",
      { ...KINDS.lora!, ".lora_up.weight": numbers(4, 2) },
      /up has the shape \(4, 2\)/,
    ],
    [
      "with a length for each input of three layers",
      { ...KINDS.dora!, ".dora_scale": numbers(1, 6) },
      /3 layers of the model together/,
    ],
  ])("rows %s", async (_, parts, message) => {
    const named = Object.entries(parts).map(([suffix, tensor]) => [QKV + suffix, tensor]);
    expect(await refused(Object.fromEntries(named) as Record<string, TestTensor>)).toMatch(message);
  });

  it("a joined layer and one of its heads", async () => {
    const both = {
      [`${QKV}.lora_down.weight`]: numbers(2, 6),
      [`${QKV}.lora_up.weight`]: numbers(12, 2),
      "transformer.transformer_blocks.0.attn.to_k.alpha": numbers(),
    };
    expect(await refused(both)).toMatch(/are the same tensor of one layer/);
  });

  it.each([
    [
      "another width",
      medium,
      layer(`transformer.${BLOCK}.attn.to_q`, 2432),
      "Stable Diffusion 3.5 Large",
    ],
    ["FLUX", medium, layer("transformer.single_transformer_blocks.0.attn.to_q", 3072), "FLUX"],
    ["a UNet", medium, layer(OF_UNET, 768), "Stable Diffusion 1.x"],
    ["SDXL", medium, layer(OF_UNET, 2048), "SDXL"],
    [
      "a transformer",
      unet,
      layer(`transformer.${BLOCK}.attn.to_q`, 1536),
      "Stable Diffusion 3 or 3.5",
    ],
    [
      "the original code",
      unet,
      layer("diffusion_model.joint_blocks.0.x_block.attn.qkv", 2432),
      "Large",
    ],
  ])("%s is named", async (_, model, tensors, name) => {
    const text = await refused(tensors, model);
    expect(text).toContain("is a LoRA for");
    expect(text).toContain(name);
    expect(text).toContain(model.model.family);
  });

  it("T5's layers where it is left out", async () => {
    expect(await refused(layer("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 6))).toMatch(
      /belong to no layer.*textEncoder3/,
    );
  });
});
