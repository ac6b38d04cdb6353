import { beforeEach, expect, test, vi } from "vitest";

import { hasScratchFor } from "../../src/gpu/kernel_candidates";
import type { Variant } from "../../src/gpu/kernel_table";

/** A GPU with so many bytes left; it says what it was asked for. */
function gpuWith(room: number): { device: GPUDevice; sizes: number[]; held: () => number } {
  const [scopes, sizes]: [boolean[], number[]] = [[], []];
  let held = 0;
  const device = {
    pushErrorScope: () => scopes.push(false),
    popErrorScope: () => Promise.resolve(scopes.pop() === true ? { message: "no room" } : null),
    createBuffer: ({ size }: GPUBufferDescriptor) => {
      sizes.push(size);
      const fits = held + size <= room;
      if (fits) held += size;
      else scopes[scopes.length - 1] = true;
      return { size, destroy: () => (held -= fits ? size : 0) };
    },
  };
  return { device: device as unknown as GPUDevice, sizes, held: () => held };
}

function variantWith(...scratch_bytes: number[]): Variant {
  return { scratch_bytes } as Partial<Variant> as Variant;
}

beforeEach(() => {
  vi.stubGlobal("GPUBufferUsage", { STORAGE: 128 });
});

test.each([
  // what is held already, what the variant needs, what is tried, whether there is room
  [[], [], [], true],
  [[], [60, 40], [60, 40], true],
  [[], [60, 41], [60, 41], false],
  [[60], [60, 100], [100], true],
  [[60, 100], [50, 100], [], true],
  [[60], [101], [101], false],
])("scratch %j has room for %j", async (before, needed, tried, fits) => {
  const { device, sizes, held } = gpuWith(100);
  const scratch = before.map((size) => ({ size }) as GPUBuffer);
  expect(await hasScratchFor({ context: { device }, scratch }, variantWith(...needed))).toBe(fits);
  expect([sizes, held()]).toEqual([tried, 0]);
});
