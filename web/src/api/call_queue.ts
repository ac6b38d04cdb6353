/** Serialises the calls of a pipeline; each is cancelled by its own signal. */

import { untilAborted } from "../util/concurrency";
import { BusyError, throwIfAborted, UnloadedError } from "../util/errors";
import type { Concurrency } from "./types";

/** The calls of one pipeline, in their order. */
export class CallQueue {
  readonly #concurrency: Concurrency;
  readonly #closing = new AbortController();
  /** Calls that have neither resolved nor rejected yet. */
  #open = 0;
  /** Resolves when all calls so far have ended, cancelled ones included; never rejects. */
  #idle: Promise<void> = Promise.resolve();

  constructor(concurrency: Concurrency) {
    this.#concurrency = concurrency;
  }

  /**
   * Do a call's work when all calls before it have ended.
   *
   * A cancelled call rejects at once. If its work has begun, the next call waits until that has
   * ended; if it has not, it never begins.
   *
   * @param signal cancels this call and no other.
   * @param work gets a signal that is aborted when this call is cancelled or the queue is closed;
   *   it must end soon after that.
   * @throws UnloadedError if the queue was closed before.
   * @throws BusyError if calls are refused while another one is under way.
   * @throws AbortError, or the signal's reason, if the call is cancelled.
   */
  async run<Result>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const closing = this.#closing.signal;
    if (closing.aborted) throw new UnloadedError();
    throwIfAborted(signal);
    if (this.#concurrency === "refuse" && this.#open > 0) throw new BusyError();
    const cancelled = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    const turn = this.#idle.then(() => {
      throwIfAborted(cancelled);
      return work(cancelled);
    });
    this.#idle = turn.then(ignore, ignore);
    this.#open += 1;
    try {
      return await untilAborted(turn, cancelled);
    } finally {
      this.#open -= 1;
    }
  }

  /** Resolves when the calls until now have ended, cancelled ones included; never rejects. */
  get settled(): Promise<void> {
    return this.#idle;
  }

  /**
   * Do work at once that does not disturb other calls: it waits for none, and none waits for it.
   *
   * @param signal cancels this work.
   * @param work gets a signal that is aborted when this one is, or the queue is closed.
   * @throws UnloadedError if the queue was closed before.
   * @throws AbortError, or the signal's reason, if the work is cancelled.
   */
  async beside<Result>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const closing = this.#closing.signal;
    if (closing.aborted) throw new UnloadedError();
    throwIfAborted(signal);
    const cancelled = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    return untilAborted(work(cancelled), cancelled);
  }

  /**
   * Cancel all calls, and refuse those that come later.
   *
   * @param reason what the cancelled calls reject with.
   */
  close(reason: Error): void {
    this.#closing.abort(reason);
  }
}

function ignore(): void {
  // Only the time at which it is called matters.
}
