/** The file kernels.json: written kernels that may run in place of a library's generated ones. */

import { SUBGROUP_MATRIX, SUBGROUPS, F16 } from "../util/constants.generated";
import { WsdError } from "../util/errors";

/** One dispatch. */
export interface Launch {
  /** Index of the first part of the WGSL in `heads`. */
  head: number;
  /** Index of the rest in `bodies`. */
  body: number;
  /** Workgroups along x, y and z. */
  grid: [number, number, number];
  /** For each binding, which of the kernel's arguments it is; -1 - n is the scratch buffer n. */
  arguments: number[];
  /** A u32 whose binding follows them; missing if there is none. */
  uniform?: number;
}

/** One way to run a kernel, and what it requires of the GPU. */
export interface Variant {
  /** Name of its kind in the registry (wsd/kernels/registry.py). */
  name: string;
  /** Kind of the problem that it solves: gemm, attention, norm_sums, or generated for any. */
  problem: string;
  /** WebGPU features that it needs. */
  features: string[];
  /** Threads of its largest workgroup. */
  threads: number;
  /** The most shared memory of one workgroup. */
  shared_bytes: number;
  /** M, N and K of its subgroup matrix operation: f16 operands, f32 results. */
  subgroup_matrix: [number, number, number] | null;
  /** Smallest and largest subgroup size that it works with. */
  subgroup_size: [number, number] | null;
  /** Bytes of each scratch buffer; variants use the same ones in turn. */
  scratch_bytes: number[];
  /** Floating-point operations of one call. */
  operations: number;
  /** The class of adapters that it was tuned on, as `describeGpu` writes it; else it is missing. */
  adapter_classes?: string[];
  /** What one workgroup computes at a time, in words; missing for kinds without tiles. */
  tile?: string;
  /** Whether it runs only where tuning found it to be faster; else it is missing. */
  tuning_only?: boolean;
  /** None where another kernel's variant does this kernel's work. */
  launches: Launch[];
}

/** The contents of kernels.json. */
export interface KernelTable {
  /** Texts in which kernels of one body differ; the launches of a variant share some. */
  heads: string[];
  /** Texts that kernels share. */
  bodies: string[];
  /** Kernel name → its variants, the fastest first, those for tuning alone behind them. */
  kernels: Record<string, Variant[]>;
  /** Kernel name → bytes that one call reads and writes. */
  bytes: Record<string, number>;
}

/** A variant of version 2, which had one scratch buffer, and the text of each head in its launch. */
type VariantV2 = Omit<Variant, "scratch_bytes" | "launches"> & {
  scratch_bytes: number;
  launches: (Omit<Launch, "head"> & { head: string })[];
};

interface TableV2 extends Omit<KernelTable, "heads" | "kernels"> {
  version: 2;
  kernels: Record<string, VariantV2[]>;
}

/** A variant of version 1, which had no names. */
type VariantV1 = Omit<VariantV2, "name" | "problem" | "subgroup_matrix" | "subgroup_size"> & {
  matrix: Variant["subgroup_matrix"];
  lanes: Variant["subgroup_size"];
};

interface TableV1 extends Omit<KernelTable, "heads" | "kernels"> {
  version?: undefined;
  kernels: Record<string, VariantV1[]>;
}

const VERSION = 3;
/** Shared memory of version 1's GEMV kernels: one float for each of 256 threads. */
const GEMV_SHARED_BYTES = 1024;

/**
 * Read kernels.json, of this version or of an earlier one.
 *
 * @throws WsdError if it is of another version.
 */
export function readKernelTable(text: string): KernelTable {
  const table = JSON.parse(text) as TableV1 | TableV2 | (KernelTable & { version: 3 });
  if (table.version === undefined) return upgrade(nameVariants(table));
  if (table.version === 2) return upgrade(table);
  const { version }: { version: number } = table;
  if (version !== VERSION) {
    throw new WsdError(
      `kernels.json has version ${version}, this page reads versions 1 to ${VERSION}`,
      "serve the bundle with the page that it was built with",
    );
  }
  return table;
}

function upgrade({ bodies, kernels, bytes }: TableV2): KernelTable {
  const heads: string[] = [];
  const upgraded = Object.entries(kernels).map(([kernel, variants]) => [
    kernel,
    variants.map((variant) => ({
      ...variant,
      scratch_bytes: variant.scratch_bytes > 0 ? [variant.scratch_bytes] : [],
      launches: variant.launches.map((launch) => ({
        ...launch,
        head: heads.push(launch.head) - 1,
      })),
    })),
  ]);
  return { heads, bodies, bytes, kernels: Object.fromEntries(upgraded) as KernelTable["kernels"] };
}

function nameVariants({ bodies, kernels, bytes }: TableV1): TableV2 {
  const upgraded = Object.entries(kernels).map(([kernel, variants]) => [
    kernel,
    variants.map(({ matrix, lanes, ...rest }) => {
      const variant = { ...rest, subgroup_matrix: matrix, subgroup_size: lanes };
      return { ...variant, ...identify(kernel, variant) };
    }),
  ]);
  return {
    version: 2,
    bodies,
    bytes,
    kernels: Object.fromEntries(upgraded) as TableV2["kernels"],
  };
}

/** Tell which kind a variant without a name is of; version 1 named kernels by what they compute. */
function identify(
  kernel: string,
  { features, shared_bytes }: Pick<Variant, "features" | "shared_bytes">,
): Pick<Variant, "name" | "problem"> {
  const [subgroupMatrix, f16, subgroups] = [SUBGROUP_MATRIX, F16, SUBGROUPS].map((feature) =>
    features.includes(feature),
  );
  if (kernel.startsWith("attention")) {
    const name = subgroupMatrix ? "attention_subgroup_matrix" : "attention_flash";
    return { name, problem: "attention" };
  }
  if (/^(group|layer)_/.test(kernel)) {
    const name = subgroups ? "norm_sums_subgroups" : "norm_sums_workgroup";
    return { name, problem: "norm_sums" };
  }
  const problem = "gemm";
  if (subgroupMatrix) return { name: "gemm_subgroup_matrix", problem };
  if (f16) return { name: "gemm_tiled_f16", problem };
  if (subgroups) return { name: "gemv_subgroups", problem };
  const name = shared_bytes === GEMV_SHARED_BYTES ? "gemv_workgroup_sum" : "gemm_tiled_f32";
  return { name, problem };
}
