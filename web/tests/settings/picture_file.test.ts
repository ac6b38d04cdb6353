import { inflateSync } from "node:zlib";

import fc from "fast-check";
import { expect, test } from "vitest";

import "../image_data";
import { makeGenerated, toBlobs, transferablesOf } from "../../src/api/generated";
import type { GenerationResult } from "../../src/api/types";
import type { Settings } from "../../src/settings/infotext";
import { readText } from "../../src/settings/png";
import { encodePng } from "../../src/settings/picture_file";
import { readSettings } from "../../src/settings/read_settings";

/** The filtered rows of a PNG, as zlib of Node.js unpacks them. */
async function rowsOf(blob: Blob): Promise<{ width: number; height: number; rows: Uint8Array }> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const view = new DataView(bytes.buffer);
  const found: Record<string, Uint8Array> = {};
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    found[type] = bytes.subarray(at + 8, at + 8 + view.getUint32(at));
  }
  expect(Object.keys(found)).toEqual(["IHDR", "iTXt", "IDAT", "IEND"]);
  const header = new DataView(found.IHDR!.slice().buffer);
  // 8 bits of a colour, red, green and blue, and the only methods that there are.
  expect(Array.from(found.IHDR!.subarray(8))).toEqual([8, 2, 0, 0, 0]);
  const rows = new Uint8Array(inflateSync(found.IDAT!));
  return { width: header.getUint32(0), height: header.getUint32(4), rows };
}

/** Undo Paeth's filter, by the specification's words: each byte plus what was predicted. */
function unfilter(rows: Uint8Array, width: number, height: number): number[] {
  const stride = 3 * width;
  const plain: number[] = [];
  const at = (row: number, place: number): number =>
    row < 0 || place < 0 ? 0 : plain[row * stride + place]!;
  for (let row = 0; row < height; row++) {
    expect(rows[row * (stride + 1)]).toBe(4);
    for (let place = 0; place < stride; place++) {
      const [a, b, c] = [at(row, place - 3), at(row - 1, place), at(row - 1, place - 3)];
      const [pa, pb, pc] = [a, b, c].map((each) => Math.abs(a + b - c - each)) as [
        number,
        number,
        number,
      ];
      const predicted = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      plain.push((rows[row * (stride + 1) + 1 + place]! + predicted) % 256);
    }
  }
  return plain;
}

test("a file has the pixels of its picture, and its text", async () => {
  const picture = fc
    .record({ width: fc.integer({ min: 1, max: 9 }), height: fc.integer({ min: 1, max: 9 }) })
    .chain(({ width, height }) =>
      fc.record({
        width: fc.constant(width),
        height: fc.constant(height),
        rgb: fc.uint8Array({ minLength: 3 * width * height, maxLength: 3 * width * height }),
        text: fc.string({ unit: "grapheme" }),
      }),
    );
  await fc.assert(
    fc.asyncProperty(picture, async ({ width, height, rgb, text }) => {
      const data = new Uint8ClampedArray(4 * width * height).fill(255);
      rgb.forEach((value, index) => (data[Math.floor(index / 3) * 4 + (index % 3)] = value));
      const blob = await encodePng({ width, height, data }, text);
      expect(blob.type).toBe("image/png");
      const found = await rowsOf(blob);
      expect([found.width, found.height]).toEqual([width, height]);
      expect(unfilter(found.rows, width, height)).toEqual(Array.from(rgb));
      expect(readText(new Uint8Array(await blob.arrayBuffer()))).toBe(text);
    }),
    { numRuns: 50 },
  );
});

const settings: Settings = {
  ...{ prompt: "a cat", negativePrompt: undefined, steps: 2, scheduler: "euler", guidanceScale: 1 },
  ...{ seed: 5, width: 2, height: 1, model: "toy", eta: 0, numImages: 2 },
};

function makeResult(): GenerationResult<ImageData> {
  const images = [1, 2].map((red) => {
    return new ImageData(Uint8ClampedArray.of(red, 0, 0, 255, 9, 9, 9, 255), 2, 1);
  });
  const imageSettings = [0, 1].map((imageIndex) => ({ ...settings, imageIndex }));
  return {
    ...{ image: images[0]!, images, latents: Float32Array.of(1, 2), imageSettings },
    timings: { text: 0, denoise: 0, firstPreview: null, decode: 0, total: 0 },
    settings: imageSettings[0]!,
  };
}

test("toBlob makes a file of each picture that says which one of its batch it is", async () => {
  const result = await makeGenerated(makeResult(), "imageData");
  expect(result.image).toBe(result.images[0]);
  const { toBlob } = result; // it works on its own
  for (const index of [0, 1]) {
    const found = await readSettings(await toBlob(index));
    expect(found).toMatchObject({
      prompt: "a cat",
      seed: 5,
      picture: { number: index + 1, of: 2 },
    });
  }
  expect(await (await toBlob()).arrayBuffer()).toEqual(await (await toBlob(0)).arrayBuffer());
  for (const odd of [2, -1, 0.5, Number.NaN, "length", "toString"]) {
    await expect(toBlob(odd as number)).rejects.toThrow("there is no picture");
  }
});

test("a result can be posted, cloned and stored, and then has no toBlob", async () => {
  for (const output of ["imageData", "blob"] as const) {
    const worker = output === "blob" ? await toBlobs(makeResult()) : makeResult();
    const result = await makeGenerated(worker, output);
    const names = ["image", "images", "latents", "timings", "settings", "imageSettings"];
    expect(Object.keys(structuredClone(result)).sort()).toEqual(names.sort());
    const { port1, port2 } = new MessageChannel();
    const received = new Promise<MessageEvent>((resolve) => (port2.onmessage = resolve));
    port1.postMessage(result);
    const { settings, latents } = result;
    expect((await received).data).toMatchObject({ settings, latents });
    port1.close();
    expect(result.toBlob).toBeTypeOf("function");
  }
});

test("files that the worker made are given as they are", async () => {
  const files = await toBlobs(makeResult());
  const result = await makeGenerated(files, "blob");
  expect(result.image).toBe(files.images[0]);
  expect(await result.toBlob(1)).toBe(files.images[1]);
  const found = await readSettings(result.images[1]!);
  expect(found?.picture).toEqual({ number: 2, of: 2 });
});

test("pixels and latents are moved between threads, files are not", async () => {
  const pixels = makeResult();
  expect(transferablesOf(pixels)).toEqual([
    pixels.latents.buffer,
    ...pixels.images.map(({ data }) => data.buffer),
  ]);
  expect(transferablesOf(await toBlobs(pixels))).toEqual([pixels.latents.buffer]);
});
