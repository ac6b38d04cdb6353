/** A browser without WebGPU, as far as the worker sees. */

Object.defineProperty(navigator, "gpu", { value: undefined });
