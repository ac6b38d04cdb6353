/** Values with arrays as JSON, for the driver in Python (wsd/runtime/array_codec.py). */

/** An array's bytes, little-endian, in base64; that is much shorter than numbers as text. */
interface EncodedArray {
  dtype: "float32" | "int32" | "uint8";
  base64: string;
}

/** Pixels; `data` are the bytes of RGBA. */
interface EncodedImage {
  width: number;
  height: number;
  data: EncodedArray;
}

/** Bytes that one call turns into characters; a call takes a limited number of arguments. */
const CHUNK = 32768;

/** A whole number that a JavaScript number may round, as its digits. */
interface EncodedBigInt {
  bigint: string;
}

/** Replace arrays, images and bigints, however deep, by objects that JSON can hold. */
export function encode(value: unknown): unknown {
  if (typeof value === "bigint") return { bigint: value.toString() } satisfies EncodedBigInt;
  if (value instanceof Float32Array) return encodeArray("float32", value);
  if (value instanceof Int32Array) return encodeArray("int32", value);
  if (value instanceof Uint8Array || value instanceof Uint8ClampedArray) {
    return encodeArray("uint8", value);
  }
  if (value instanceof ImageData) {
    const { width, height, data } = value;
    return { width, height, data: encode(data) };
  }
  if (Array.isArray(value)) return value.map(encode);
  return isObject(value) ? mapValues(value, encode) : value;
}

/** Replace what was encoded, however deep, by typed arrays, images and bigints. */
export function decode(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (!isObject(value)) return value;
  if (isEncodedBigInt(value)) return BigInt(value.bigint);
  if (isEncodedArray(value)) return decodeArray(value);
  return isEncodedImage(value) ? decodeImage(value) : mapValues(value, decode);
}

function encodeArray(dtype: EncodedArray["dtype"], array: ArrayBufferView): EncodedArray {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return { dtype, base64: btoa(text) };
}

function decodeArray({ dtype, base64 }: EncodedArray): Float32Array | Int32Array | Uint8Array {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  if (dtype === "float32") return new Float32Array(bytes.buffer);
  return dtype === "int32" ? new Int32Array(bytes.buffer) : bytes;
}

function decodeImage({ width, height, data }: EncodedImage): ImageData {
  const bytes = decodeArray(data) as Uint8Array<ArrayBuffer>;
  return new ImageData(new Uint8ClampedArray(bytes.buffer), width, height);
}

function isEncodedImage(value: object): value is EncodedImage {
  const { data } = value as Partial<EncodedImage>;
  return "width" in value && "height" in value && isObject(data) && isEncodedArray(data);
}

function isEncodedArray(value: object): value is EncodedArray {
  return "dtype" in value && "base64" in value;
}

function isEncodedBigInt(value: object): value is EncodedBigInt {
  return "bigint" in value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function mapValues(value: object, change: (item: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)]));
}
