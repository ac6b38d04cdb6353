/** Sends typed errors from the worker to the page. */

import * as Comlink from "comlink";

import { ERROR_CLASSES, WsdError } from "../api/errors";

interface Thrown {
  name: string;
  message: string;
  hint: string;
}

/** Name of Comlink's transfer handler for what a call throws. */
const handlerName = "throw";

/** Have Comlink send WSD's errors by name, message and hint, and rebuild them as their class. */
export function registerErrors(): void {
  const original = Comlink.transferHandlers.get(handlerName)!;
  Comlink.transferHandlers.set(handlerName, {
    canHandle: (value: unknown): value is unknown => original.canHandle(value),
    serialize(wrapped: { value: unknown }) {
      const { value } = wrapped;
      if (value instanceof WsdError) {
        const thrown: Thrown = { name: value.name, message: value.message, hint: value.hint };
        return [{ wsd: thrown }, []];
      }
      return original.serialize(wrapped);
    },
    deserialize(serialized: unknown) {
      const thrown = (serialized as { wsd?: Thrown }).wsd;
      if (thrown === undefined) return original.deserialize(serialized);
      const ErrorClass = ERROR_CLASSES[thrown.name] ?? WsdError;
      throw new ErrorClass(thrown.message, thrown.hint);
    },
  });
}
