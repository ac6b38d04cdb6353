// Options of esbuild that the page and the package share.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/**
 * Leaves out what tvmjs imports and WSD never calls: Emscripten's glue, which a WASI library replaces,
 * and its own download of weights with the caches for it.
 */
const withoutUnused = {
  name: "without-unused-parts-of-tvmjs",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /tvmjs_runtime_wasi$/ }, () => ({ path: "glue", namespace: "empty" }));
    onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "export default undefined" }));
    const unused = path.join(import.meta.dirname, "src/gpu/tvm/unused_download.ts");
    onResolve({ filter: /\/artifact_cache$/ }, () => ({ path: unused }));
  },
};

/** Loads shaders as texts without comments and indentation, which nobody reads in a bundle. */
const shaders = {
  name: "shaders",
  setup({ onLoad }) {
    onLoad({ filter: /\.wgsl$/ }, ({ path: file }) => ({
      contents: readFileSync(file, "utf8")
        .replaceAll(/\/\/.*$/gm, "")
        .replaceAll(/^\s+|\s+$/gm, ""),
      loader: "text",
    }));
  },
};

/** Gives the whole of tvmjs a class for WASI in place of Emscripten's glue. */
export const ownGlue = {
  name: "own-glue-of-tvmjs",
  setup({ onResolve }) {
    const glue = path.join(import.meta.dirname, "src/gpu/tvm/emcc_wasi.ts");
    onResolve({ filter: /tvmjs_runtime_wasi$/ }, () => ({ path: glue }));
  },
};

/** Leaves out tvmjs' server of remote procedure calls, with which TVM times kernels from elsewhere. */
export const withoutRemoteCalls = {
  name: "without-remote-procedure-calls",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\/rpc_server$/ }, () => ({ path: "rpc", namespace: "no-rpc" }));
    onLoad({ filter: /.*/, namespace: "no-rpc" }, () => ({
      contents: "export const RPCServer = undefined",
    }));
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
    (name) => /\.(ts|wgsl)$/.test(name) && !APART.includes(name.split("/", 1)[0]),
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
    // tvmjs's other entry points (RPC server) stay out of the bundle.
    alias: { tvmjs: path.join(tvmjs, "runtime.ts") },
    plugins: [withoutUnused, shaders],
    define: {
      SOURCES_DIGEST: JSON.stringify(digestSources(path.join(import.meta.dirname, "src"))),
    },
    // Modules of Node.js, which tvmjs imports only when it runs there.
    external: ["ws", "perf_hooks", "fs", "path", "url", "module"],
  };
}
