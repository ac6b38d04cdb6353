import { expect, test } from "vitest";

import type { EntryPoint, Manifest, Role } from "../../src/bundle/manifest";
import type { Model } from "../../src/gpu/model";
import { fromPixels } from "../../src/pipeline/tiling";
import { VaeEncoder } from "../../src/pipeline/vae_encoder";
import { UnsupportedError } from "../../src/util/errors";

const SIZE = [12, 8] as const;
const TILE = 8;

function entryOf(role: Role, size: readonly number[] | null, input: number[], output: number[]) {
  const largest_buffer_bytes = 4 * Math.max(input[2]! * input[3]!, 1);
  return {
    role,
    size,
    largest_buffer_bytes,
    inputs: [{ shape: input }],
    outputs: [{ name: "moments", shape: output }],
  };
}

const manifest = {
  model: { name: "a model" },
  entry_points: [
    entryOf("vae_encoder", SIZE, [1, 3, 8, 12], [1, 2, 4, 6]),
    entryOf("vae_encoder", [4, 4], [1, 3, 4, 4], [1, 2, 2, 2]),
    entryOf("vae_encoder_tile", null, [1, 3, TILE, TILE], [1, 2, 4, 4]),
    entryOf("vae_decoder_tile", null, [1, 1, 4, 4], [1, 3, TILE, TILE]),
  ],
} as unknown as Manifest;

/** A model whose moments are the red and the green of the first pixel of each square. */
function makeModel(largestBuffer: number, source: Manifest = manifest): Model {
  const limits = { maxBufferSize: largestBuffer, maxStorageBufferBindingSize: largestBuffer };
  const entry = (role: Role): EntryPoint => source.entry_points.find((each) => each.role === role)!;
  const run = ({ inputs }: EntryPoint, { image }: { image: Float32Array }) => {
    const [, , height, width] = inputs[0]!.shape as [number, number, number, number];
    const moments = new Float32Array((2 * height * width) / 4);
    moments.forEach((_, index) => {
      const [line, column] = [Math.floor(index / (width / 2)), index % (width / 2)];
      const [channel, row] = [Math.floor(line / (height / 2)), line % (height / 2)];
      moments[index] = image[(channel * height + 2 * row) * width + 2 * column]!;
    });
    return Promise.resolve({ moments });
  };
  return { manifest: source, limits, entry, run } as unknown as Model;
}

const pixels = Uint8ClampedArray.from({ length: 4 * 12 * 8 }, (_, index) => (index * 37) % 256);
const whole = 4 * 8 * 12;
const OFF = { enabled: false, tileSize: TILE, overlap: 0.25 };
const ON = { ...OFF, enabled: true };

test("tiles give what the whole picture gives where each moment is of its own pixels", async () => {
  const planes = fromPixels(pixels, ...SIZE);
  const expected = await new VaeEncoder(makeModel(whole), OFF).encodePlanes(planes);
  const encoder = new VaeEncoder(makeModel(whole), ON);
  const found = await encoder.encode(pixels, SIZE);
  expect(expected).toHaveLength(48);
  found.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 5));
  expect(await encoder.encodePlanes(planes)).toEqual(found);
  // A function for whole pictures encodes a part of a larger one.
  encoder.tiling = { enabled: true, tileSize: 4, overlap: 0.5 };
  expect(encoder.functions(SIZE).map(({ size }) => size)).toEqual([[4, 4]]);
  const small = await encoder.encodePlanes(planes);
  small.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 5));
});

test("tiles that nobody asked for are said once", async () => {
  const notices: string[] = [];
  const onNotice = (notice: string): number => notices.push(notice);
  const small = new VaeEncoder(makeModel(whole - 1), OFF, onNotice);
  await small.encode(pixels, SIZE);
  await small.encode(pixels, SIZE);
  expect(notices).toEqual([expect.stringContaining("it is encoded in tiles")]);
  await new VaeEncoder(makeModel(whole - 1), ON, onNotice).encode(pixels, SIZE);
  await new VaeEncoder(makeModel(whole), OFF, onNotice).encodePlanes(fromPixels(pixels, ...SIZE));
  expect(notices).toHaveLength(1);
});

test("encoding in tiles ends where it is cancelled", async () => {
  const encoder = new VaeEncoder(makeModel(whole), ON);
  const call = encoder.encode(pixels, SIZE, AbortSignal.abort());
  await expect(call).rejects.toThrow("cancelled");
});

test("a model without an encoder says so", () => {
  const entry_points = manifest.entry_points.filter(({ role }) => role !== "vae_encoder");
  const model = makeModel(whole, { ...manifest, entry_points });
  expect(() => new VaeEncoder(model, OFF)).toThrow(UnsupportedError);
});
