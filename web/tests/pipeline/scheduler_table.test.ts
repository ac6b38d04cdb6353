/** Where a run's constants come from: the scheduler's file, or the manifest of an older bundle. */

import { expect, test } from "vitest";

import type { FileEntry, Manifest } from "../../src/bundle/manifest";
import { drawingFiles, filesOf } from "../../src/bundle/manifest";
import { UnreachableError } from "../../src/bundle/download";
import { SchedulerTable } from "../../src/pipeline/scheduler_table";
import { FetchError } from "../../src/util/errors";

const fileOf = (name: string): FileEntry => {
  return { file: `scheduler-${name}.json`, bytes: 10, sha256: name.padEnd(64, "0") };
};
const constants = { euler: fileOf("euler"), ddim: fileOf("ddim") };
const manifest = {
  library: fileOf("library"),
  tokenizers: {},
  components: {},
  noise_schedule: { kind: "discrete" },
  schedulers: { default: "euler", available: { euler: { title: "E" }, ddim: { title: "D" } } },
} as unknown as Manifest;
const current = { ...manifest, schedulers: { ...manifest.schedulers, constants } };

/** Files whose constants say that they are of a file, and the names that are asked for. */
function served(failure?: Error): {
  asked: string[];
  get: (entry: FileEntry) => Promise<ArrayBuffer>;
} {
  const asked: string[] = [];
  return {
    asked,
    get: ({ file }) => {
      asked.push(file);
      if (failure !== undefined) return Promise.reject(failure);
      const text = JSON.stringify({ name: file, config: {}, noise_schedule: {} });
      return Promise.resolve(new TextEncoder().encode(text).buffer);
    },
  };
}

test("each scheduler's file is fetched once", async () => {
  const files = served();
  const table = new SchedulerTable(current, files);
  for (const name of ["ddim", "ddim", "euler"]) {
    expect((await table.get(name)).name).toBe(`scheduler-${name}.json`);
  }
  expect(files.asked).toEqual(["scheduler-ddim.json", "scheduler-euler.json"]);
});

test("an older bundle has them in its manifest", async () => {
  const files = served();
  expect(await new SchedulerTable(manifest, files).get("ddim")).toEqual({
    name: "ddim",
    config: { title: "D" },
    noise_schedule: { kind: "discrete" },
  });
  expect(files.asked).toEqual([]);
});

test("without the network the manifest's are taken, and nothing else hides a fault", async () => {
  const offline = new SchedulerTable(current, served(new UnreachableError("m", "h")));
  expect((await offline.get("ddim")).config).toEqual({ title: "D" });
  const damaged = new SchedulerTable(current, served(new FetchError("m", "h")));
  await expect(damaged.get("ddim")).rejects.toThrow(FetchError);
});

test("loading takes the default scheduler's, and all of them belong to the model", () => {
  expect(drawingFiles(current)).toEqual([manifest.library, constants.euler]);
  expect(filesOf(current)).toEqual(expect.arrayContaining(Object.values(constants)));
  expect(drawingFiles(manifest)).toEqual([manifest.library]);
});
