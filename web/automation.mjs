// Build the driver's program for Python: node automation.mjs --out FILE
//
// wsd/runtime/automation.js is its output, kept in the repository so that drawing needs no
// Node.js; `npm run automation` writes it anew, and tests/unit/test_driver.py compares it.

import { writeFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";

import { build } from "esbuild";

const { values } = parseArgs({ options: { out: { type: "string" } } });
if (values.out === undefined) {
  console.error("usage: node automation.mjs --out FILE");
  process.exit(2);
}

const { outputFiles } = await build({
  entryPoints: ["src/driver/automation.ts"],
  absWorkingDir: import.meta.dirname,
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  // gpu/device.ts imports a shader, which is left out with what needs it.
  loader: { ".wgsl": "text" },
  banner: { js: "// Generated from web/src/driver/automation.ts: npm run automation, in web/" },
  logLevel: "warning",
});
await writeFile(values.out, outputFiles[0].contents);
