/** A driver that forgets to synchronise, so that each run computes something else. */

const LATENTS_BYTES = 4 * 4 * 16 * 16;
let calls = 0;

const { writeBuffer } = GPUQueue.prototype;
GPUQueue.prototype.writeBuffer = function (buffer, offset, data, ...rest) {
  if (ArrayBuffer.isView(data) && data.byteLength === LATENTS_BYTES) {
    const floats = new Float32Array(LATENTS_BYTES / 4);
    new Uint8Array(floats.buffer).set(new Uint8Array(data.buffer, data.byteOffset, LATENTS_BYTES));
    floats[0]! += 1e-6 * ++calls;
    writeBuffer.call(this, buffer, offset, floats);
    return;
  }
  writeBuffer.call(this, buffer, offset, data as ArrayBuffer, ...rest);
};
