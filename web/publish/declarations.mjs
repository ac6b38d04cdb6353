// Bundle the package's declarations: one file for each entry point, with the public types alone.

import { writeFile } from "node:fs/promises";
import path from "node:path";

import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";

// `await using` needs a declaration that projects for ES2022 do not have.
const DISPOSABLE = '/// <reference lib="esnext.disposable" />\n';

/** Other entry points import the client's types from its declarations. */
const sharedClient = {
  name: "shared-client",
  resolveId: (source) => (source === "./index" ? { id: "./client.js", external: true } : null),
};

/**
 * Make declarations for TypeScript 5.6 and later from those that the compiler wrote.
 *
 * @param {Record<string, string>} entries name of the entry point → its declarations, a file.
 * @param {string} out folder that gets NAME.d.ts for each entry point.
 */
export async function bundleDeclarations(entries, out) {
  for (const [name, file] of Object.entries(entries)) {
    const bundle = await rollup({
      input: file,
      plugins: [sharedClient, dts()],
      onwarn(warning) {
        throw new Error(warning.message);
      },
    });
    const { output } = await bundle.generate({ format: "es" });
    await bundle.close();
    await writeFile(path.join(out, `${name}.d.ts`), portable(output[0].code));
  }
}

/**
 * Rewrite what only some versions of TypeScript or some of its libraries know: typed arrays have
 * a parameter from 5.7 on, where `of` returns one whose bytes `Blob` takes.
 */
function portable(text) {
  const arrays = text
    .replaceAll(/\b(\w+Array)<ArrayBuffer>/g, 'ReturnType<$1Constructor["of"]>')
    .replaceAll(/\b(\w+Array)<ArrayBufferLike>/g, "$1");
  return arrays.includes("Symbol.asyncDispose") ? DISPOSABLE + arrays : arrays;
}
