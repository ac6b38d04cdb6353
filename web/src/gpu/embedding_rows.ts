/**
 * Replaces rows of a table of embeddings on the GPU while a function runs, and puts them back to the
 * bit: the compiled functions stay as they are, and read other vectors for some token ids.
 */

import type { ComponentEntry, ParameterRecord } from "../bundle/manifest";
import { UnsupportedError } from "../util/errors";
import type { Parameters, Runtime } from "./tvm/runtime";

/** Vectors by the token ids in whose place they are read: float32, as many values as a row has. */
export type Rows = ReadonlyMap<number, Float32Array>;

/**
 * Do work while rows of a table have other values. Nothing is awaited: the GPU does all of it in order.
 *
 * @param parameters of the component; they must be on the GPU.
 * @param table name of the table's record, (vocabulary, features), ends so.
 * @param work records commands, by `Runtime.call`.
 * @throws UnsupportedError if the table is stored in a way whose rows cannot be replaced.
 */
export function withRows<Result>(
  runtime: Runtime,
  component: ComponentEntry,
  parameters: Parameters,
  table: string,
  rows: Rows,
  work: () => Result,
): Result {
  if (rows.size === 0) return work();
  const index = component.records.findIndex(({ name }) => name.endsWith(table));
  const record = component.records[index];
  const bytes = record && rowBytes(record);
  if (bytes === undefined) {
    throw new UnsupportedError(
      "this bundle stores the table of embeddings in a way that takes no textual inversion",
      "build the bundle again with this version of WSD",
    );
  }
  const { context } = runtime;
  const { device } = context;
  const tensor = runtime.unbundle(parameters, index);
  const buffer = runtime.bufferOf(tensor);
  const kept = context.createBuffer({
    size: rows.size * bytes,
    usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  const copy = (back: boolean): void => {
    const encoder = device.createCommandEncoder();
    for (const [place, id] of [...rows.keys()].entries()) {
      const [inTable, inKept] = [id * bytes, place * bytes];
      if (back) encoder.copyBufferToBuffer(kept, inKept, buffer, inTable, bytes);
      else encoder.copyBufferToBuffer(buffer, inTable, kept, inKept, bytes);
    }
    device.queue.submit([encoder.finish()]);
  };
  // What is recorded so far must read the table as it is.
  context.flush();
  copy(false);
  try {
    for (const [id, row] of rows) device.queue.writeBuffer(buffer, id * bytes, pack(record!, row));
    return work();
  } finally {
    context.flush();
    copy(true);
    // The commands that are submitted still use it.
    context.destroyBuffer(kept);
  }
}

/** Bytes of a row; undefined if rows do not begin at whole words. */
function rowBytes({ dtype, shape }: ParameterRecord): number | undefined {
  if (shape.length !== 2) return undefined;
  if (dtype === "float32") return 4 * shape[1]!;
  return dtype === "float16" && shape[1]! % 2 === 0 ? 2 * shape[1]! : undefined;
}

function pack(
  { dtype }: ParameterRecord,
  row: Float32Array,
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  return dtype === "float32" ? new Float32Array(row) : Uint16Array.from(row, narrow);
}

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

/**
 * Return the bits of the float16 nearest to a number, the even one between two, as torch rounds; one
 * beyond the largest becomes the largest.
 */
export function narrow(number: number): number {
  value[0] = number;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fff_ffff;
  const exponent = magnitude >>> 23;
  if (exponent >= 113) {
    // Normal: the exponent's bias becomes 15, and 13 bits of the fraction are rounded off.
    const biased = magnitude - (112 << 23);
    const rounded = (biased + 0xfff + ((biased >>> 13) & 1)) >>> 13;
    return sign | Math.min(rounded, 0x7bff);
  }
  // Subnormal: a whole number of 2 ** -24.
  const parts = Math.abs(number) * 2 ** 24;
  const whole = Math.floor(parts);
  const rest = parts - whole;
  const up = rest > 0.5 || (rest === 0.5 && whole % 2 === 1);
  return sign | (whole + (up ? 1 : 0));
}
