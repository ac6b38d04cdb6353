// Runs a web worker's module in a worker thread.

import { parentPort, workerData } from "node:worker_threads";

import { becomeBrowser } from "./browser.mjs";

becomeBrowser();

const waiting = [];
const listeners = new Set();
// Messages that arrive before the module listens are kept for it.
parentPort.on("message", (data) => {
  if (listeners.size === 0) waiting.push(data);
  for (const listener of listeners) listener({ data });
});
globalThis.addEventListener = (type, listener) => {
  if (type !== "message") return;
  listeners.add(listener);
  for (const data of waiting.splice(0)) listener({ data });
};
globalThis.removeEventListener = (_type, listener) => listeners.delete(listener);
globalThis.postMessage = (message, transfer) => parentPort.postMessage(message, transfer);

await import(workerData.url);
