/** Reads much data back from the GPU. */

import { mapInOrder } from "../util/concurrency";
import { throwIfAborted } from "../util/errors";
import type { GpuContext } from "./tvm/gpu_context";

/** Bytes that are read at a time. */
const PIECE_BYTES = 2 ** 24;
/** Buffers that the GPU fills while another one is read. */
const WIDTH = 3;

/** A buffer, and where its bytes go; a multiple of 4. */
export interface ReadTarget {
  buffer: GPUBuffer;
  bytes: Uint8Array;
}

/** A part of a target, and where it lies in the buffer that is mapped. */
interface Part extends ReadTarget {
  from: number;
  offset: number;
}

/**
 * Read buffers, after everything that was recorded before.
 *
 * @param targets are taken one after another, each when it is about to be read.
 * @param pieceBytes bytes that are read at a time, a multiple of 4.
 * @throws AbortError if the signal is aborted; some of the bytes may have been written then.
 */
export async function readBack(
  context: GpuContext,
  targets: Iterable<ReadTarget>,
  signal?: AbortSignal,
  pieceBytes: number = PIECE_BYTES,
): Promise<void> {
  context.flush();
  const { device } = context;
  const free: GPUBuffer[] = [];
  const made: GPUBuffer[] = [];
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const fetched = mapInOrder(split(targets, pieceBytes), WIDTH, async (parts) => {
    throwIfAborted(signal);
    const mapped = free.pop() ?? context.createBuffer({ size: pieceBytes, usage });
    if (!made.includes(mapped)) made.push(mapped);
    const encoder = device.createCommandEncoder();
    for (const { buffer, bytes, from, offset } of parts) {
      encoder.copyBufferToBuffer(buffer, from, mapped, offset, bytes.length);
    }
    device.queue.submit([encoder.finish()]);
    await mapped.mapAsync(GPUMapMode.READ);
    return { parts, mapped };
  });
  try {
    for await (const { parts, mapped } of fetched) {
      const found = new Uint8Array(mapped.getMappedRange());
      for (const { bytes, offset } of parts) {
        bytes.set(found.subarray(offset, offset + bytes.length));
      }
      mapped.unmap();
      free.push(mapped);
    }
  } finally {
    for (const buffer of made) context.destroyBuffer(buffer);
  }
}

/** Split buffers into parts, and these into pieces of at most `pieceBytes`. */
function* split(targets: Iterable<ReadTarget>, pieceBytes: number): Generator<Part[]> {
  let piece: Part[] = [];
  let offset = 0;
  for (const { buffer, bytes } of targets) {
    for (let from = 0; from < bytes.length;) {
      const count = Math.min(bytes.length - from, pieceBytes - offset);
      piece.push({ buffer, bytes: bytes.subarray(from, from + count), from, offset });
      from += count;
      offset += count;
      if (offset < pieceBytes) continue;
      yield piece;
      [piece, offset] = [[], 0];
    }
  }
  if (piece.length > 0) yield piece;
}
