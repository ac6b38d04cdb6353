/** Loses the GPU when the page asks for it on a channel. */

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  const channel = new BroadcastChannel("lose-device");
  channel.onmessage = () => {
    channel.close();
    device.destroy();
  };
  return device;
};
