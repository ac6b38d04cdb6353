/** Types of the public API that need nothing else of it. */

import type { Roofline } from "../diagnostics/roofline";
import type { KernelChoice } from "../gpu/kernel_variants";
import type { KernelTime } from "../diagnostics/gpu_profiler";
import type { OnProgress } from "./progress";
import type { Settings } from "./settings";

/** Told, in a sentence, what went otherwise than it should and was dealt with. */
export type OnNotice = (notice: string) => void;

export interface LoadOptions {
  /**
   * Keep only the parameters of one stage on the GPU at a time: text encoders, then
   * UNet, then decoder. Slower, since each picture fetches them anew, but smaller.
   */
  offload?: boolean | undefined;
  /**
   * Decode pictures in overlapping tiles. Slower and not quite the same picture, but
   * the decoder, which needs the most memory of all, needs a part of it.
   */
  tiling?: boolean | undefined;
  /**
   * Which kernels run: the fastest that the GPU can (`auto`), those of the library
   * (`generated`), or ours without (`tiled`) or with (`matrix`) matrix units, wherever
   * they can run at all. For tests and measurements.
   */
  kernels?: KernelChoice | undefined;
  /** Keep what is downloaded in the browser, checked again when it is read; true unless given. */
  cache?: boolean | undefined;
  /** Told, in a sentence, what went otherwise than it should and was dealt with. */
  onNotice?: OnNotice | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Milliseconds. */
export interface Timings {
  text: number;
  denoise: number;
  /** From the start to the first preview; null if there was none. */
  firstPreview: number | null;
  decode: number;
  total: number;
}

export interface Generated {
  /** The first picture. */
  image: ImageData;
  images: ImageData[];
  /** The final latents, (images, channels, height / factor, width / factor). */
  latents: Float32Array;
  timings: Timings;
  /** What the pictures were drawn with, defaults filled in. */
  settings: Settings;
}

/** What must not grow from one picture to the next. */
export interface Usage {
  /** Bytes in GPU buffers that TVM allocated. */
  gpuBytes: number;
  /** The most that there ever were. */
  peakGpuBytes: number;
  /** GPU buffers that TVM allocated. */
  gpuBuffers: number;
  /** Compute pipelines that are compiled. */
  pipelines: number;
  /** JavaScript functions that WebAssembly holds. */
  callbacks: number;
  /** Bytes of WebAssembly memory. */
  wasmBytes: number;
}

/** How long compiled functions take, and what the GPU does at most. */
export interface BenchReport {
  ceilings: Roofline;
  stages: StageTimes[];
}

/** How long a compiled function takes. */
export interface StageTimes {
  stage: string;
  /** Of one call among others, the next recorded while the GPU computes this one. */
  milliseconds: number;
  /** What recording a call's commands takes. */
  host: number;
  /** Of one call by the GPU alone, all its commands recorded before; null if not known. */
  busy: number | null;
  /** By the GPU's own clock; none if the device has no timestamps. */
  kernels: KernelTime[];
}

/** What a self-test found of one stage. */
export interface StageReport {
  /** Name of the compiled function. */
  stage: string;
  /** The largest relative error of its results; not finite if they are not. */
  error: number;
  /** The most that it may be. */
  limit: number;
  /** Whether a second call gave the same bits. */
  repeats: boolean;
  /** Of the second call, results read back. */
  milliseconds: number;
  good: boolean;
}
