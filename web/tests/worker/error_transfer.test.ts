import * as Comlink from "comlink";
import { expect, test } from "vitest";

import { ERROR_CLASSES } from "../../src/api/errors";
import { registerErrors } from "../../src/worker/error_transfer";

test("errors keep their class between threads, and other errors stay what they are", async () => {
  registerErrors();
  const { port1, port2 } = new MessageChannel();
  const remote = {
    fail(name: string): void {
      throw new ERROR_CLASSES[name]!(`${name} said`, "and so");
    },
    stumble(): void {
      throw new TypeError("odd");
    },
  };
  Comlink.expose(remote, port1);
  const proxy = Comlink.wrap<typeof remote>(port2);
  const failure = await proxy.fail("OutOfMemoryError").catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ERROR_CLASSES.OutOfMemoryError);
  expect(failure).toMatchObject({ message: "OutOfMemoryError said", hint: "and so" });
  await expect(proxy.stumble()).rejects.toThrow("odd");
  port1.close();
});
