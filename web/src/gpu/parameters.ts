/** Loads a component's parameters from its shards onto the GPU. */

import type { OnBytes } from "../bundle/download";
import type { BundleFiles } from "../bundle/bundle_files";
import type { ComponentEntry, FileEntry, ParameterRecord } from "../bundle/manifest";
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
  const { records } = component;
  try {
    const read = readRecords(component, [...records.keys()], files, onBytes, signal);
    for await (const [index, bytes] of read) {
      tensors.push(runtime.scope(() => upload(runtime, records[index]!, bytes)));
    }
    return runtime.scope(() => runtime.bundle(tensors));
  } finally {
    for (const tensor of tensors) tensor.dispose(); // the bundled tuple keeps its own references
  }
}

/** How records are read again. */
export interface ReadAgain {
  /** Called with the bytes that have arrived since the last call. */
  onBytes: OnBytes;
  /** Called with the index of each record, and its bytes, which are a view of a shard. */
  onRecord: (index: number, bytes: Uint8Array) => void;
  signal: AbortSignal | undefined;
}

/**
 * Write some of a component's parameters again, as its shards have them, into the same tensors.
 *
 * @param indices of their records, in order; {@link countShardBytes} tells what is fetched.
 * @throws FetchError, IntegrityError or AbortError if a shard does not arrive.
 */
export async function restoreParameters(
  runtime: Runtime,
  component: ComponentEntry,
  parameters: Parameters,
  indices: readonly number[],
  files: BundleFiles,
  { onBytes, onRecord, signal }: ReadAgain,
): Promise<void> {
  for await (const [index, bytes] of readRecords(component, indices, files, onBytes, signal)) {
    write(runtime, parameters, index, bytes);
    onRecord(index, bytes);
  }
}

function write(runtime: Runtime, parameters: Parameters, index: number, bytes: Uint8Array): void {
  runtime.scope(() => {
    runtime.write(runtime.unbundle(parameters, index), bytes);
    return undefined;
  });
}

/** Count the bytes of the shards that hold some of a component's records. */
export function countShardBytes(component: ComponentEntry, indices: readonly number[]): number {
  return shardsOf(component, indices).reduce((sum, { shard }) => sum + shard.bytes, 0);
}

/** A shard, and where in the component's stream of bytes it begins. */
interface PlacedShard {
  shard: FileEntry;
  start: number;
}

/** List the shards in which some of a component's records lie, in order. */
function shardsOf({ shards, records }: ComponentEntry, indices: readonly number[]): PlacedShard[] {
  const wanted = indices.map((index) => records[index]!);
  const found: PlacedShard[] = [];
  let start = 0;
  let next = 0; // the first record that ends behind the start of the shard
  for (const shard of shards) {
    const end = start + shard.bytes;
    while (next < wanted.length && wanted[next]!.offset + wanted[next]!.bytes <= start) next += 1;
    if (next < wanted.length && wanted[next]!.offset < end) found.push({ shard, start });
    start = end;
  }
  return found;
}

/**
 * Read records from a component's shards, in order; shards in which none of them lies are not fetched.
 *
 * @returns each record's index, and its bytes, which are a view of a shard.
 */
async function* readRecords(
  component: ComponentEntry,
  indices: readonly number[],
  files: BundleFiles,
  onBytes: OnBytes,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly [number, Uint8Array]> {
  const places = shardsOf(component, indices);
  let pending = new Uint8Array(0);
  let offset = 0; // position of the first pending byte in the component's stream of bytes
  let next = 0;
  const shards = mapInOrder(places, PARALLEL, async ({ shard, start }) => {
    return {
      start,
      data: new Uint8Array(await files.get(shard, onBytes, signal)),
    };
  });
  for await (const { start, data } of shards) {
    const follows = pending.length > 0 && offset + pending.length === start;
    pending = follows ? concatenate(pending, data) : data;
    if (!follows) offset = start;
    for (; next < indices.length; next++) {
      const index = indices[next]!;
      const record = component.records[index]!;
      const from = record.offset - offset;
      if (from + record.bytes > pending.length) {
        const kept = Math.min(from, pending.length);
        pending = pending.slice(kept);
        offset += kept;
        break;
      }
      yield [index, pending.subarray(from, from + record.bytes)];
    }
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
