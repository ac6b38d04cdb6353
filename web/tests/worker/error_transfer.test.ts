import * as Comlink from "comlink";
import { afterAll, expect, test } from "vitest";

import { ERROR_CLASSES, FetchError, WsdError } from "../../src/util/errors";
import { registerErrors } from "../../src/worker/error_transfer";

registerErrors();
registerErrors();
const { port1, port2 } = new MessageChannel();
const thrown = new Map<string, unknown>();
Comlink.expose(
  {
    fail: (name: string): void => {
      throw thrown.get(name);
    },
  },
  port1,
);
const remote = Comlink.wrap<{ fail: (name: string) => void }>(port2);
afterAll(() => port1.close());

/** Have the other thread throw something, and return what arrives. */
async function send(value: unknown): Promise<unknown> {
  thrown.set("it", value);
  return remote.fail("it").then(
    () => undefined,
    (error: unknown) => error,
  );
}

test("errors keep class, message, hint and where they were thrown", async () => {
  for (const [name, ErrorClass] of Object.entries(ERROR_CLASSES)) {
    const error = new ErrorClass(`${name} said`, "and so");
    const found = (await send(error)) as WsdError;
    expect(found).not.toBe(error);
    expect(found).toBeInstanceOf(ErrorClass);
    expect(found).toMatchObject({ name, message: `${name} said`, hint: "and so" });
    expect(found.stack).toBe(error.stack);
  }
});

test("a subclass that the page does not know arrives as the class that it stands for", async () => {
  class UnreachableError extends FetchError {}
  expect(await send(new UnreachableError("a", "b"))).toBeInstanceOf(FetchError);
});

test("causes cross too, of all kinds and several deep", async () => {
  const root = new TypeError("fetch failed");
  const middle = new RangeError("broke off", { cause: root });
  const found = (await send(new FetchError("gone", "again", { cause: middle }))) as FetchError;
  expect(found.cause).toBeInstanceOf(RangeError);
  expect((found.cause as Error).message).toBe("broke off");
  expect((found.cause as Error).cause).toBeInstanceOf(TypeError);
  const aborted = (await send(
    new FetchError("a", "b", { cause: new DOMException("c", "AbortError") }),
  )) as FetchError;
  expect(aborted.cause).toBeInstanceOf(DOMException);
  expect(aborted.cause).toMatchObject({ name: "AbortError", message: "c" });
  const odd = (await send(new FetchError("a", "b", { cause: () => 1 }))) as FetchError;
  expect(odd.cause).toBe("a function");
  expect((await send(new FetchError("a", "b"))) as FetchError).not.toHaveProperty("cause");
});

test("an error that is its own cause arrives", async () => {
  const error = new WsdError("round", "and round");
  error.cause = error;
  expect(await send(error)).toMatchObject({ message: "round", hint: "and round" });
});

test("JavaScript's own errors keep their class, and what is no error stays what it is", async () => {
  expect(await send(new TypeError("odd"))).toBeInstanceOf(TypeError);
  const unknown = new Error("of a library");
  unknown.name = "CompileError";
  expect(await send(unknown)).toMatchObject({ name: "CompileError", message: "of a library" });
  for (const name of ["toString", "constructor", "__proto__"]) {
    const named = new Error("of a caller");
    Object.defineProperty(named, "name", { value: name });
    expect(await send(named)).toMatchObject({ name, message: "of a caller" });
  }
  expect(await send("a text")).toBe("a text");
  expect(await send(undefined)).toBe(undefined);
  expect(await send({ code: 7 })).toEqual({ code: 7 });
});
