/** A driver whose exponential function is wrong. */

const { createShaderModule } = GPUDevice.prototype;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  const code = descriptor.code.replaceAll(/\bexp\(/g, "exp2(");
  return createShaderModule.call(this, { ...descriptor, code });
};
