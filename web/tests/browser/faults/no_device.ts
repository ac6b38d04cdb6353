/** A GPU whose adapter gives no device the first time that it is asked. */

const original = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = () => {
  GPUAdapter.prototype.requestDevice = original;
  return Promise.reject(new DOMException("the driver is busy", "OperationError"));
};
