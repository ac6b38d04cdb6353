/** Requests a WebGPU device that a model can run on, or says why there is none. */

import type { Requirements } from "../bundle/manifest";
import { KERNEL_FEATURES, SUBGROUP_MATRIX } from "../util/constants.generated";
import { UnsupportedError } from "../util/errors";
import type { GpuFacts } from "./selection_rules";
import { describeGpu } from "./selection_rules";
import probe from "./subgroup_matrix_probe.wgsl";

/** Limits that are raised to the adapter's, because kernels can use more than the default. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
] as const;

/** Features that are requested where the adapter has them. */
const WANTED_FEATURES = new Set<string>(KERNEL_FEATURES);

/** Request one more feature where the adapter has it: measurements need the GPU's clock. */
export function alsoRequest(feature: string): void {
  WANTED_FEATURES.add(feature);
}

/** A device and a description of the adapter it came from. */
export interface Gpu {
  device: GPUDevice;
  adapter: { vendor: string; architecture: string; description: string };
  /** All that the browser says of which GPU it is. */
  identity: AdapterIdentity;
  /** What rules may ask of the device and its adapter. */
  facts: GpuFacts;
}

/**
 * Which GPU it is, as `GPUAdapterInfo` says it; texts are empty where the browser hides them. `features` are
 * those that variants of kernels may need, separated by spaces: a flag of the browser may add some.
 */
export type AdapterIdentity = Record<
  "vendor" | "architecture" | "device" | "description" | "features",
  string
>;

/**
 * Request a device that meets the requirements.
 *
 * @param least as {@link findShortcomings} takes it.
 * @throws UnsupportedError if there is no adapter, or the adapter lacks something.
 */
export async function requestGpu(requirements: Requirements, least = requirements): Promise<Gpu> {
  const adapter = await findAdapter();
  const [problem] = findShortcomings(adapter, requirements, least);
  if (problem !== undefined) throw problem;
  const limits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const features = [...WANTED_FEATURES].filter((name) => adapter.features.has(name));
  const device = await adapter
    .requestDevice({
      requiredFeatures: [...new Set([...requirements.features, ...features])] as GPUFeatureName[],
      requiredLimits: limits,
    })
    .catch((cause: unknown) => {
      throw new UnsupportedError(
        `the GPU gives no device: ${cause instanceof Error ? cause.message : String(cause)}`,
        "close other tabs that use the GPU, or restart the browser; if that does not help, " +
          "update the graphics driver",
        { cause },
      );
    });
  const usable = new Set<string>(device.features);
  if (usable.has(SUBGROUP_MATRIX) && !(await knowsSubgroupMatrices(device)))
    usable.delete(SUBGROUP_MATRIX);
  const granted = device.limits;
  const facts = describeGpu({ features: usable, limits: granted, info: adapter.info });
  const described = describeAdapter(adapter);
  const forKernels = KERNEL_FEATURES.filter((name) => usable.has(name));
  const identity = {
    ...{ ...described, device: adapter.info.device },
    features: forKernels.join(" "),
  };
  return { device, adapter: described, identity, facts };
}

/**
 * Whether a device knows the form of the experimental feature that the kernels use. Chromium changed it in August 2026,
 * and a browser from before has a feature of the same name.
 */
async function knowsSubgroupMatrices(device: GPUDevice): Promise<boolean> {
  device.pushErrorScope("validation");
  device.createShaderModule({ code: probe });
  return (await device.popErrorScope()) === null;
}

/** Vendor, architecture and description of an adapter's GPU; empty where the browser hides them. */
export function describeAdapter(adapter: GPUAdapter): Gpu["adapter"] {
  const { vendor, architecture, description } = adapter.info;
  return { vendor, architecture, description };
}

/** There is no adapter, although the browser has WebGPU. */
export class NoAdapterError extends UnsupportedError {}

/**
 * How long to wait before asking once more, in milliseconds: Chromium may answer that there is no
 * adapter while the GPU's process is still starting, and find one a moment later.
 */
const ASK_AGAIN_AFTER = [250, 500];

/**
 * Ask for the adapter of the fastest GPU, and again if there is none.
 *
 * @returns the adapter; null if there is none, or the browser has no WebGPU.
 */
export async function askForAdapter(): Promise<GPUAdapter | null> {
  const gpu = navigator.gpu as GPU | undefined; // older browsers do not have it
  // Browsers say with null that there is none; some reject after the GPU's process has crashed.
  const ask = async (): Promise<GPUAdapter | null> =>
    (await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null)) ?? null;
  let adapter = await ask();
  for (const pause of gpu === undefined ? [] : ASK_AGAIN_AFTER) {
    if (adapter !== null) break;
    await new Promise((done) => setTimeout(done, pause));
    adapter = await ask();
  }
  return adapter;
}

/**
 * Request the adapter of the fastest GPU.
 *
 * @throws UnsupportedError if there is none; it says why.
 */
export async function findAdapter(): Promise<GPUAdapter> {
  // The type says that navigator.gpu always exists, but older browsers do not have it.
  const gpu = navigator.gpu as GPU | undefined;
  if (gpu === undefined) {
    throw new UnsupportedError(
      "this browser has no WebGPU",
      globalThis.isSecureContext
        ? "use a current Chrome, Edge, Safari or Firefox"
        : "open the page over https or from localhost: WebGPU needs a secure context",
    );
  }
  const adapter = await askForAdapter();
  if (adapter === null) {
    throw new NoAdapterError(
      "no WebGPU adapter was found",
      "turn on hardware acceleration in the browser's settings, restart the browser, " +
        "or update the graphics driver",
    );
  }
  // The type says that it always exists, but Chrome has it since version 127.
  if ((adapter.info as GPUAdapterInfo | undefined) === undefined) {
    throw new UnsupportedError(
      "this browser's WebGPU is too old: it does not say which GPU it uses",
      "update the browser; of Chrome and Edge, version 127 is the first that can draw",
    );
  }
  return adapter;
}

/**
 * Find what an adapter lacks of the requirements, each as an error with a hint.
 *
 * @param least what the model requires without the text encoders that can be left out.
 */
export function findShortcomings(
  adapter: GPUAdapter,
  requirements: Requirements,
  least = requirements,
): UnsupportedError[] {
  const lacking = requirements.features
    .filter((feature) => !adapter.features.has(feature))
    .map(
      (feature) =>
        new UnsupportedError(
          `the GPU lacks the WebGPU feature ${feature}`,
          "choose a model built without it",
        ),
    );
  const tooSmall = Object.entries(requirements.limits)
    .map(([name, needed]) => ({ name, needed, found: limitOf(adapter, name) }))
    .filter(({ needed, found }) => found < needed)
    .map(
      ({ name, needed, found }) =>
        new UnsupportedError(
          `the GPU's ${name} is ${found}, the model needs ${needed}`,
          found >= (least.limits[name] ?? 0)
            ? "load it without its third text encoder (textEncoder3: false)"
            : "choose a smaller model",
        ),
    );
  return [...lacking, ...tooSmall];
}

function limitOf(adapter: GPUAdapter, name: string): number {
  return adapter.limits[name as (typeof WANTED_LIMITS)[number]];
}
