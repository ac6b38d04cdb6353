// Shows what a worker of its own draws.
const canvas = document.getElementById("canvas");
const status = document.getElementById("status");
const worker = new Worker(new URL("./worker_job.js", import.meta.url), { type: "module" });
worker.onerror = ({ message }) => (status.textContent = message);
worker.onmessage = ({ data: { image, error } }) => {
  if (error !== undefined) return (status.textContent = error);
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").putImageData(image, 0, 0);
  status.textContent = "Done.";
};
worker.postMessage({ manifest: new URL("model/manifest.json", document.baseURI).href });
