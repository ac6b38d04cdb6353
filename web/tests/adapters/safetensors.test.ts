import { describe, expect, it } from "vitest";

import { readSafetensors } from "../../src/adapters/safetensors";
import { joinFile, writeSafetensors } from "../safetensors_file";

/** A file of one tensor of two bytes with this entry. */
function fileOf(entry: object): ArrayBuffer {
  return joinFile(JSON.stringify({ a: entry }), [Uint8Array.of(0, 0)]);
}

const GOOD = { dtype: "F16", shape: [1], data_offsets: [0, 2] };

describe("values", () => {
  it("of every float16 are widened exactly", () => {
    const words = Uint16Array.from({ length: 2 ** 16 }, (_, index) => index);
    const bytes = new Uint8Array(words.buffer);
    const file = writeSafetensors({ a: { shape: [2 ** 16], raw: { dtype: "F16", bytes } } });
    const values = readSafetensors(file, "a").tensors.get("a")!.values();
    const expected = [...words].map((word) => {
      const sign = word & 0x8000 ? -1 : 1;
      const [exponent, fraction] = [(word >> 10) & 31, word & 1023];
      if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
      return (
        sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
      );
    });
    expect(values).toEqual(Float32Array.from(expected));
  });

  it("that are infinite or not numbers are noticed in every type", () => {
    const files = [
      { shape: [1], values: [Infinity] },
      { shape: [1], raw: { dtype: "F16", bytes: Uint8Array.of(0, 0x7c) } },
      { shape: [1], raw: { dtype: "BF16", bytes: Uint8Array.of(0xc0, 0x7f) } },
    ].map((tensor) => readSafetensors(writeSafetensors({ a: tensor }), "a"));
    for (const { tensors } of files) expect(tensors.get("a")!.isFinite()).toBe(false);
    expect(readSafetensors(fileOf(GOOD), "a").tensors.get("a")!.isFinite()).toBe(true);
  });
});

describe("a damaged file", () => {
  const whole = new Uint8Array(fileOf(GOOD));

  it("is refused wherever it is cut", () => {
    for (let length = 0; length < whole.length; length++) {
      expect(() => readSafetensors(whole.slice(0, length).buffer, "cut")).toThrow(/^cut/);
    }
  });

  it.each([
    ["a shape of other bytes", { ...GOOD, shape: [2] }],
    ["a gap", { ...GOOD, data_offsets: [1, 2], shape: [0] }],
    ["an end outside of it", { ...GOOD, data_offsets: [0, 4], shape: [2] }],
    ["a type that no LoRA has", { dtype: "I8", shape: [2], data_offsets: [0, 2] }],
    ["a negative edge", { ...GOOD, shape: [-1] }],
    ["no offsets", { dtype: "F16", shape: [1] }],
  ])("%s", (_, entry) => {
    expect(() => readSafetensors(fileOf(entry), "a")).toThrow(/^a: /);
  });

  it.each([
    ["a ZIP archive", Uint8Array.of(0x50, 0x4b, 3, 4), /ZIP archive/],
    ["a pickle", Uint8Array.of(0x80, 2, 0x7d), /pickle/],
    ["a header of another kind", new Uint8Array(joinFile("[]", [])), /no.* JSON object/],
    ["a header that is too long", new Uint8Array(8).fill(0x7f), /header/],
  ])("%s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes.slice().buffer, "a")).toThrow(message);
  });
});
