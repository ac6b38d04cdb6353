/** A worker that enters an endless loop as soon as the page asks for it on a channel. */

const { submit } = GPUQueue.prototype;
let asked = false;
new BroadcastChannel("endless-loop").onmessage = () => (asked = true);

GPUQueue.prototype.submit = function (buffers) {
  while (asked);
  submit.call(this, buffers);
};
