/** A browser whose WebGPU finds no GPU. */

navigator.gpu.requestAdapter = () => Promise.resolve(null);
