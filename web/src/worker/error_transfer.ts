/** Typed errors across the worker boundary. */

import * as Comlink from "comlink";

import { ERROR_CLASSES, WsdError } from "../api/errors";

interface Thrown {
  name: string;
  message: string;
  hint: string;
}

/** Comlink marks what a call threw with a wrapper of this shape. */
const handlerName = "throw";

/** Send our errors by name, message and hint, and rebuild them with their class. */
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
