// Options of esbuild that the page and the package share.

import path from "node:path";

/** Leaves out Emscripten's glue, which tvmjs imports and WSD replaces by a WASI library. */
const withoutGlue = {
  name: "without-emscripten-glue",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /tvmjs_runtime_wasi$/ }, () => ({ path: "glue", namespace: "empty" }));
    onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "export default undefined" }));
  },
};

/** Options of esbuild, given the folder of tvmjs's sources. */
export function options(tvmjs) {
  return {
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "linked",
    absWorkingDir: import.meta.dirname,
    metafile: true,
    logLevel: "warning",
    // tvmjs's other entry points (RPC server, caches) stay out of the bundle.
    alias: { tvmjs: path.join(tvmjs, "runtime.ts") },
    plugins: [withoutGlue],
    // Modules of Node.js, which tvmjs imports only when it runs there.
    external: ["ws", "perf_hooks", "fs", "path", "url", "module"],
  };
}
