import { expect, test } from "vitest";

import { AbortError, abortReason, ERROR_CLASSES, throwIfAborted } from "../../src/util/errors";

test("errors have the names that they are sent by", () => {
  for (const [name, ErrorClass] of Object.entries(ERROR_CLASSES)) {
    const error = new ErrorClass("message", "hint");
    expect(error.name).toBe(name);
    expect(error.message).toBe("message");
    expect(error.hint).toBe("hint");
  }
});

test("an aborted signal throws, none does not", () => {
  expect(() => throwIfAborted(AbortSignal.abort())).toThrow("cancelled");
  expect(() => throwIfAborted(undefined)).not.toThrow();
  expect(() => throwIfAborted(new AbortController().signal)).not.toThrow();
});

test("a reason that the caller gave is kept; the browser's own becomes an AbortError with a hint", () => {
  const mine = new DOMException("the prompt has changed", "AbortError");
  for (const reason of [mine, new RangeError("mine"), "text", null, 0]) {
    expect(abortReason(AbortSignal.abort(reason))).toBe(reason);
  }
  for (const signal of [AbortSignal.abort(), AbortSignal.any([AbortSignal.abort()])]) {
    const reason = abortReason(signal);
    expect(reason).toBeInstanceOf(AbortError);
    expect((reason as AbortError).hint).toContain("start again");
  }
});
