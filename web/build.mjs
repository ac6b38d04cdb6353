// Bundle the page: node build.mjs --tvmjs FOLDER --out FOLDER
//
// Workers are built first, because the modules that start them must know their hashed names. What
// times kernels and calls single stages is a build of its own (developer.mjs), and not in here.

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { ownGlue, withoutRemoteCalls } from "./bundler.mjs";
import { HEADERS } from "./headers.generated.mjs";
import { CLIENT, makeBundler, readArguments } from "./page_bundler.mjs";

const values = readArguments("build.mjs");
const root = import.meta.dirname;
const { bundle, bundleWorker, output } = makeBundler(values);

/** Each page and its script. */
const PAGES = { "index.html": "src/app/main.ts", "selftest.html": "src/app/selftest.ts" };

const [worker, define] = await bundleWorker("assets", "src/worker/worker.ts");
const page = await bundle("assets", {
  entryPoints: [
    ...Object.values(PAGES).map((file) => ({ in: file, out: path.basename(file, ".ts") })),
    CLIENT,
    { in: "src/app/style.css", out: "style" },
  ],
  define,
});

/** A file's digest as browsers take it in `integrity` attributes. */
async function integrity(file) {
  const content = await readFile(path.join(values.out, file));
  return `sha384-${createHash("sha384").update(content).digest("base64")}`;
}

/** The files that an entry point imports before it runs, without itself. */
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

/** The page with digests, by which browsers check its scripts and styles before using them. */
async function withIntegrity(template, entry) {
  const script = output(page, entry, ".js");
  const style = output(page, "src/app/style.css", ".css");
  const checked = async (file) => `"${file}" integrity="${await integrity(file)}"`;
  // An import statement cannot have a digest, but preloading the module with one checks it.
  const preloads = await Promise.all(
    imported(page, script).map(async (file) => {
      return `<link rel="modulepreload" href=${await checked(file)} />\n    `;
    }),
  );
  return template
    .replace("<title>", `${policy()}\n    <title>`)
    .replace("<script", `${preloads.join("")}<script`)
    .replace(`"${path.basename(entry, ".ts")}.js"`, await checked(script))
    .replace('"style.css"', await checked(style));
}

/**
 * The server's Content-Security-Policy as an element, for servers that send no headers of ours.
 * Browsers take no `frame-ancestors` from an element.
 */
function policy() {
  const directives = HEADERS["Content-Security-Policy"].split("; ");
  const kept = directives.filter((directive) => !directive.startsWith("frame-ancestors"));
  return `<meta http-equiv="Content-Security-Policy" content="${kept.join("; ")}" />`;
}

const client = output(page, CLIENT.in, ".js");
for (const [name, entry] of Object.entries(PAGES)) {
  const template = await readFile(path.join(root, "src/app", name), "utf8");
  await writeFile(path.join(values.out, name), await withIntegrity(template, entry));
}
// A name that stays, for programs that use the pipeline without the page.
await writeFile(path.join(values.out, "client.js"), `export * from "./${client}";\n`);

// What pages on tvmjs alone use (wsd/bundle/classic.py): scripts that are no modules, under names
// that stay.
for (const [name, global, entry] of [
  ["tvmjs", "tvmjs", path.join(values.tvmjs, "index.ts")],
  ["wasi", "EmccWASI", "src/gpu/tvm/emcc_wasi.ts"],
]) {
  await bundle("driver", {
    entryPoints: [{ in: entry, out: name }],
    entryNames: "[name]",
    format: "iife",
    globalName: global,
    splitting: false,
    legalComments: "inline",
    plugins: [ownGlue, withoutRemoteCalls],
    // esbuild's global is the module, whose class is its default export.
    ...(name === "wasi" ? { footer: { js: `${global} = ${global}.default;` } } : {}),
  });
}

/** The files that the service worker keeps, each with its digest (wsd/bundle/page_chain.py). */
async function pageFiles() {
  const hashed = [worker, page]
    .flatMap(({ metafile }) => Object.keys(metafile.outputs))
    .filter((name) => /\.(js|css)$/.test(name))
    .map((name) => `assets/${path.basename(name)}`);
  const urls = [...hashed, ...Object.keys(PAGES), "client.js"];
  return Promise.all(urls.map(async (url) => ({ url, integrity: await integrity(url) })));
}

/** What the service worker keeps besides the files: the headers that came with them. */
const headersRevision = createHash("sha256").update(JSON.stringify(HEADERS)).digest("hex");

// At the root and under a name that stays, where browsers look for a newer service worker.
await bundle(".", {
  entryPoints: ["src/app/sw.ts"],
  entryNames: "sw",
  splitting: false,
  format: "iife",
  define: {
    PAGE_FILES: JSON.stringify(await pageFiles()),
    HEADERS: JSON.stringify(HEADERS),
    HEADERS_REVISION: JSON.stringify(headersRevision),
    "process.env.NODE_ENV": '"production"',
  },
});
