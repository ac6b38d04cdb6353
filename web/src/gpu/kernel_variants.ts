/** Kernels that may take the place of the library's own, by what the GPU can. */

/** One dispatch: texts, workgroups, and which of the kernel's arguments each binding is. */
export interface Launch {
  head: string;
  /** Index of a text that kernels share. */
  body: number;
  grid: [number, number, number];
  /** -1 is the scratch buffer. */
  arguments: number[];
}

/** A way to run a kernel, and what it asks of the GPU. */
export interface Variant {
  features: string[];
  threads: number;
  shared_bytes: number;
  /** Rows, columns and depth of one operation of a matrix unit. */
  matrix: [number, number, number] | null;
  /** Least and most threads of a subgroup that it can do with. */
  lanes: [number, number] | null;
  scratch_bytes: number;
  operations: number;
  launches: Launch[];
}

export interface KernelTable {
  bodies: string[];
  /** Best first. */
  kernels: Record<string, Variant[]>;
  /** What each kernel reads and writes, for tools. */
  bytes: Record<string, number>;
}

/** Which variants are used: those that the GPU can run, or none. */
export type KernelChoice = "auto" | "generated" | "tiled" | "subgroups" | "halves" | "matrix";

interface MatrixUnit {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** What decides which variants a GPU can run. */
export interface Abilities {
  features: ReadonlySet<string>;
  limits: Pick<
    GPUSupportedLimits,
    "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize"
  >;
  info: {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
    isFallbackAdapter?: boolean;
    description?: string;
    /** Of an experimental feature. */
    subgroupMatrixConfigs?: Iterable<MatrixUnit>;
  };
}

/**
 * The first of a kernel's variants that a GPU can run, if any.
 *
 * Adapters that compute on the processor keep the generated kernels: shared memory
 * and its barriers cost them more than they save.
 */
export function chooseVariant(
  table: KernelTable | undefined,
  name: string,
  gpu: Abilities,
  choice: KernelChoice = "auto",
): Variant | undefined {
  const variants = table?.kernels[name];
  if (variants === undefined || choice === "generated") return undefined;
  if (choice === "auto" && isSoftware(gpu.info)) return undefined;
  return variants.find((variant) => isWanted(variant, choice) && canRun(variant, gpu));
}

function isWanted({ features, matrix }: Variant, choice: KernelChoice): boolean {
  if (choice === "tiled") return features.length === 0;
  if (choice === "subgroups") return !features.includes("shader-f16");
  return choice !== "halves" || matrix === null;
}

/** Whether an adapter has no GPU behind it. */
export function isSoftware({ isFallbackAdapter, description }: Abilities["info"]): boolean {
  return isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe/i.test(description ?? "");
}

function canRun(variant: Variant, { features, limits, info }: Abilities): boolean {
  const [least, most] = variant.lanes ?? [0, Infinity];
  return (
    variant.features.every((feature) => features.has(feature)) &&
    variant.threads <= limits.maxComputeInvocationsPerWorkgroup &&
    variant.shared_bytes <= limits.maxComputeWorkgroupStorageSize &&
    (info.subgroupMinSize ?? 0) >= least &&
    (info.subgroupMaxSize ?? 0) <= most &&
    (variant.matrix === null || hasUnit(variant.matrix, info.subgroupMatrixConfigs))
  );
}

function hasUnit(
  [rows, columns, depth]: [number, number, number],
  units: Iterable<MatrixUnit> = [],
) {
  return [...units].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" &&
      resultComponentType === "f32" &&
      M === rows &&
      N === columns &&
      K === depth,
  );
}
