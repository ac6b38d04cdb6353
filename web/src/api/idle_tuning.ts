/** Tunes a model in short slices while nobody calls it, and stops as soon as somebody does. */

import { throwIfAborted } from "../util/errors";

/** Milliseconds after a call until a slice begins, so that calls in a row are not disturbed. */
export const QUIET_MS = 2000;
/** Milliseconds between two slices, in which the GPU belongs to the page and to other programs. */
export const PAUSE_MS = 250;

/** Older Safaris have no idle callbacks. */
type Idle = (callback: () => void) => void;

/** Decides when slices run. */
export class IdleTuning {
  /** Whether a picture was drawn: before, the functions that draw are not known. */
  armed = false;
  readonly #slice: (signal: AbortSignal) => Promise<boolean>;
  #enabled: boolean;
  /** Calls that have begun and not ended. */
  #open = 0;
  /** Cancels the slice that runs, or the next one. */
  #next = new AbortController();
  /** Resolves when no slice runs any more; never rejects. */
  #stopped: Promise<void> = Promise.resolve();

  /**
   * @param slice tunes for about a second; it ends soon after its signal was aborted, and returns
   *   whether nothing is left to do.
   */
  constructor(slice: (signal: AbortSignal) => Promise<boolean>, enabled: boolean) {
    this.#slice = slice;
    this.#enabled = enabled;
  }

  /** Begin or end tuning. */
  set enabled(enabled: boolean) {
    if (enabled === this.#enabled) return;
    this.#enabled = enabled;
    this.#next.abort();
    this.#schedule(PAUSE_MS);
  }

  /** A call begins, and a slice that runs is cancelled; returns when it has ended. */
  begin(): Promise<void> {
    this.#open += 1;
    this.#next.abort();
    return this.#stopped;
  }

  /** A call has ended. */
  end(): void {
    this.#open -= 1;
    this.#schedule(QUIET_MS);
  }

  /** Let a slice begin after a pause, when the page has nothing else to do. */
  #schedule(pause: number): void {
    if (!this.#enabled || !this.armed || this.#open > 0) return;
    this.#next.abort();
    const next = new AbortController();
    this.#next = next;
    const idle = (globalThis as { requestIdleCallback?: Idle }).requestIdleCallback;
    const begin = (): void => {
      if (next.signal.aborted) return;
      // Nobody waits for a page that nobody sees.
      if ((globalThis as { document?: Document }).document?.hidden) this.#schedule(QUIET_MS);
      else this.#stopped = this.#run(next.signal, this.#stopped);
    };
    setTimeout(() => {
      if (next.signal.aborted) return;
      if (idle === undefined) begin();
      else idle.call(globalThis, begin);
    }, pause);
  }

  /** @param former resolves when the slice before has ended, which may have been cancelled. */
  async #run(signal: AbortSignal, former: Promise<void>): Promise<void> {
    try {
      await former;
      throwIfAborted(signal);
      const complete = await this.#slice(signal);
      if (!complete && !signal.aborted) this.#schedule(PAUSE_MS);
    } catch {
      // A call cancels it, after which it goes on. What else fails here would fail again: the GPU
      // was lost, or has no room.
      if (!signal.aborted) this.#enabled = false;
    }
  }
}
