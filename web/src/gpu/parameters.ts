/** Loads a component's parameters from its shards onto the GPU. */

import type { OnBytes } from "../bundle/download";
import type { BundleFiles } from "../bundle/bundle_files";
import type { ComponentEntry, ParameterRecord } from "../bundle/manifest";
import { mapInOrder } from "../util/concurrency";
import type { Parameters, Runtime, Tensor } from "./tvm/runtime";

/** Shards that are downloaded at the same time. */
const PARALLEL = 4;

/**
 * Fetch a component's shards, check them, and upload its parameters.
 *
 * Each tensor is uploaded as soon as its last byte has arrived, so that no more than a few
 * shards and one tensor are in memory at a time.
 *
 * @param onBytes called with the bytes that have arrived since the last call.
 * @returns the parameters in the order of the component's records; the caller disposes of them.
 * @throws FetchError, IntegrityError or AbortError if a shard does not arrive.
 */
export async function loadParameters(
  runtime: Runtime,
  component: ComponentEntry,
  files: BundleFiles,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<Parameters> {
  const tensors: Tensor[] = [];
  let pending = new Uint8Array(0);
  let offset = 0; // position of the first pending byte in the component's stream of bytes
  try {
    const shards = mapInOrder(component.shards, PARALLEL, (shard) =>
      files.get(shard, onBytes, signal),
    );
    for await (const shard of shards) {
      const data = new Uint8Array(shard);
      pending = pending.length === 0 ? data : concatenate(pending, data);
      for (;;) {
        const record = component.records[tensors.length];
        if (record === undefined) break;
        const start = record.offset - offset;
        if (start + record.bytes > pending.length) {
          pending = pending.slice(start);
          offset = record.offset;
          break;
        }
        const bytes = pending.subarray(start, start + record.bytes);
        tensors.push(runtime.scope(() => upload(runtime, record, bytes)));
      }
    }
    return runtime.scope(() => runtime.bundle(tensors));
  } finally {
    for (const tensor of tensors) tensor.dispose(); // the bundled tuple keeps its own references
  }
}

/** Upload a parameter; compiled functions read all but float32 as 32-bit words. */
function upload(runtime: Runtime, { shape, dtype }: ParameterRecord, bytes: Uint8Array): Tensor {
  return dtype === "float32"
    ? runtime.upload(bytes, shape, dtype)
    : runtime.upload(bytes, [bytes.length / 4], "uint32");
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
