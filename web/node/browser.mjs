// Adds to Node.js what a bundle's code needs of a browser: WebGPU, workers, modules over HTTP.

import { register } from "node:module";
import process from "node:process";
import { Worker as Thread } from "node:worker_threads";

import { openDawn } from "./dawn.mjs";

/** Module hooks of Node.js that fetch modules from a server, as a browser does. */
const HOOKS = `
const isWeb = (url) => /^https?:/.test(url ?? "");
export async function resolve(specifier, context, next) {
  if (isWeb(specifier)) return { url: specifier, shortCircuit: true };
  if (isWeb(context.parentURL) && /^[./]/.test(specifier))
    return { url: new URL(specifier, context.parentURL).href, shortCircuit: true };
  return next(specifier, context);
}
export async function load(url, context, next) {
  if (!isWeb(url)) return next(url, context);
  const response = await fetch(url);
  if (!response.ok) throw new Error(url + " answered " + response.status);
  return { format: "module", source: await response.text(), shortCircuit: true };
}
`;

class ImageData {
  constructor(data, width, height) {
    Object.assign(this, { data, width, height, colorSpace: "srgb" });
  }
}

/** A worker thread with the interface of a web worker. */
class Worker {
  #thread;
  #handlers = new Map();

  constructor(url) {
    this.#thread = new Thread(new URL("worker.mjs", import.meta.url), {
      workerData: { url: String(url) },
    });
    this.#thread.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
  }

  addEventListener(type, listener) {
    const handler = (data) => (listener.handleEvent ?? listener).call(listener, { data });
    this.#handlers.set(listener, handler);
    this.#thread.on(type, handler);
  }

  removeEventListener(type, listener) {
    this.#thread.off(type, this.#handlers.get(listener));
  }

  postMessage(message, transfer) {
    this.#thread.postMessage(message, transfer);
  }

  terminate() {
    void this.#thread.terminate();
  }
}

/** Define in this thread what pages and workers have in a browser. */
export function becomeBrowser() {
  // Standard output carries the answers of page.mjs, so logs go to standard error.
  console.log = console.info = console.debug = console.error;
  register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
  const gpu = openDawn();
  Object.assign(globalThis, { ImageData, Worker });
  Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
}
