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
 * @throws AbortError if the signal is aborted; some of the bytes may have been written then.
 */
export async function readBack(
  context: GpuContext,
  targets: readonly ReadTarget[],
  signal?: AbortSignal,
): Promise<void> {
  context.flush();
  const { device } = context;
  const free: GPUBuffer[] = [];
  const made: GPUBuffer[] = [];
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const pieces = split(targets);
  const fetched = mapInOrder(pieces, WIDTH, async (parts) => {
    throwIfAborted(signal);
    const mapped = free.pop() ?? device.createBuffer({ size: PIECE_BYTES, usage });
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
    for (const buffer of made) buffer.destroy();
  }
}

/** Split buffers into parts, and these into pieces of at most {@link PIECE_BYTES}. */
function split(targets: readonly ReadTarget[]): Part[][] {
  const pieces: Part[][] = [];
  let offset = PIECE_BYTES;
  for (const { buffer, bytes } of targets) {
    for (let from = 0; from < bytes.length;) {
      if (offset >= PIECE_BYTES) {
        pieces.push([]);
        offset = 0;
      }
      const count = Math.min(bytes.length - from, PIECE_BYTES - offset);
      pieces.at(-1)!.push({
        buffer,
        bytes: bytes.subarray(from, from + count),
        from,
        offset,
      });
      from += count;
      offset += count;
    }
  }
  return pieces;
}
