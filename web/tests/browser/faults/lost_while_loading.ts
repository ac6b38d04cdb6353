/** A GPU that is lost as the first pipelines are compiled, once. */

const { createComputePipelineAsync } = GPUDevice.prototype;
GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
  GPUDevice.prototype.createComputePipelineAsync = createComputePipelineAsync;
  this.destroy();
  return createComputePipelineAsync.call(this, descriptor);
};
