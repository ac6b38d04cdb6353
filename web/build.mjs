// Bundle the page: node build.mjs --tvmjs FOLDER --out FOLDER
//
// The worker is built first, because the page must know its hashed name.

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { build } from "esbuild";

import { options } from "./bundler.mjs";

const { values } = parseArgs({ options: { tvmjs: { type: "string" }, out: { type: "string" } } });
if (values.tvmjs === undefined || values.out === undefined) {
  console.error("usage: node build.mjs --tvmjs FOLDER --out FOLDER");
  process.exit(2);
}
const root = import.meta.dirname;
// Where esbuild is told that it writes: maps name sources as seen from there, and a page's
// bytes are not to tell where it was built.
const nowhere = path.join(root, "out");

const shared = {
  ...options(values.tvmjs),
  outdir: path.join(nowhere, "assets"),
  write: false,
  entryNames: "[name].[hash]",
  chunkNames: "[name].[hash]",
  splitting: true,
  // For tests that count which lines run; joined statements could not be told apart.
  ...(process.env.WSD_COVERAGE === undefined ? {} : { sourcemap: "inline", minify: false }),
};

/** Bundle, and write what esbuild made to the output folder. */
async function bundle(changes) {
  const result = await build({ ...shared, ...changes });
  for (const { path: file, contents } of result.outputFiles) {
    const target = path.join(values.out, path.relative(nowhere, file));
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, contents);
  }
  return result;
}

/** Each page and its script. */
const PAGES = { "index.html": "src/app/main.ts", "selftest.html": "src/app/selftest.ts" };

/** The file that an entry point became, relative to the output folder. */
function output(result, entry, extension) {
  const [name] = Object.entries(result.metafile.outputs).find(
    ([file, { entryPoint }]) => entryPoint === entry && file.endsWith(extension),
  );
  return `assets/${path.basename(name)}`;
}

const worker = await bundle({ entryPoints: ["src/worker/worker.ts"] });
const workerUrl = `./${path.basename(output(worker, "src/worker/worker.ts", ".js"))}`;
const page = await bundle({
  entryPoints: [...Object.values(PAGES), "src/api/client.ts", "src/app/style.css"],
  define: { WORKER_URL: JSON.stringify(workerUrl) },
});

/** A file's digest as browsers take it in `integrity` attributes. */
async function integrity(file) {
  const content = await readFile(path.join(values.out, file));
  return `sha384-${createHash("sha384").update(content).digest("base64")}`;
}

/** The files that an entry point imports before it runs, itself left out. */
function imported(result, entry) {
  const files = Object.entries(result.metafile.outputs).map(([file, { imports }]) => [
    `assets/${path.basename(file)}`,
    imports.filter(({ kind, external }) => kind === "import-statement" && !external),
  ]);
  const graph = new Map(files);
  const found = new Set([entry]);
  for (const file of found) {
    for (const { path: name } of graph.get(file)) found.add(`assets/${path.basename(name)}`);
  }
  found.delete(entry);
  return [...found].sort();
}

/** A page whose scripts and styles browsers check before they use them. */
async function withIntegrity(template, entry) {
  const script = output(page, entry, ".js");
  const style = output(page, "src/app/style.css", ".css");
  const checked = async (file) => `"${file}" integrity="${await integrity(file)}"`;
  // An import statement has no integrity: preloading the module with one checks it.
  const preloads = await Promise.all(
    imported(page, script).map(async (file) => {
      return `<link rel="modulepreload" href=${await checked(file)} />\n    `;
    }),
  );
  return template
    .replace("<script", `${preloads.join("")}<script`)
    .replace(`"${path.basename(entry, ".ts")}.js"`, await checked(script))
    .replace('"style.css"', await checked(style));
}

const client = output(page, "src/api/client.ts", ".js");
for (const [name, entry] of Object.entries(PAGES)) {
  const template = await readFile(path.join(root, "src/app", name), "utf8");
  await writeFile(path.join(values.out, name), await withIntegrity(template, entry));
}
// A stable name for programs that use the package rather than the page.
await writeFile(path.join(values.out, "client.js"), `export * from "./${client}";\n`);

/** What the service worker keeps; hashed names need no revision. */
async function pageFiles() {
  const hashed = [worker, page]
    .flatMap(({ metafile }) => Object.keys(metafile.outputs))
    .filter((name) => /\.(js|css)$/.test(name))
    .map(async (name) => {
      const url = `assets/${path.basename(name)}`;
      return { url, revision: null, integrity: await integrity(url) };
    });
  const named = [...Object.keys(PAGES), "client.js"].map(async (url) => {
    const content = await readFile(path.join(values.out, url));
    const revision = createHash("sha256").update(content).digest("hex");
    return { url, revision, integrity: await integrity(url) };
  });
  return Promise.all([...hashed, ...named]);
}

// At the root, under a name that stays: browsers look there for a newer one.
await bundle({
  entryPoints: ["src/app/sw.ts"],
  outdir: nowhere,
  entryNames: "sw",
  splitting: false,
  format: "iife",
  define: {
    PAGE_FILES: JSON.stringify(await pageFiles()),
    "process.env.NODE_ENV": '"production"',
  },
});
