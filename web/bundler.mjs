// Options of esbuild that the page and the package share.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** Leaves out Emscripten's glue, which tvmjs imports and WSD replaces by a WASI library. */
const withoutGlue = {
  name: "without-emscripten-glue",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /tvmjs_runtime_wasi$/ }, () => ({ path: "glue", namespace: "empty" }));
    onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "export default undefined" }));
  },
};

/** Folders of src whose files neither the package's modules nor their worker have. */
const APART = ["app", "driver"];

/**
 * Return a digest of the sources that the page's modules and the worker are made of, by which they
 * find out whether both are of the same build (src/util/version.ts).
 */
export function digestSources(folder) {
  const hash = createHash("sha256");
  const names = readdirSync(folder, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
  const sources = names.filter(
    (name) => name.endsWith(".ts") && !APART.includes(name.split("/", 1)[0]),
  );
  for (const name of sources.sort()) {
    const content = readFileSync(path.join(folder, name));
    hash.update(`${name} ${content.length}\n`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}

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
    define: {
      SOURCES_DIGEST: JSON.stringify(digestSources(path.join(import.meta.dirname, "src"))),
    },
    // Modules of Node.js, which tvmjs imports only when it runs there.
    external: ["ws", "perf_hooks", "fs", "path", "url", "module"],
  };
}
