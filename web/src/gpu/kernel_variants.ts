/** Which written kernels run in place of generated ones: those asked for that the GPU can run. */

import { AUTO, GENERATED, LEGACY_KERNEL_MODES, VARIANT_NAMES } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import type { KernelTable, Variant } from "./kernel_table";

/**
 * Names of the variants that may run, wherever the GPU can run them; or `auto`, for all of them
 * on GPUs and none on software adapters.
 */
export type KernelChoice = typeof AUTO | ReadonlySet<string>;

interface SubgroupMatrixConfig {
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
    /** Only with the experimental feature for subgroup matrices. */
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
}

/**
 * Read the option `kernels`: `auto`, `generated`, or names of variants separated by commas.
 *
 * @param onNotice called with a sentence if the option is one of the deprecated modes.
 * @throws OptionError if a name is not known.
 */
export function parseKernelChoice(
  option: string = AUTO,
  onNotice: (notice: string) => void = () => undefined,
): KernelChoice {
  if (option === AUTO) return AUTO;
  if (option === GENERATED) return new Set();
  if (Object.hasOwn(LEGACY_KERNEL_MODES, option)) {
    const names = LEGACY_KERNEL_MODES[option as keyof typeof LEGACY_KERNEL_MODES];
    onNotice(`kernels: "${option}" is deprecated; name the variants: "${names.join(",")}".`);
    return new Set(names);
  }
  const names = option.split(",").map((name) => name.trim());
  const known: readonly string[] = VARIANT_NAMES;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new OptionError(
      `kernels: there is no variant "${unknown}"`,
      `give ${AUTO}, ${GENERATED}, or names separated by commas: ${known.join(", ")}`,
    );
  }
  return new Set(names);
}

/**
 * Select the first of a kernel's variants that may run and that a GPU can run.
 *
 * Adapters that compute on the processor keep the generated kernels unless variants are named:
 * there, shared memory and its barriers cost more time than they save.
 *
 * @returns undefined if the generated kernel runs.
 */
export function selectVariant(
  table: KernelTable | undefined,
  kernel: string,
  gpu: Abilities,
  choice: KernelChoice = AUTO,
): Variant | undefined {
  if (choice === AUTO && isSoftware(gpu.info)) return undefined;
  return table?.kernels[kernel]?.find(
    (variant) => (choice === AUTO || choice.has(variant.name)) && canRun(variant, gpu),
  );
}

/** Whether an adapter computes on the processor. */
export function isSoftware({ isFallbackAdapter, description }: Abilities["info"]): boolean {
  return isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe/i.test(description ?? "");
}

function canRun(variant: Variant, { features, limits, info }: Abilities): boolean {
  const [smallest, largest] = variant.subgroup_size ?? [0, Infinity];
  return (
    variant.features.every((feature) => features.has(feature)) &&
    variant.threads <= limits.maxComputeInvocationsPerWorkgroup &&
    variant.shared_bytes <= limits.maxComputeWorkgroupStorageSize &&
    (info.subgroupMinSize ?? 0) >= smallest &&
    (info.subgroupMaxSize ?? 0) <= largest &&
    (variant.subgroup_matrix === null ||
      hasConfig(variant.subgroup_matrix, info.subgroupMatrixConfigs))
  );
}

function hasConfig(
  [m, n, k]: [number, number, number],
  configs: Iterable<SubgroupMatrixConfig> = [],
): boolean {
  return [...configs].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === m && N === n && K === k,
  );
}
