import { expect, test } from "vitest";

import type { ProgressEvent } from "../../src/api/progress";
import { countProgress } from "../../src/api/progress";

test("bytes are added up", () => {
  const events: ProgressEvent[] = [];
  const count = countProgress((event) => events.push(event), "library", 10, "a.wasm");
  count(4);
  count(-1);
  expect(events.at(-1)).toEqual({ stage: "library", file: "a.wasm", loaded: 3, total: 10 });
  countProgress((event) => events.push(event), "parameters", 5)(5);
  expect(events.at(-1)).toEqual({ stage: "parameters", loaded: 5, total: 5 });
});
