// WebGPU in Node.js, by Dawn.

import process from "node:process";

import { create, globals } from "webgpu";

/** Define WebGPU's classes, and return what a browser has as `navigator.gpu`. */
export function openDawn() {
  Object.assign(globalThis, globals);
  if (process.env.WSD_GPU_IS_CPU) restWhileWaiting();
  // WSD_DAWN: Dawn's own switches, separated by spaces.
  return create((process.env.WSD_DAWN ?? "").split(" ").filter(Boolean));
}

/** Dawn asks without pause whether work has ended, at the cost of a processor that does the work. */
function restWhileWaiting() {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  let waiting = 0;
  const rest = () => {
    if (waiting === 0) return;
    Atomics.wait(nobody, 0, 0, 1);
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
