import { expect, test } from "vitest";

import { readKernelTable } from "../../src/gpu/kernel_table";
import { VARIANT_NAMES } from "../../src/util/constants.generated";

const launch = { head: "a", body: 0, grid: [1, 1, 1], arguments: [0, -1] };
const old = {
  features: [] as string[],
  threads: 256,
  shared_bytes: 18432,
  matrix: null as number[] | null,
  lanes: null as number[] | null,
  scratch_bytes: 0,
  operations: 2,
  launches: [launch],
};
const matrix = {
  ...old,
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  matrix: [16, 16, 16],
  lanes: [32, 32],
};
const f16 = { ...old, features: ["shader-f16"] };
const subgroups = { ...old, features: ["subgroups"], lanes: [1, 64], shared_bytes: 1024 };
const plain = { ...old, shared_bytes: 1024 };

function readVersion1(kernels: Record<string, object[]>) {
  return readKernelTable(JSON.stringify({ bodies: ["b"], kernels, bytes: { k: 4 } }));
}

test("a table of version 1 gets names and the fields of version 3", () => {
  const { heads, bodies, bytes, kernels } = readVersion1({ fused_conv2d1_add_kernel: [matrix] });
  expect([heads, bodies, bytes]).toEqual([["a"], ["b"], { k: 4 }]);
  expect(kernels.fused_conv2d1_add_kernel).toEqual([
    {
      name: "gemm_subgroup_matrix",
      problem: "gemm",
      features: matrix.features,
      threads: 256,
      shared_bytes: 18432,
      subgroup_matrix: [16, 16, 16],
      subgroup_size: [32, 32],
      scratch_bytes: [],
      operations: 2,
      launches: [{ ...launch, head: 0 }],
    },
  ]);
});

test.each<[string, object[], string[]]>([
  [
    "fused_linear_kernel",
    [matrix, f16, old],
    ["gemm_subgroup_matrix", "gemm_tiled_f16", "gemm_tiled_f32"],
  ],
  ["linear3_kernel", [subgroups, plain], ["gemv_subgroups", "gemv_workgroup_sum"]],
  ["attention_kernel", [matrix, old], ["attention_subgroup_matrix", "attention_flash"]],
  ["attention_statistics1_kernel", [matrix, old], ["attention_subgroup_matrix", "attention_flash"]],
  ["group_total_kernel", [subgroups, plain], ["norm_sums_subgroups", "norm_sums_workgroup"]],
  ["layer_spread2_kernel", [subgroups, plain], ["norm_sums_subgroups", "norm_sums_workgroup"]],
])("the variants of %s in version 1 are told apart", (kernel, variants, names) => {
  const found = readVersion1({ [kernel]: variants }).kernels[kernel]!.map(({ name }) => name);
  expect(found).toEqual(names);
  expect(VARIANT_NAMES).toEqual(expect.arrayContaining(found));
});

test("a table of version 2 gets heads, and a list of scratch buffers", () => {
  const reduce = { ...launch, head: "c", arguments: [1, -1] };
  const variant = { name: "v", scratch_bytes: 8, launches: [launch, reduce] };
  const other = { name: "w", scratch_bytes: 0, launches: [] };
  const kernels = { k: [variant, other] };
  const table = { version: 2, bodies: ["b"], kernels, bytes: { k: 4 } };
  expect(readKernelTable(JSON.stringify(table))).toEqual({
    heads: ["a", "c"],
    bodies: ["b"],
    bytes: { k: 4 },
    kernels: {
      k: [
        {
          name: "v",
          scratch_bytes: [8],
          launches: [
            { ...launch, head: 0 },
            { ...reduce, head: 1 },
          ],
        },
        { ...other, scratch_bytes: [] },
      ],
    },
  });
});

test("a table of version 3 is read as it is", () => {
  const table = { version: 3, heads: [], bodies: [], kernels: {}, bytes: {} };
  expect(readKernelTable(JSON.stringify(table))).toEqual(table);
});

test("a table of a later version is refused", () => {
  const table = JSON.stringify({ version: 4, heads: [], bodies: [], kernels: {}, bytes: {} });
  expect(() => readKernelTable(table)).toThrow("kernels.json has version 4");
});
