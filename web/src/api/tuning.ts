/** Tuning on the visitor's GPU: what `tune` takes, and what it finds. */

import type { OnProgress } from "./progress";

/** When a model is tuned without being asked to. */
export type Tuning = "idle" | "off";

/** Options of `tune`. */
export interface TuneOptions {
  /**
   * For how many seconds kernels are timed, above 0 and up to 3600; 5 unless given. A kernel that was begun
   * is timed to its end, one at least in each call, and then the whole function. What was found is kept, and
   * the next call goes on from there.
   */
  seconds?: number | undefined;
  /** Times kernels again of which it is known what is fastest; false unless given. */
  again?: boolean | undefined;
  /** Called with the progress of the call; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call. The functions that are done keep what was found for them. */
  signal?: AbortSignal | undefined;
}

/**
 * What runs in a kernel: a variant by its name, and which of the kernel's variants of that name it is,
 * counted from 0; or `generated`, the kernel itself, whose index is 0.
 */
export interface VariantChoice {
  variant: string;
  index: number;
  /**
   * What a workgroup of the variant computes at a time, in words, such as `64x64x16, 8x4 a thread`: M, N and K
   * of a tile of a matrix product, and what each thread computes of it. Missing for variants without tiles.
   */
  tile?: string | undefined;
}

/** What `tune` found of one compiled function. */
export interface TunedFunction {
  /** Name of the function. */
  name: string;
  /** How often a picture of the model's default steps calls it. */
  calls: number;
  /** Milliseconds of a call with the variants that run unless `tune` finds others. */
  before: number;
  /** Milliseconds of a call with those that were found; the same number if they are the same. */
  after: number;
  /** Kernels among which there is something to choose, and were timed in this function. */
  kernels: number;
  /** In how many of them another variant runs now. */
  changed: number;
  /** Whether all of its kernels were timed before the time was up. */
  complete: boolean;
}

/** What `tune` found of a model on this GPU. */
export interface TuneReport {
  /** Vendor, architecture, device and description of the GPU; empty where the browser hides them. */
  adapter: Record<string, string>;
  /** The functions all or some of whose kernels were timed, now or in an earlier call. */
  functions: TunedFunction[];
  /** Kernels that were timed, and in how many of them another variant runs now. */
  kernels: number;
  changed: number;
  /** How many times as fast these functions draw a picture of the model's default steps. */
  gain: number;
  /** Kernel → what was found to be the fastest in it. */
  choices: Record<string, VariantChoice>;
  /** Whether all kernels were timed. If not, another call goes on. */
  complete: boolean;
  /**
   * Whether the browser keeps what was found, for the next time that the model is loaded. It keeps
   * nothing with `cache: false`, of kernels that were named by the option `kernels`, and without room.
   */
  kept: boolean;
  /** Seconds that this call took. */
  seconds: number;
}
