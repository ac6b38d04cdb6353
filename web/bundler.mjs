// What bundling the page and bundling the package share.

import path from "node:path";

/** Emscripten's glue, which tvmjs names and WSD replaces by a WASI library. */
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
    // Node's modules, which tvmjs asks for only when it runs there.
    external: ["ws", "perf_hooks", "fs", "path", "url", "module"],
  };
}
