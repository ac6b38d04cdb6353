/** A component: parameters on the GPU and the functions that read them. */

import type { OnBytes } from "../bundle/download";
import type { BundleFiles } from "../bundle/bundle_files";
import type { ComponentEntry, ParameterRecord } from "../bundle/manifest";
import { mapInOrder } from "../util/concurrency";
import type { Parameters, Runtime, Tensor } from "./tvm/runtime";

/** Shards that are on their way at once. */
const PARALLEL = 4;

/**
 * Fetch a component's shards, check them, and upload its parameters.
 *
 * Each tensor goes to the GPU as soon as its last byte is there, so that no more
 * than a few shards and one tensor are in memory at a time.
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
  let offset = 0; // of the first pending byte in the component's stream
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
    for (const tensor of tensors) tensor.dispose(); // the bundle holds them now
  }
}

/** Packed parameters are words to the compiled functions. */
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
