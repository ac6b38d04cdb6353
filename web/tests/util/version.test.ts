/** What makes two builds differ. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

// @ts-expect-error -- a module of the build, which has no types
import { digestSources, options } from "../../bundler.mjs";

const digest = digestSources as (folder: string) => string;
const build = options as (tvmjs: string) => { define: Record<string, string> };

let folder: string;

/* eslint-disable security/detect-non-literal-fs-filename -- a folder of the test's own */

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sources-"));
  for (const name of ["api", "app", "driver"]) mkdirSync(path.join(folder, name));
  for (const name of ["api/client.ts", "app/main.ts", "driver/codec.ts", "index.ts"]) write(name);
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text = name): void {
  writeFileSync(path.join(folder, name), text);
}

/* eslint-enable security/detect-non-literal-fs-filename */

test.each([
  ["a changed line", () => write("api/client.ts", "changed"), true],
  ["a new file", () => write("api/new.ts"), true],
  ["a file under another name", () => write("api/other.ts", "api/client.ts"), true],
  ["a changed page", () => write("app/main.ts", "changed"), false],
  ["a changed driver", () => write("driver/codec.ts", "changed"), false],
  ["a file that is no source", () => write("api/notes.md"), false],
  ["nothing", () => undefined, false],
])("%s", (_, change, isOther) => {
  const before = digest(folder);
  change();
  expect(digest(folder) !== before).toBe(isOther);
});

test("the build has the digest of its sources", () => {
  const { SOURCES_DIGEST } = build("tvmjs").define;
  expect(SOURCES_DIGEST).toBe(JSON.stringify(digest(path.join(import.meta.dirname, "../../src"))));
});
