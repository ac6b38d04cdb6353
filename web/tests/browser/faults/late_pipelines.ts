/**
 * Reports on a channel when a pipeline is compiled synchronously.
 *
 * tvmjs does that when a kernel is called that no function names, and everything waits meanwhile.
 */

const { createComputePipeline } = GPUDevice.prototype;
GPUDevice.prototype.createComputePipeline = function (descriptor) {
  new BroadcastChannel("late-pipeline").postMessage(0);
  return createComputePipeline.call(this, descriptor);
};
