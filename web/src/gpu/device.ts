/** Getting a WebGPU device that a model fits on, or saying why not. */

import { UnsupportedError } from "../api/errors";
import type { Abilities } from "./kernel_variants";

/** What a manifest asks of the device. */
export interface Requirements {
  features: string[];
  limits: Record<string, number>;
}

/** What is worth asking for when it is there: fewer, larger bindings. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
] as const;

/** What kernels make use of where it is there. */
const WANTED_FEATURES = [
  "shader-f16",
  "subgroups",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
];

/** A device and a description of the adapter it came from. */
export interface Gpu {
  device: GPUDevice;
  adapter: { vendor: string; architecture: string; description: string };
  abilities: Abilities;
}

/** Request a device that meets the requirements. */
export async function requestGpu(requirements: Requirements): Promise<Gpu> {
  const adapter = await findAdapter();
  const [problem] = shortcomings(adapter, requirements);
  if (problem !== undefined) throw problem;
  const limits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const features = WANTED_FEATURES.filter((name) => adapter.features.has(name));
  const device = await adapter.requestDevice({
    requiredFeatures: [...new Set([...requirements.features, ...features])] as GPUFeatureName[],
    requiredLimits: limits,
  });
  const abilities = { features: device.features, limits: device.limits, info: adapter.info };
  return { device, adapter: describeAdapter(adapter), abilities };
}

/** What an adapter says of its GPU. */
export function describeAdapter(adapter: GPUAdapter): Gpu["adapter"] {
  const { vendor, architecture, description } = adapter.info;
  return { vendor, architecture, description };
}

/** The best adapter, or an UnsupportedError that says why there is none. */
export async function findAdapter(): Promise<GPUAdapter> {
  // navigator.gpu is typed as always there; older browsers disagree.
  const gpu = navigator.gpu as GPU | undefined;
  if (gpu === undefined) {
    throw new UnsupportedError(
      "this browser has no WebGPU",
      globalThis.isSecureContext
        ? "use a current Chrome, Edge, Safari or Firefox"
        : "open the page over https or from localhost: WebGPU needs a secure context",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new UnsupportedError(
      "no WebGPU adapter was found",
      "turn on hardware acceleration in the browser's settings, or update the graphics driver",
    );
  }
  return adapter;
}

/** What of the requirements an adapter lacks. */
export function shortcomings(adapter: GPUAdapter, requirements: Requirements): UnsupportedError[] {
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
    .map(([name, least]) => ({ name, least, found: limitOf(adapter, name) }))
    .filter(({ least, found }) => found < least)
    .map(
      ({ name, least, found }) =>
        new UnsupportedError(
          `the GPU's ${name} is ${found}, the model needs ${least}`,
          "choose a smaller model",
        ),
    );
  return [...lacking, ...tooSmall];
}

function limitOf(adapter: GPUAdapter, name: string): number {
  return adapter.limits[name as (typeof WANTED_LIMITS)[number]];
}
