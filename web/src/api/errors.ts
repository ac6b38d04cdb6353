/** Typed errors; each has a hint that says what to do. */

/** The base of all errors that WSD throws on purpose. */
export class WsdError extends Error {
  // The name is written out, because the bundler renames classes.
  override readonly name: string = "WsdError";
  /** What to do about the error. */
  readonly hint: string;

  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}

/** A file's digest is not the one in the manifest. */
export class IntegrityError extends WsdError {
  override readonly name = "IntegrityError";
}
/** The browser or its GPU lacks something that the model needs. */
export class UnsupportedError extends WsdError {
  override readonly name = "UnsupportedError";
}
/** The GPU has no memory left. */
export class OutOfMemoryError extends WsdError {
  override readonly name = "OutOfMemoryError";
}
/** The GPU was lost. */
export class DeviceLostError extends WsdError {
  override readonly name = "DeviceLostError";
}
/** A file could not be fetched. */
export class FetchError extends WsdError {
  override readonly name = "FetchError";
}
/** An option is out of range or names nothing. */
export class OptionError extends WsdError {
  override readonly name = "OptionError";
}

/** The work was cancelled by its caller. */
export class AbortError extends WsdError {
  override readonly name = "AbortError";

  constructor() {
    super("cancelled", "start again when you like; what was fetched is kept");
  }
}

/** Error classes by name: a worker sends the name, and the page makes the error again. */
export const ERROR_CLASSES: Record<string, new (message: string, hint: string) => WsdError> = {
  WsdError,
  IntegrityError,
  UnsupportedError,
  OutOfMemoryError,
  DeviceLostError,
  FetchError,
  OptionError,
  AbortError,
};

/** @throws AbortError if a signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError();
}
