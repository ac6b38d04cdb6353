// WebGPU in Node.js, with Dawn.

import process from "node:process";

import { create, globals } from "webgpu";

/** Define WebGPU's classes globally, and return a `GPU`, which browsers have as `navigator.gpu`. */
export function openDawn() {
  Object.assign(globalThis, globals);
  if (process.env.WSD_GPU_IS_CPU) restWhileWaiting();
  // WSD_DAWN holds Dawn's switches, separated by spaces.
  return create((process.env.WSD_DAWN ?? "").split(" ").filter(Boolean));
}

/**
 * Have Dawn sleep between the moments when it polls for finished work. It polls without pause,
 * which takes time from a software adapter that computes on the same processor.
 */
function restWhileWaiting() {
  const unused = new Int32Array(new SharedArrayBuffer(4));
  let waiting = 0;
  const rest = () => {
    if (waiting === 0) return;
    Atomics.wait(unused, 0, 0, 1);
    setImmediate(rest);
  };
  for (const [{ prototype }, name] of [
    [globalThis.GPUQueue, "onSubmittedWorkDone"],
    [globalThis.GPUBuffer, "mapAsync"],
    [globalThis.GPUDevice, "createComputePipelineAsync"],
  ]) {
    const work = prototype[name];
    prototype[name] = async function (...given) {
      if (waiting++ === 0) setImmediate(rest);
      try {
        return await work.apply(this, given);
      } finally {
        waiting--;
      }
    };
  }
}
