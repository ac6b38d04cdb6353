import { expect, test } from "vitest";

import { CallProgress, countProgress } from "../../src/api/progress";
import type { ProgressEvent } from "../../src/api/progress";

test("bytes are added up, also those that are taken back", () => {
  const reports: [number, number][] = [];
  const count = countProgress((loaded, total) => reports.push([loaded, total]), 10);
  count(4);
  count(-1);
  count(7);
  expect(reports).toEqual([
    [4, 10],
    [3, 10],
    [10, 10],
  ]);
});

/** An event of a phase. */
function at(overall: number): ProgressEvent {
  return { stage: "pipelines", loaded: 1, total: 2, overall, remainingMs: 100 };
}

test("phases of a call follow each other, and its share never falls", () => {
  const seen: ProgressEvent[] = [];
  const progress = new CallProgress((event) => seen.push(event));
  const loading = progress.phase(0.5);
  [0, 0.5, 1].forEach((share) => loading(at(share)));
  const drawing = progress.phase();
  [0, 0.5].forEach((share) => drawing(at(share)));
  // Memory runs out: the model is loaded once more, and the picture is drawn from its beginning.
  const again = progress.phase(0.5);
  [0, 1].forEach((share) => again(at(share)));
  const redrawing = progress.phase();
  [0, 0.5, 1].forEach((share) => redrawing(at(share)));
  const shares = seen.map(({ overall }) => overall);
  expect(shares).toEqual([0, 0.25, 0.5, 0.5, 0.75, 0.75, 0.875, 0.875, 0.9375, 1]);
  // What follows a phase is not known while it runs.
  expect(seen.slice(0, 6).map(({ remainingMs }) => remainingMs)).toEqual([
    ...[null, null, null, 100, 100, null],
  ]);
  expect(seen[0]).toMatchObject({ stage: "pipelines", loaded: 1, total: 2 });
});

test("a phase that reports nothing takes nothing", () => {
  const seen: number[] = [];
  const progress = new CallProgress(({ overall }) => seen.push(overall));
  progress.phase(0.5);
  const drawing = progress.phase();
  [0, 0.5, 1].forEach((share) => drawing(at(share)));
  expect(seen).toEqual([0, 0.5, 1]);
});

test("a share that falls back, as bytes do that are discarded, is not reported", () => {
  const seen: number[] = [];
  const loading = new CallProgress(({ overall }) => seen.push(overall)).phase();
  [0.2, 0.1, 0.3, 2].forEach((share) => loading(at(share)));
  expect(seen).toEqual([0.2, 0.2, 0.3, 1]);
});
