/** A worker that enters an endless loop as soon as the page asks for it on a channel. */

const { submit } = GPUQueue.prototype;
let asked = false;
const channel = new BroadcastChannel("endless-loop");
channel.onmessage = () => {
  asked = true;
  channel.postMessage("understood");
};

GPUQueue.prototype.submit = function (buffers) {
  while (asked);
  submit.call(this, buffers);
};
