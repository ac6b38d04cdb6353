/** A browser whose worker finds no WebGPU. */

Object.defineProperty(navigator, "gpu", { value: undefined });
