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
/** The file of a LoRA or a textual inversion is damaged, or does not belong to the model. */
export class LoraError extends WsdError {
  override readonly name = "LoraError";
}
/** An option is out of range or names nothing. */
export class OptionError extends WsdError {
  override readonly name = "OptionError";
}

/** A call was refused, because another one is under way. */
export class BusyError extends WsdError {
  override readonly name = "BusyError";

  constructor(
    message = "another call of this pipeline is under way",
    hint = 'wait for it or cancel it, or load the model with concurrency: "queue"',
  ) {
    super(message, hint);
  }
}
/** The pipeline was unloaded before the call. */
export class UnloadedError extends WsdError {
  override readonly name = "UnloadedError";

  constructor(
    message = "the pipeline was unloaded",
    hint = "load the model again with StableDiffusionPipeline.fromPretrained",
  ) {
    super(message, hint);
  }
}
/** The work was cancelled by its caller. */
export class AbortError extends WsdError {
  override readonly name = "AbortError";

  constructor(
    message = "cancelled",
    hint = "start again when you like; what was fetched is kept",
    options?: ErrorOptions,
  ) {
    super(message, hint, options);
  }
}

/** Error classes by name: a worker sends the name, and the page makes the error again. */
export const ERROR_CLASSES: Record<
  string,
  new (message: string, hint: string, options?: ErrorOptions) => WsdError
> = {
  WsdError,
  IntegrityError,
  UnsupportedError,
  OutOfMemoryError,
  DeviceLostError,
  FetchError,
  LoraError,
  OptionError,
  BusyError,
  UnloadedError,
  AbortError,
};

/**
 * Return what cancelled work rejects with.
 *
 * @param signal one that is aborted.
 * @returns the signal's reason as its owner gave it, for example the TimeoutError of
 *   `AbortSignal.timeout`; an AbortError if none was given.
 */
export function abortReason(signal: AbortSignal): unknown {
  return isDefaultReason(signal.reason) ? new AbortError() : signal.reason;
}

/** Whether a reason is the one that a browser makes where `abort` is called without any. */
function isDefaultReason(reason: unknown): boolean {
  const made = AbortSignal.abort().reason as DOMException;
  return (
    reason instanceof DOMException && reason.name === made.name && reason.message === made.message
  );
}

/** @throws what {@link abortReason} returns, if a signal has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortReason(signal);
}
