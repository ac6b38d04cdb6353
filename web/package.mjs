// Make the npm package: node package.mjs --tvmjs FOLDER --out FOLDER
//
// Writes a folder for `npm pack`: two bundled modules, their types, and package.json.

import { execFileSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { build } from "esbuild";

import { options } from "./bundler.mjs";

const { values } = parseArgs({ options: { tvmjs: { type: "string" }, out: { type: "string" } } });
if (values.tvmjs === undefined || values.out === undefined) {
  console.error("usage: node package.mjs --tvmjs FOLDER --out FOLDER");
  process.exit(2);
}
const root = import.meta.dirname;
const out = path.resolve(values.out);
await mkdir(out, { recursive: true });

await build({
  ...options(values.tvmjs),
  outdir: path.join(out, "dist"),
  entryPoints: { client: "src/index.ts", worker: "src/worker/worker.ts" },
  // Bundlers of other pages recognise a worker by an address of this form.
  define: { WORKER_URL: '"./worker.js"' },
});

const types = await mkdtemp(path.join(tmpdir(), "types-"));
const tsc = path.join(root, "node_modules", ".bin", "tsc");
execFileSync(tsc, ["-p", "tsconfig.package.json", "--outDir", types], {
  cwd: root,
  stdio: "inherit",
});
await copyTypes("index");
await rm(types, { recursive: true });

/** Copy a module's types and those that they import, of all that the compiler wrote. */
async function copyTypes(name, copied = new Set()) {
  if (copied.has(name)) return;
  copied.add(name);
  const text = await readFile(path.join(types, `${name}.d.ts`), "utf8");
  const target = path.join(out, "dist", "types", `${name}.d.ts`);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, text.replaceAll(/(from "\.[^"]+)"/g, '$1.js"'));
  for (const [, named] of text.matchAll(/from "(\.[^"]+)"/g)) {
    await copyTypes(path.posix.join(path.posix.dirname(name), named), copied);
  }
}

const { name, version, description, license } = JSON.parse(
  await readFile(path.join(root, "package.json"), "utf8"),
);
const entry = { types: "./dist/types/index.d.ts", default: "./dist/client.js" };
const described = {
  name,
  version,
  description,
  license,
  type: "module",
  exports: { ".": entry, "./worker.js": "./dist/worker.js" },
  types: entry.types,
  // The notices are written by wsd/supply_chain/notices.py.
  files: ["dist", "licenses", "THIRD_PARTY_NOTICES.txt"],
  sideEffects: false,
};
await writeFile(path.join(out, "package.json"), `${JSON.stringify(described, null, 2)}\n`);
await copyFile(path.join(root, "README.md"), path.join(out, "README.md"));
await copyFile(path.join(root, "..", "LICENSE"), path.join(out, "LICENSE"));
