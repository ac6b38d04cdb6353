// What a bundle's code finds in a browser and not in Node.js: WebGPU, workers, modules over http.

import { register } from "node:module";
import process from "node:process";
import { Worker as Thread } from "node:worker_threads";

import { openDawn } from "./dawn.mjs";

/** Module hooks: modules of a server are fetched, as a browser does. */
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

/** A worker thread with a web worker's face. */
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

/** Make this thread look like a page or a worker. */
export function becomeBrowser() {
  // Standard output is for answers (page.mjs).
  console.log = console.info = console.debug = console.error;
  register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
  const gpu = openDawn();
  Object.assign(globalThis, { ImageData, Worker });
  Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
}
