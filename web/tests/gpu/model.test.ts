/** What a model's functions are found by. What they compute, tests/e2e tests on a GPU. */

import { expect, test } from "vitest";

import type { EntryPoint, Manifest } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import { UnsupportedError } from "../../src/util/errors";

const manifest = {
  model: { name: "toy" },
  entry_points: [
    ["denoiser", 77],
    ["chunked_denoiser", 154],
    ["guided_chunked_denoiser", 154],
  ].map(([role, rows]) => ({
    ...{ name: role, role, size: [8, 8] },
    inputs: [{ name: "text_embeddings", shape: [1, rows, 4] }],
  })),
} as unknown as Manifest;

function find(chunks: number, guided: boolean): EntryPoint {
  const model = Object.create(Model.prototype, { manifest: { value: manifest } }) as Model;
  return model.denoiser([8, 8], chunks, guided);
}

test("a denoiser is found by the prompt's chunks, and by whether it guides", () => {
  expect(find(1, false).role).toBe("denoiser");
  expect(find(2, false).role).toBe("chunked_denoiser");
  expect(find(2, true).role).toBe("guided_chunked_denoiser");
});

test.each([
  [3, false, "toy has no denoiser that takes 3 chunks of a prompt at 8x8"],
  [1, true, "toy has no denoiser that takes 1 chunks of a prompt and guides at 8x8"],
])("one for %d chunks that is not there, guiding: %s", (chunks, guided, message) => {
  let thrown: unknown;
  try {
    find(chunks, guided);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(UnsupportedError);
  expect(thrown).toMatchObject({
    message,
    hint: "build the bundle again, or write a shorter prompt",
  });
});
