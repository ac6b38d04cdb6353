import "../image_data";

import { expect, test } from "vitest";

import type { ImageInput } from "../../src/api/options";
import { decodePicture } from "../../src/picture/decode";
import { readPicture } from "../../src/picture/read_picture";
import { OptionError, UnsupportedError, WsdError } from "../../src/util/errors";

function pixels(width: number, height: number, ...rgba: number[]): ImageData {
  const data = Uint8ClampedArray.from({ length: 4 * width * height }, (_, at) => rgba[at % 4]!);
  return new ImageData(data, width, height);
}

async function errorOf(input: unknown): Promise<WsdError> {
  const error: unknown = await decodePicture("mask", input as ImageInput, "black").catch(
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(WsdError);
  expect((error as WsdError).hint).not.toBe("");
  return error as WsdError;
}

test("pixels in sRGB keep every byte, and are copied", async () => {
  const given = pixels(3, 2, 10, 20, 250, 255);
  const read = await readPicture(given);
  expect([read.width, read.height, [...read.data]]).toEqual([3, 2, [...given.data]]);
  expect(read.data).not.toBe(given.data);
});

test("what is changed after the call does not change the picture", async () => {
  const given = pixels(1, 1, 1, 2, 3, 255);
  const reading = readPicture(given);
  given.data.fill(9);
  expect([...(await reading).data]).toEqual([1, 2, 3, 255]);
});

test("transparent pixels lie on white, and those of a mask on black", async () => {
  const given = pixels(1, 1, 200, 100, 0, 64);
  const on = async (background: "white" | "black") => [
    ...(await decodePicture("image", given, background)).data,
  ];
  // 64 / 255 of the colour, and the rest of what is behind.
  expect(await on("white")).toEqual([241, 216, 191, 255]);
  expect(await on("black")).toEqual([50, 25, 0, 255]);
});

test("what is no picture is refused, and the error names the option", async () => {
  for (const input of ["cat.png", 7, {}, [], { width: 2, height: 2, data: new Uint8Array(3) }]) {
    const error = await errorOf(input);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(/^mask is /);
    expect(error.hint).toContain("Blob");
  }
});

test("pictures without pixels and with too many are refused", async () => {
  const sized = (width: number, height: number) => ({ width, height, data: new Uint8Array() });
  expect((await errorOf(sized(0, 0))).message).toBe("mask is 0 by 0 pixels");
  const large = { width: 30000, height: 30000, data: new Uint8Array() };
  Object.defineProperty(large.data, "length", { value: 4 * 30000 * 30000 });
  expect((await errorOf(large)).message).toContain("30000 by 30000 pixels, which is too large");
});

/** A PNG's header that says how large it is, and no pixels. */
function pngHeader(width: number, height: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(33);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  return bytes;
}

test("a file is refused by its header, before it is decoded", async () => {
  expect((await errorOf(new Blob([]))).message).toBe("mask is an empty file");
  const large = await errorOf(new Blob([pngHeader(30000, 30000)]));
  expect(large.message).toContain("30000 by 30000 pixels, which is too large");
  expect((await errorOf(new Blob([pngHeader(0, 7)]))).message).toContain("0 by 7 pixels");
  // Node.js decodes no files: the header alone decided above.
  expect(await errorOf(new Blob([pngHeader(7, 7)]))).toBeInstanceOf(UnsupportedError);
});

/** A JPEG's header: a segment, some bytes that are none, and a frame that says how large it is. */
function jpegHeader(side: number, between: number[]): Uint8Array<ArrayBuffer> {
  const sides = [side >> 8, side & 255, side >> 8, side & 255];
  const frame = [0xff, 0xc0, 0, 17, 8, ...sides, 3];
  return new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, ...between, ...frame]);
}

test.each([[], [0], [7, 8, 9], [0xff], [0xff, 0x01], [0xff, 0xd0], [0xff, 0x00]])(
  "a JPEG's sides are read behind what decoders skip: %#",
  async (...between) => {
    const large = await errorOf(new Blob([jpegHeader(30000, between)]));
    expect(large.message).toContain("30000 by 30000 pixels, which is too large");
    expect(await errorOf(new Blob([jpegHeader(7, between)]))).toBeInstanceOf(UnsupportedError);
  },
);

test.each([30000, -30000])("a BMP's sides are read, whichever row is the first", async (height) => {
  const bytes = new Uint8Array(54);
  bytes.set([0x42, 0x4d]);
  const view = new DataView(bytes.buffer);
  view.setUint32(14, 40, true);
  view.setInt32(18, 30000, true);
  view.setInt32(22, height, true);
  const { message } = await errorOf(new Blob([bytes]));
  expect(message).toContain("30000 by 30000 pixels, which is too large");
});

test("a file that is too large is not read", async () => {
  const large = new Blob(["x"]);
  Object.defineProperty(large, "size", { value: 2 * 2 ** 30 });
  large.arrayBuffer = () => Promise.reject(new Error("it was read"));
  const { message, hint } = await errorOf(large);
  expect(message).toBe("mask is a file of 2147483648 bytes, which is too large");
  expect(hint).toContain("at most 268435456 bytes");
});

test("a file that cannot be read any more is refused", async () => {
  const gone = new Blob(["x"]);
  gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
  const error = await errorOf(gone);
  expect(error.message).toBe("mask cannot be read");
  expect(error.cause).toMatchObject({ name: "NotReadableError" });
});
