/** A GPU that counts how often each kernel runs: `wsdKernels` has the numbers by the kernels' names. */

const modules = new WeakMap<GPUShaderModule, string>();
const pipelines = new WeakMap<GPUComputePipeline, string>();
const counts: Record<string, number> = {};
Object.assign(globalThis, { wsdKernels: counts });

const { createShaderModule: makeModule, createComputePipelineAsync: makePipeline } =
  GPUDevice.prototype;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  const module = makeModule.call(this, descriptor);
  const name = /@compute[^{]*?fn (\w+)\(/.exec(descriptor.code)?.[1];
  if (name !== undefined) modules.set(module, name);
  return module;
};
GPUDevice.prototype.createComputePipelineAsync = async function (descriptor) {
  const pipeline = await makePipeline.call(this, descriptor);
  const name = modules.get(descriptor.compute.module);
  if (name !== undefined) pipelines.set(pipeline, name);
  return pipeline;
};

const { setPipeline } = GPUComputePassEncoder.prototype;
GPUComputePassEncoder.prototype.setPipeline = function (pipeline) {
  const name = pipelines.get(pipeline);
  if (name !== undefined) counts[name] = (counts[name] ?? 0) + 1;
  setPipeline.call(this, pipeline);
};
