/** Watches a GPU device for its end, and says why it ended. */

import { DeviceLostError, OutOfMemoryError, WsdError } from "../../util/errors";

/** How long the loss of a device is waited for after an error that it may have caused, in ms. */
const LOSS_GRACE_MS = 2000;

/** Notices that a device is lost or out of memory. */
export class DeviceWatch {
  /** Why the device can compute nothing any more; undefined while it can. */
  failure: WsdError | undefined;
  /** Rejects with {@link failure} when the device fails; never resolves. */
  readonly failed: Promise<never>;
  private expected = false;

  constructor(device: GPUDevice) {
    let outOfMemory = false;
    // tvmjs pops an error scope after each allocation, and destroys the device if it failed.
    const pop = device.popErrorScope.bind(device);
    device.popErrorScope = async () => {
      const error = await pop();
      outOfMemory ||= error instanceof GPUOutOfMemoryError;
      return error;
    };
    this.failed = device.lost.then(({ reason, message }) => {
      if (this.expected) return new Promise<never>(() => undefined);
      // Tuning asks for room too, and nothing is destroyed where there is none.
      const isFull = outOfMemory && reason === "destroyed";
      this.failure = isFull ? outOfMemoryError() : deviceLostError(message);
      throw this.failure;
    });
    // The device may fail while nothing awaits this promise; that must not be reported as an
    // unhandled rejection.
    this.failed.catch(() => undefined);
  }

  /**
   * Do work, and end with the device's own error when the device fails meanwhile.
   *
   * @throws OutOfMemoryError if the GPU or WebAssembly has no memory left.
   * @throws DeviceLostError if the device is lost for another reason.
   */
  async guard<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await Promise.race([work(), this.failed]);
    } catch (error) {
      // A loss may be reported after the error that it caused: by the GPU's process, and so later,
      // where the error is the browser's.
      const late = !this.expected && !(error instanceof WsdError);
      await this.waitForLoss(late ? LOSS_GRACE_MS : 0);
      throw this.failure ?? asOutOfMemoryError(error);
    }
  }

  private async waitForLoss(milliseconds: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([this.failed.catch(() => undefined), grace]);
    clearTimeout(timer);
  }

  /** From now on the device's end is not a failure: it is about to be destroyed. */
  stop(): void {
    this.expected = true;
  }
}

function deviceLostError(message: string): DeviceLostError {
  return new DeviceLostError(
    `the GPU was lost${message === "" ? "" : `: ${message}`}`,
    "draw again: the model is loaded anew; if it happens often, update the graphics driver",
  );
}

/** The error of a GPU without room. */
export function outOfMemoryError(cause?: unknown): OutOfMemoryError {
  return new OutOfMemoryError(
    "the GPU has no room for this model",
    "close other tabs that use the GPU, or choose a smaller model",
    { cause },
  );
}

/** Turn an error that tells of a failed allocation into an OutOfMemoryError. */
function asOutOfMemoryError(error: unknown): unknown {
  return error instanceof Error && /memory/i.test(error.message) ? outOfMemoryError(error) : error;
}
