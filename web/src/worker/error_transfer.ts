/** Sends errors from the worker to the page, and from the page's callbacks to the worker. */

import * as Comlink from "comlink";

import { ERROR_CLASSES, WsdError } from "../util/errors";
import { show } from "../util/option_checks";

/** An error as it is sent. */
interface SentError {
  /** Which constructor makes it again. */
  kind: "wsd" | "dom" | "native";
  name: string;
  message: string;
  stack: string | undefined;
  hint: string;
  cause: SentCause | undefined;
}
/** What caused an error: another one, or what else was thrown, as a text. */
type SentCause = { error: SentError } | { text: string };

/** What a call threw, as it is sent. */
type Thrown = { error: SentError } | { value: unknown };

/** So many causes of causes are sent; an error may be its own cause. */
const MAX_CAUSES = 8;

/** JavaScript's own classes; an error of another one becomes an Error of its name. */
const NATIVE: Record<string, new (message: string, options?: ErrorOptions) => Error> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** Name of Comlink's transfer handler for what a call throws. */
const handlerName = "throw";

let registered = false;

/**
 * Have Comlink send errors with their class, message, hint, stack and cause, and rebuild them.
 * Only the first call does something.
 */
export function registerErrors(): void {
  if (registered) return;
  registered = true;
  const original = Comlink.transferHandlers.get(handlerName)!;
  Comlink.transferHandlers.set(handlerName, {
    canHandle: (value: unknown): value is unknown => original.canHandle(value),
    serialize({ value }: { value: unknown }) {
      const thrown: Thrown = isError(value) ? { error: describe(value, MAX_CAUSES) } : { value };
      return [thrown, []];
    },
    deserialize(thrown: Thrown) {
      throw "error" in thrown ? rebuild(thrown.error) : thrown.value;
    },
  });
}

/** Whether a value is an error; a DOMException is one only in newer browsers. */
function isError(value: unknown): value is Error {
  return value instanceof Error || value instanceof DOMException;
}

function describe(error: Error, causes: number): SentError {
  const { name, message, stack } = error;
  const known = error instanceof WsdError;
  return {
    kind: known ? "wsd" : error instanceof DOMException ? "dom" : "native",
    name,
    message,
    stack,
    hint: known ? error.hint : "",
    cause: causes === 0 ? undefined : describeCause(error.cause, causes - 1),
  };
}

function describeCause(cause: unknown, causes: number): SentCause | undefined {
  if (cause === undefined) return undefined;
  return isError(cause) ? { error: describe(cause, causes) } : { text: show(cause) };
}

function rebuild({ kind, name, message, stack, hint, cause }: SentError): Error {
  const options: ErrorOptions =
    cause === undefined ? {} : { cause: "error" in cause ? rebuild(cause.error) : cause.text };
  if (kind === "dom") return new DOMException(message, name);
  const error =
    kind === "wsd"
      ? new (own(ERROR_CLASSES, name) ?? WsdError)(message, hint, options)
      : new (own(NATIVE, name) ?? Error)(message, options);
  // A class of another module, such as WebAssembly's errors, is not known here.
  if (error.name !== name) Object.assign(error, { name });
  // Where it was thrown is of more use than where it was rebuilt.
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What a table holds under a name; of an error called "toString", nothing. */
function own<Value>(table: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
