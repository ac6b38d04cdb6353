import { expect, test } from "vitest";

import { ImageData } from "../image_data";
import { decode, encode } from "../../src/driver/codec";

test("arrays survive the way through JSON, however deep they are", () => {
  const floats = Float32Array.of(1.5, -0, 3e-38, NaN);
  const value = {
    list: [floats, Int32Array.of(-1, 2 ** 31 - 1), [{ bytes: Uint8Array.of(0, 255) }]],
    text: "ä",
    none: null,
    number: 0.1,
    flag: false,
  };
  expect(decode(JSON.parse(JSON.stringify(encode(value))))).toEqual(value);
});

test("a seed of 64 bits keeps all its digits", () => {
  const value = { seeds: [-(2n ** 63n), 2n ** 64n - 1n, 7n], small: 7 };
  expect(decode(JSON.parse(JSON.stringify(encode(value))))).toEqual(value);
});

test("a view is encoded without the rest of its buffer", () => {
  const whole = Float32Array.of(1, 2, 3, 4);
  expect(decode(encode(whole.subarray(1, 3)))).toEqual(Float32Array.of(2, 3));
});

test("an array longer than a call takes arguments", () => {
  const long = new Uint8Array(300_000).map((_, index) => index % 251);
  const again = decode(encode(long)) as Uint8Array;
  expect(again.length).toBe(long.length);
  expect(again.every((byte, index) => byte === index % 251)).toBe(true);
});

test("an image becomes its size and its bytes, and an image again", () => {
  const image = new ImageData(Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 0), 2, 1);
  expect(Object.keys(encode(image) as object)).toEqual(["width", "height", "data"]);
  const again = decode(JSON.parse(JSON.stringify(encode({ image }))));
  expect(again).toEqual({ image });
  expect((again as { image: ImageData }).image).toBeInstanceOf(ImageData);
});
