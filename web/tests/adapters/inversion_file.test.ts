import { describe, expect, it } from "vitest";

import { readInversionFile } from "../../src/adapters/inversion_file";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { describeRequest } from "../../src/pipeline/request_settings";
import type { TestTensor } from "../safetensors_file";
import { writeSafetensors } from "../safetensors_file";
import { toyRequest } from "../toy_pipeline";
import { modelOf } from "./adapter_models";

const TABLE = "text_model.embeddings.token_embedding.weight";
const ONE = modelOf({ text_encoder: { [TABLE]: [9, 2] } }, "sd15");
const TWO = modelOf({ text_encoder: { [TABLE]: [9, 2] }, text_encoder_2: { [TABLE]: [9, 3] } });

function counting(...shape: number[]): TestTensor {
  const count = shape.reduce((product, edge) => product * edge, 1);
  return { shape, values: Array.from({ length: count }, (_, at) => at) };
}

describe("a file of a textual inversion", () => {
  it("of SD 1.5 has one tensor, named by its word or not", () => {
    const file = writeSafetensors({ emb_params: counting(2, 2) });
    expect(readInversionFile(file, ONE, "a")).toEqual({
      ...{ token: undefined, count: 2 },
      vectors: { text_encoder: Float32Array.of(0, 1, 2, 3) },
    });
    // diffusers' training script writes a single vector without an axis for it.
    const named = writeSafetensors({ "<toy>": counting(2) });
    expect(readInversionFile(named, ONE, "a")).toMatchObject({ token: "<toy>", count: 1 });
  });

  it("of SDXL has a tensor for each text encoder", () => {
    const file = writeSafetensors({ clip_g: counting(2, 3), clip_l: counting(2, 2) });
    expect(readInversionFile(file, TWO, "a")).toEqual({
      ...{ token: undefined, count: 2 },
      vectors: {
        text_encoder: Float32Array.of(0, 1, 2, 3),
        text_encoder_2: Float32Array.of(0, 1, 2, 3, 4, 5),
      },
    });
  });

  it.each<[string, Record<string, TestTensor>, typeof ONE, RegExp]>([
    ["of SDXL", { clip_l: counting(1, 2), clip_g: counting(1, 3) }, ONE, /inversion of SDXL/],
    ["of SD 1.5", { emb_params: counting(1, 2) }, TWO, /with one text encoder/],
    [
      "with other counts",
      { clip_l: counting(1, 2), clip_g: counting(2, 3) },
      TWO,
      /1 and 2 vectors/,
    ],
    ["with more vectors than a text has", { emb_params: counting(4, 2) }, ONE, /has 4 vectors/],
    ["without vectors", { emb_params: counting(0, 2) }, ONE, /0 vectors/],
    ["of another width", { emb_params: counting(2, 3) }, ONE, /have 2 features/],
    ["with a number alone", { emb_params: { shape: [], values: [1] } }, ONE, /have 2 features/],
    ["that is a LoRA", { a: counting(1, 2), b: counting(1, 2) }, ONE, /no textual inversion/],
    ["without tensors", {}, ONE, /no tensor/],
  ])("%s is refused", (_, tensors, model, message) => {
    expect(() => readInversionFile(writeSafetensors(tensors), model, "a")).toThrow(message);
  });
});

describe("the settings of a picture", () => {
  it.each([
    ["many toys", ["toys"]],
    ["TOYS and a toy", ["toys", "toy"]],
    ["a cat", undefined],
  ])("name the words that are found: %s", (prompt, words) => {
    const inversions = ["toy", "toys"].map((token) => {
      return { token, count: 1, vectors: {}, sha256: "" };
    });
    const request: GenerationRequest = toyRequest(prompt, { inversions });
    const expected = words?.map((word) => `textual inversion ${word}`);
    expect(describeRequest(ONE, request, 0).given).toEqual(expected);
  });
});
