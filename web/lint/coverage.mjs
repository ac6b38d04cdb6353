// Join the coverage of browsers and of vitest: node coverage.mjs BROWSERS VITEST
//
// The first folder holds V8's counts and the scripts' texts, one file for each page
// (tests/e2e/web_coverage.py); the second holds what web/mcr.config.mjs has vitest write.
// Ends with 1 if the coverage of lines or branches is too low.

import { readFileSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import process from "node:process";

import { CoverageReport } from "monocart-coverage-reports";

const LEAST = 80;
/** What Python evaluates in pages: it has no address, by which browsers would count it. */
const EVALUATED = /driver\/(automation|import_module|onnxruntime_web)\.ts$/;
const MARK = "//# sourceMappingURL=data:application/json;base64,";
const [folder, unit] = process.argv.slice(2);
const web = path.resolve(import.meta.dirname, "..");

/** Return an entry with its script's source map, in which the sources of packages are marked. */
function withMap(entry) {
  const at = entry.source.lastIndexOf(MARK);
  const map = JSON.parse(Buffer.from(entry.source.slice(at + MARK.length), "base64").toString());
  map.sources = map.sources.map((source, index) => {
    const name = `src/${source.split("/src/").at(-1)}`;
    return isOurs(name, map.sourcesContent[index]) ? name : `theirs/${index}.ts`;
  });
  return { ...entry, source: entry.source.slice(0, at), sourceMap: map };
}

function isOurs(name, content) {
  try {
    return readFileSync(path.join(web, name), "utf8") === content;
  } catch {
    return false;
  }
}

const report = new CoverageReport({
  inputDir: path.join(unit, "raw"),
  outputDir: path.join(folder, "report"),
  reports: [["text", { skipFull: true }]],
  logging: "error",
  sourcePath: (name) => name.replace(/^.*\/src\//, "src/"),
  sourceFilter: (name) => name.startsWith("src/"),
  all: {
    dir: [path.join(web, "src")],
    filter: (name) => name.endsWith(".ts") && !EVALUATED.test(name),
  },
});
for (const name of (await readdir(folder)).filter((file) => file.endsWith(".json"))) {
  const entries = JSON.parse(await readFile(path.join(folder, name)));
  await report.add(entries.map(withMap));
}
const { summary } = await report.generate();
for (const kind of ["lines", "branches"]) {
  const { pct } = summary[kind];
  console.log(`coverage of ${kind}: ${pct} %`);
  if (!(pct >= LEAST)) {
    console.error(`coverage of ${kind} is ${pct} %, the least is ${LEAST} %`);
    process.exitCode = 1;
  }
}
