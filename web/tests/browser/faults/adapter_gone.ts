/** A browser that gives no adapter any more after a device was lost, as Chromium does. */

const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await request.apply(this, args);
  const channel = new BroadcastChannel("lose-device");
  channel.onmessage = () => {
    channel.close();
    navigator.gpu.requestAdapter = () => Promise.resolve(null);
    device.destroy();
  };
  return device;
};
