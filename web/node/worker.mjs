// A worker thread that runs a web worker's module.

import { parentPort, workerData } from "node:worker_threads";

import { becomeBrowser } from "./browser.mjs";

becomeBrowser();

const waiting = [];
const listeners = new Set();
// Messages may arrive before the module has started to listen.
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
