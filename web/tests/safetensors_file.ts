/** Writes .safetensors files for tests. */

/** A tensor of float32 values, or of raw bytes of another type. */
export interface TestTensor {
  shape: readonly number[];
  values?: readonly number[];
  /** Type and bytes, in place of values. */
  raw?: { dtype: string; bytes: Uint8Array };
}

/** Write a file of some tensors. */
export function writeSafetensors(
  tensors: Readonly<Record<string, TestTensor>>,
  metadata?: Record<string, string>,
): ArrayBuffer {
  let end = 0;
  const bodies: Uint8Array[] = [];
  const entries = Object.entries(tensors).map(([name, { shape, values, raw }]) => {
    const bytes = raw?.bytes ?? new Uint8Array(Float32Array.from(values!).buffer);
    bodies.push(bytes);
    const start = end;
    end += bytes.length;
    return [name, { dtype: raw?.dtype ?? "F32", shape, data_offsets: [start, end] }] as const;
  });
  const header = {
    ...Object.fromEntries(entries),
    ...(metadata && { __metadata__: metadata }),
  };
  return joinFile(JSON.stringify(header), bodies);
}

/** Join a header and the bytes behind it. */
export function joinFile(header: string, bodies: readonly Uint8Array[]): ArrayBuffer {
  const text = new TextEncoder().encode(header);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  const parts = [length, text, ...bodies];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file.buffer;
}
