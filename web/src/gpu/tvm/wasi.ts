/** The WASI functions that Emscripten's standalone WebAssembly imports. */

import { OpenFile, File, ConsoleStdout, WASI } from "@bjorn3/browser_wasi_shim";

type Instance = Parameters<WASI["initialize"]>[0];

/** Make the imports of a compiled library; it prints to the console and reads no files. */
export function makeWasiImports(): {
  wasiImport: WebAssembly.ModuleImports;
  start: (instance: WebAssembly.Instance) => void;
} {
  const log = (line: string): void => console.debug(`wasm: ${line}`);
  const files = [
    new OpenFile(new File([])),
    ConsoleStdout.lineBuffered(log),
    ConsoleStdout.lineBuffered(log),
  ];
  const wasi = new WASI([], [], files, { debug: false });
  return {
    wasiImport: wasi.wasiImport,
    start: (instance: WebAssembly.Instance) => wasi.initialize(instance as Instance),
  };
}
