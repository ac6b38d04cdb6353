// Make the npm package: node package.mjs --tvmjs FOLDER --out FOLDER
//
// Writes a folder for `npm pack`: the bundled modules with source maps, the declarations of each
// entry point, package.json, README.md and API.md. WSD_REPOSITORY is the address of the repository
// that package.json names; without it the package names none, and npm publishes no provenance.

import { execFileSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { build } from "esbuild";

import { options } from "./bundler.mjs";
import { bundleDeclarations } from "./publish/declarations.mjs";

const { values } = parseArgs({ options: { tvmjs: { type: "string" }, out: { type: "string" } } });
if (values.tvmjs === undefined || values.out === undefined) {
  console.error("usage: node package.mjs --tvmjs FOLDER --out FOLDER");
  process.exit(2);
}
const root = import.meta.dirname;
const tvmjs = path.resolve(values.tvmjs);
const out = path.resolve(values.out);
const dist = path.join(out, "dist");
await mkdir(dist, { recursive: true });

/** Entry points that a program imports, each with its source below src. */
const ENTRIES = { client: "index", element: "element" };

/** Keeps one copy of the client: other entry points import the module that the package has. */
const sharedClient = {
  name: "shared-client",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/index$/ }, ({ kind }) =>
      kind === "import-statement" ? { path: "./client.js", external: true } : undefined,
    );
  },
};

const shared = options(tvmjs);
const { outputFiles } = await build({
  ...shared,
  plugins: [...shared.plugins, sharedClient],
  // The texts of all licences are in THIRD_PARTY_NOTICES.txt and licenses/.
  legalComments: "none",
  sourcemap: "linked",
  // esbuild writes nothing itself: maps name sources relative to the output, and a package's
  // bytes must not depend on where it was built.
  write: false,
  outdir: path.join(root, "out", "dist"),
  entryPoints: {
    ...Object.fromEntries(Object.entries(ENTRIES).map(([name, file]) => [name, `src/${file}.ts`])),
    worker: "src/worker/worker.ts",
  },
  // Bundlers of other pages recognise a worker by an address of this form.
  define: { ...shared.define, WORKER_URL: '"./worker.js"' },
});
for (const { path: file, text } of outputFiles) {
  const content = file.endsWith(".map") ? withoutPlaces(file, text) : text;
  await writeFile(path.join(dist, path.basename(file)), content);
}

/** A source map whose sources have names that are the same wherever the package is built. */
function withoutPlaces(file, text) {
  const map = JSON.parse(text);
  map.sources = map.sources.map((source) => {
    const absolute = path.resolve(path.dirname(file), source);
    const ofTvmjs = path.relative(tvmjs, absolute);
    if (!ofTvmjs.startsWith("..")) return `../tvmjs/${ofTvmjs}`;
    return `../${absolute.match(/node_modules\/.*$/)?.[0] ?? path.relative(root, absolute)}`;
  });
  return JSON.stringify(map);
}

const types = await mkdtemp(path.join(tmpdir(), "types-"));
const tsc = path.join(root, "node_modules", ".bin", "tsc");
execFileSync(tsc, ["-p", "tsconfig.package.json", "--outDir", types], {
  cwd: root,
  // What it finds is said where errors are expected.
  stdio: ["ignore", process.stderr, "inherit"],
});
const declared = Object.entries(ENTRIES).map(([name, file]) => [name, `${types}/${file}.d.ts`]);
await bundleDeclarations(Object.fromEntries(declared), dist);
await rm(types, { recursive: true });
// A worker's file, for the address of a bundler (`worker.js?url`) or for a worker that imports it.
await writeFile(path.join(dist, "worker.d.ts"), "export {};\n");

/** An entry point in the form of package.json's `exports`. */
function entry(name) {
  return { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` };
}

/** The fields that name the repository, if its address is known. */
function repositoryFields(address) {
  if (!address) return {};
  const home = address.replace(/^git\+/, "").replace(/\.git$/, "");
  return {
    homepage: `${home}#readme`,
    bugs: { url: `${home}/issues` },
    repository: { type: "git", url: `git+${home}.git`, directory: "web" },
  };
}

const { name, version, description, license, keywords, author } = JSON.parse(
  await readFile(path.join(root, "package.json"), "utf8"),
);
const described = {
  name,
  version,
  description,
  keywords,
  ...repositoryFields(process.env.WSD_REPOSITORY),
  license,
  author,
  type: "module",
  exports: {
    ".": entry("client"),
    "./element": entry("element"),
    "./worker.js": entry("worker"),
    "./package.json": "./package.json",
  },
  // Parcel reads `exports` only if it is told to.
  main: entry("client").default,
  types: entry("client").types,
  // The notices are written by wsd/supply_chain/notices.py.
  files: ["dist", "licenses", "API.md", "THIRD_PARTY_NOTICES.txt"],
  // Both do their work when they are imported.
  sideEffects: ["./dist/element.js", "./dist/worker.js"],
  engines: { node: ">=20" },
};
await writeFile(path.join(out, "package.json"), `${JSON.stringify(described, null, 2)}\n`);
await copyFile(path.join(root, "README.md"), path.join(out, "README.md"));
await copyFile(path.join(root, "..", "docs", "api.md"), path.join(out, "API.md"));
await copyFile(path.join(root, "..", "LICENSE"), path.join(out, "LICENSE"));
