import { expect, test } from "vitest";

import { ERROR_CLASSES, throwIfAborted } from "../../src/api/errors";

test("errors have the names that they are sent by", () => {
  for (const [name, ErrorClass] of Object.entries(ERROR_CLASSES)) {
    const error = new ErrorClass("message", "hint");
    expect(error.name).toBe(name);
    expect(error.hint).not.toBe("");
  }
});

test("an aborted signal throws, none does not", () => {
  expect(() => throwIfAborted(AbortSignal.abort())).toThrow("cancelled");
  expect(() => throwIfAborted(undefined)).not.toThrow();
});
