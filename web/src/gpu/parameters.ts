/** Loads components' parameters from their shards onto the GPU. */

import type { OnBytes } from "../bundle/download";
import type { BundleFiles } from "../bundle/bundle_files";
import type { ComponentEntry, FileEntry, ParameterRecord } from "../bundle/manifest";
import type { Parameters, Runtime, Tensor } from "./tvm/runtime";

/** A component whose parameters are loaded. */
export type NamedComponent = readonly [name: string, component: ComponentEntry];

/**
 * Fetch the shards of components, check them, and upload their parameters.
 *
 * The shards of all components are one row, so that the next component's are read while the last
 * ones of the one before are uploaded. Each piece of a tensor is uploaded when its shard arrives, and
 * no more than a few shards are in memory at a time.
 *
 * @param onBytes called with the bytes that have arrived since the last call.
 * @returns each component's name, and its parameters in the order of its records, of which the caller
 *   disposes.
 * @throws FetchError, IntegrityError or AbortError if a shard does not arrive.
 */
export async function* loadParameters(
  runtime: Runtime,
  components: readonly NamedComponent[],
  files: BundleFiles,
  onBytes: OnBytes,
  signal?: AbortSignal,
): AsyncGenerator<readonly [name: string, parameters: Parameters]> {
  const rows = components.map(([, component]) => shardsOf(component, allRecords(component)));
  const arriving = files.getAll(rows.flat(), onBytes, signal);
  for (const [row, [name, component]] of components.entries()) {
    const tensors: Tensor[] = [];
    let parameters: Parameters;
    try {
      for (const { start } of rows[row]!) {
        const { data } = (await arriving.next()).value as ArrivedShard; // they arrive in order
        const began = performance.now();
        for (const piece of cut(component, allRecords(component), start, data)) {
          tensors[piece.index] ??= allocate(runtime, component.records[piece.index]!);
          runtime.writePart(tensors[piece.index]!, piece.at, piece.bytes);
        }
        files.times.upload += performance.now() - began;
        files.giveBack(data);
      }
      parameters = runtime.scope(() => runtime.bundle(tensors));
    } finally {
      for (const tensor of tensors) tensor.dispose(); // the bundled tuple keeps its own references
    }
    yield [name, parameters];
  }
}

/** How records are read again. */
export interface ReadAgain {
  /** Called with the bytes that have arrived since the last call. */
  onBytes: OnBytes;
  /** Called with the index of each record, and its bytes, which may be a view of a shard. */
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
  const arriving = files.getAll(shardsOf(component, indices), onBytes, signal);
  let whole = new Uint8Array(0); // the bytes of a record that lies in several shards
  for await (const { start, data } of arriving) {
    for (const { index, at, bytes } of cut(component, indices, start, data)) {
      const length = component.records[index]!.bytes;
      let record = bytes;
      if (bytes.length < length) {
        if (at === 0) whole = new Uint8Array(length);
        whole.set(bytes, at);
        if (at + bytes.length < length) continue;
        record = whole;
      }
      write(runtime, parameters, index, record);
      onRecord(index, record);
    }
    files.giveBack(data);
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
  return shardsOf(component, indices).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A shard, and where in the component's stream of bytes it begins. */
interface PlacedShard extends FileEntry {
  start: number;
}

type ArrivedShard = PlacedShard & { data: ArrayBuffer };

function allRecords({ records }: ComponentEntry): number[] {
  return [...records.keys()];
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
    if (next < wanted.length && wanted[next]!.offset < end) found.push({ ...shard, start });
    start = end;
  }
  return found;
}

/** The part of a record that lies in a shard. */
interface Piece {
  /** The record's. */
  index: number;
  /** Where in the record it begins. */
  at: number;
  /** A view of the shard. */
  bytes: Uint8Array;
}

/**
 * Cut a shard into the pieces of the records that lie in it. Shards end between two words of 32 bits,
 * as records do, so that each piece can be written by itself.
 *
 * @param indices of the records that are wanted, in order.
 * @param start where in the component's stream of bytes the shard begins.
 */
function* cut(
  { records }: ComponentEntry,
  indices: readonly number[],
  start: number,
  data: ArrayBuffer,
): Generator<Piece> {
  const end = start + data.byteLength;
  for (const index of indices) {
    const { offset, bytes } = records[index]!;
    const from = Math.max(offset, start);
    const to = Math.min(offset + bytes, end);
    if (from >= to) continue;
    yield { index, at: from - offset, bytes: new Uint8Array(data, from - start, to - from) };
  }
}

/** Make the tensor of a parameter; compiled functions read all but float32 as 32-bit words. */
function allocate(runtime: Runtime, { shape, dtype, bytes }: ParameterRecord): Tensor {
  return runtime.scope(() =>
    dtype === "float32" ? runtime.empty(shape, dtype) : runtime.empty([bytes / 4], "uint32"),
  );
}
