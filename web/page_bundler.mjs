// What the builds of the page and of the developers' tools share: build.mjs, developer.mjs.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { build } from "esbuild";

import { options } from "./bundler.mjs";

/** The public API, under the name by which programs know it. */
export const CLIENT = { in: "src/index.ts", out: "client" };

/** Read the arguments of a build: the folder of tvmjs's sources, and the output folder. */
export function readArguments(program) {
  const { values } = parseArgs({ options: { tvmjs: { type: "string" }, out: { type: "string" } } });
  if (values.tvmjs !== undefined && values.out !== undefined) return values;
  console.error(`usage: node ${program} --tvmjs FOLDER --out FOLDER`);
  process.exit(2);
}

/** Make the functions that bundle into an output folder. */
export function makeBundler({ tvmjs, out }) {
  // esbuild is told that it writes here, although it writes nothing: source maps name sources
  // relative to the output, and a page's bytes must not depend on where it was built.
  const nowhere = path.join(import.meta.dirname, "out");
  const shared = {
    ...options(tvmjs),
    write: false,
    entryNames: "[name].[hash]",
    chunkNames: "[name].[hash]",
    splitting: true,
    // For tests that count which lines run: minified lines hold many statements.
    ...(process.env.WSD_COVERAGE === undefined ? {} : { sourcemap: "inline", minify: false }),
  };

  /** Bundle, and write what esbuild made to a folder below the output folder. */
  async function bundle(folder, changes) {
    const result = await build({
      ...shared,
      outdir: path.join(nowhere, folder),
      ...changes,
      define: { ...shared.define, ...changes.define },
    });
    for (const { path: file, contents } of result.outputFiles) {
      const target = path.join(out, path.relative(nowhere, file));
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, contents);
    }
    return result;
  }

  /** The file that an entry point became, relative to the output folder. */
  function output(result, entry, extension) {
    const [name] = Object.entries(result.metafile.outputs).find(
      ([file, { entryPoint }]) => entryPoint === entry && file.endsWith(extension),
    );
    return path.relative("out", name);
  }

  /** Bundle a worker, and what replaces WORKER_URL in modules of the same folder. */
  async function bundleWorker(folder, entry) {
    const worker = await bundle(folder, { entryPoints: [entry] });
    const url = `./${path.basename(output(worker, entry, ".js"))}`;
    return [worker, { WORKER_URL: JSON.stringify(url) }];
  }

  return { bundle, bundleWorker, output };
}
