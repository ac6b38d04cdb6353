/**
 * Reads .safetensors files: a JSON header, then the bytes of the tensors, little-endian.
 * https://huggingface.co/docs/safetensors/index#format
 */

import { LoraError } from "../util/errors";
import type { StoredFactor, FactorType } from "./patch";

/** Bytes of the header's length, which stands at the start. */
const LENGTH_BYTES = 8;
/** The largest header, in bytes: that of the format's own library. */
const MOST_HEADER_BYTES = 6 * 2 ** 20;

/** More tensors than any file of a LoRA has; wsd/checkpoint/safetensors_file.py takes as many. */
const MOST_TENSORS = 50_000;
/** The most axes of a tensor; a convolution's weight has four. */
const MOST_AXES = 8;

/** Bytes of a value of each type that is read. */
const VALUE_BYTES = {
  F32: 4,
  F16: 2,
  BF16: 2,
  F64: 8,
  I64: 8,
  I32: 4,
} as const;

/** Types of matrices; a single number may be of the others too. */
const MATRIX_TYPES: readonly FactorType[] = ["F32", "F16", "BF16"];

type ValueType = keyof typeof VALUE_BYTES;

function isFactorType(type: string): type is FactorType {
  return (MATRIX_TYPES as readonly string[]).includes(type);
}

/**
 * Of the values in a 32-bit word: the bits of their exponents, the lowest one of each exponent, and what
 * it carries into when it is added to an exponent of ones alone, as infinity and NaN have it.
 */
const EXPONENTS = {
  F32: { exponent: 0x7f80_0000, lowest: 0x0080_0000, carry: 0x8000_0000 },
  F16: { exponent: 0x7c00_7c00, lowest: 0x0400_0400, carry: 0x8000_8000 },
  BF16: { exponent: 0x7f80_7f80, lowest: 0x0080_0080, carry: 0x8000_8000 },
} as const;

/** Return float32 values as a factor. */
export function factorOf(
  values: Float32Array<ArrayBuffer>,
  axes: readonly [number, number, number],
): StoredFactor {
  return { type: "F32", bytes: new Uint8Array(values.buffer), axes };
}

/** A tensor of a file. Its values stay in the file's bytes until they are asked for. */
export class FileTensor {
  constructor(
    readonly name: string,
    readonly shape: readonly number[],
    private readonly type: ValueType,
    private readonly bytes: Uint8Array<ArrayBuffer>,
  ) {}

  /** Number of its values. */
  get count(): number {
    return this.bytes.length / VALUE_BYTES[this.type];
  }

  /** Return its values in row-major order; float16 and bfloat16 are widened without rounding. */
  values(): Float32Array<ArrayBuffer> {
    // A copy, because a tensor may begin at any byte of the file.
    if (!isFactorType(this.type)) return Float32Array.of(this.firstValue());
    const { buffer } = this.bytes.slice();
    if (this.type === "F32") return new Float32Array(buffer);
    const words = new Uint16Array(buffer);
    const bits = new Uint32Array(words.length);
    const widen = this.type === "F16" ? widenHalf : (word: number): number => word << 16;
    for (let at = 0; at < words.length; at++) bits[at] = widen(words[at]!);
    return new Float32Array(bits.buffer);
  }

  /** Return its values as they are, for the GPU: a matrix of these axes, row-major. */
  factor(axes: readonly [number, number, number]): StoredFactor {
    if (!isFactorType(this.type)) return factorOf(this.values(), axes);
    return { type: this.type, bytes: this.bytes, axes };
  }

  /** Return the only value of a tensor of one, of any type. */
  firstValue(): number {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    if (this.type === "F64") return view.getFloat64(0, true);
    if (this.type === "I64") return Number(view.getBigInt64(0, true));
    return this.type === "I32" ? view.getInt32(0, true) : this.values()[0]!;
  }

  /** Whether no value is infinite or not a number. */
  isFinite(): boolean {
    if (!isFactorType(this.type)) return Number.isFinite(this.firstValue());
    const words = Math.ceil(this.bytes.length / 4);
    const isWhole = this.bytes.length % 4 === 0 && this.bytes.byteOffset % 4 === 0;
    // A copy where a tensor does not begin or end at a word; zeros fill the last one.
    const whole = isWhole ? this.bytes : new Uint8Array(4 * words);
    if (!isWhole) whole.set(this.bytes);
    const { exponent, lowest, carry } = EXPONENTS[this.type];
    // Files have hundreds of millions of values: two are looked at together, without a call for each.
    let found = 0;
    const values = new Int32Array(whole.buffer, whole.byteOffset, words);
    for (let at = 0; at < words; at++) found |= (values[at]! & exponent) + lowest;
    return (found & carry) === 0;
  }
}

/** Return the bits of the float32 that has the value of a float16. */
function widenHalf(word: number): number {
  const sign = (word & 0x8000) << 16;
  const exponent = (word >> 10) & 0x1f;
  const fraction = word & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f80_0000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // A subnormal float16 is a normal float32: its leading one becomes the implicit one.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** What a file holds. */
export interface TensorFile {
  tensors: Map<string, FileTensor>;
  /** Texts that whoever wrote the file added. */
  metadata: Record<string, string>;
  /** The bytes of all tensors, which follow the header. */
  body: Uint8Array<ArrayBuffer>;
}

const BROKEN_HINT =
  "fetch or copy the file again: it is cut or damaged, or is no .safetensors file";

/**
 * Read a file.
 *
 * @param title the file's name for errors.
 * @throws LoraError if it is not a whole file of this format, or has values of a type that no LoRA has.
 */
export function readSafetensors(data: ArrayBuffer, title: string): TensorFile {
  refuseOthers(new Uint8Array(data, 0, Math.min(LENGTH_BYTES + 1, data.byteLength)), title);
  const broken = (problem: string): LoraError => new LoraError(`${title}: ${problem}`, BROKEN_HINT);
  if (data.byteLength < LENGTH_BYTES) throw broken(`it has ${data.byteLength} bytes and no header`);
  const length = Number(new DataView(data).getBigUint64(0, true));
  const start = LENGTH_BYTES + length;
  if (length > MOST_HEADER_BYTES || start > data.byteLength) {
    throw broken(`its header of ${length} bytes does not end within its ${data.byteLength} bytes`);
  }
  const header = parseHeader(new Uint8Array(data, LENGTH_BYTES, length));
  if (header === undefined) throw broken("its header is not a JSON object");
  const { __metadata__: metadata = {}, ...entries } = header;
  if (Object.keys(entries).length > MOST_TENSORS) {
    throw broken(`it has more than ${MOST_TENSORS} tensors`);
  }
  const body = new Uint8Array(data, start);
  const tensors = new Map<string, FileTensor>();
  const places: [number, number][] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    if (!isShape(shape) || !isPair(offsets) || offsets[1] > body.length) {
      throw broken(`tensor ${shorten(name)} has no shape, or lies outside the file`);
    }
    const isSingle = shape.every((edge) => edge === 1);
    if (!isValueType(dtype) || !(isSingle || isFactorType(dtype))) {
      throw new LoraError(
        `${title}: tensor ${shorten(name)} has values of the type ${shorten(String(dtype))}`,
        "convert the file to F32, F16 or BF16",
      );
    }
    const bytes = shape.reduce((product, edge) => product * edge, VALUE_BYTES[dtype]);
    const [from, to] = offsets;
    if (to - from !== bytes) {
      throw broken(`tensor ${shorten(name)} has ${to - from} bytes, its shape needs ${bytes}`);
    }
    places.push(offsets);
    tensors.set(name, new FileTensor(name, shape, dtype, body.subarray(from, to)));
  }
  if (!coverAll(places, body.length)) {
    throw broken(`its tensors do not fill the ${body.length} bytes behind its header`);
  }
  return { tensors, metadata: textsOf(metadata), body };
}

/** @throws LoraError for files of other formats, which are told by their first bytes. */
function refuseOthers(first: Uint8Array, title: string): void {
  // The length of a header may have the same first bytes, and then the header follows.
  if (first[LENGTH_BYTES] === "{".charCodeAt(0)) return;
  const isZip = first[0] === 0x50 && first[1] === 0x4b;
  const isPickle = first[0] === 0x80 && first[1]! <= 5;
  if (!isZip && !isPickle) return;
  throw new LoraError(
    `${title} is a ${isZip ? "ZIP archive, such as torch.save writes," : "pickle"} and no .safetensors file`,
    "convert it to .safetensors: a pickle can run programs when it is read, so none is taken",
  );
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isObject = typeof header === "object" && header !== null && !Array.isArray(header);
    return isObject ? (header as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_AXES && value.every(isCount);
}

function isPair(value: unknown): value is [number, number] {
  if (!Array.isArray(value) || value.length !== 2 || !value.every(isCount)) return false;
  const [from, to] = value as [number, number];
  return from <= to;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isValueType(value: unknown): value is ValueType {
  return typeof value === "string" && Object.hasOwn(VALUE_BYTES, value);
}

/** Whether places lie end to end, without gaps, and end where the bytes end. */
function coverAll(places: [number, number][], length: number): boolean {
  let end = 0;
  for (const [from, to] of places.sort((one, other) => one[0] - other[0] || one[1] - other[1])) {
    if (from !== end) return false;
    end = to;
  }
  return end === length;
}

function textsOf(metadata: unknown): Record<string, string> {
  const pairs = Object.entries(typeof metadata === "object" && metadata !== null ? metadata : {});
  return Object.fromEntries(
    pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"),
  );
}

/** Shorten a name of a file's own for an error. */
export function shorten(name: string): string {
  return name.length > 100 ? `${name.slice(0, 99)}…` : name;
}
