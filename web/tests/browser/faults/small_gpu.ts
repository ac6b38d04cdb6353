/** A GPU that has memory for one stage of the model at a time, and not for all of it. */

/** Bytes; esbuild replaces it. */
declare const ROOM: number;

let total = 0;
let full = false;

const { createBuffer, popErrorScope, destroy } = GPUDevice.prototype;

GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  total += descriptor.size;
  full ||= total > ROOM;
  const free = buffer.destroy.bind(buffer);
  buffer.destroy = () => {
    total -= descriptor.size;
    buffer.destroy = free;
    free();
  };
  return buffer;
};

GPUDevice.prototype.popErrorScope = async function () {
  const error = await popErrorScope.call(this);
  if (!full) return error;
  full = false;
  return new GPUOutOfMemoryError("no room");
};

GPUDevice.prototype.destroy = function () {
  total = 0;
  destroy.call(this);
};
