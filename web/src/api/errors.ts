/** Typed errors. Every one carries a hint that says what to do about it. */

export class WsdError extends Error {
  // Names are spelt out: the bundler renames classes.
  override readonly name: string = "WsdError";
  readonly hint: string;

  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}

/** Bytes do not have the digest that the manifest states. */
export class IntegrityError extends WsdError {
  override readonly name = "IntegrityError";
}
/** The browser or its GPU lacks something that the model needs. */
export class UnsupportedError extends WsdError {
  override readonly name = "UnsupportedError";
}
/** The GPU has no room left. */
export class OutOfMemoryError extends WsdError {
  override readonly name = "OutOfMemoryError";
}
/** The GPU device went away. */
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

/** By name, so that a worker's error regains its class on the page. */
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

/** Throw if a signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError();
}
