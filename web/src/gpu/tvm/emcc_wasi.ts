/**
 * The class `EmccWASI`, with which a page on tvmjs alone starts a library:
 * `tvmjs.instantiate(wasm, new EmccWASI())`. It is the script driver/wasi.js of a bundle, where it is
 * global, and a part of driver/tvmjs.js; WSD's own page has neither.
 */

import { makeWasiImports } from "./wasi";

/** The imports of one library; Emscripten's glue of this name has the same two members. */
export default class EmccWASI {
  readonly wasiImport: WebAssembly.ModuleImports;
  readonly start: (instance: WebAssembly.Instance) => void;

  constructor() {
    ({ wasiImport: this.wasiImport, start: this.start } = makeWasiImports());
  }
}
