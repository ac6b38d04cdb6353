/** A machine of eight cores, where none of the workers runs that this worker starts. */

/**
 * What becomes of them, esbuild replaces it: 0 if a policy forbids them, 1 if their script is not
 * there, 2 if it answers nothing.
 */
declare const FAULT: number;

Object.defineProperty(navigator, "hardwareConcurrency", { value: 8 });

globalThis.Worker = class extends Worker {
  constructor() {
    if (FAULT === 0) throw new DOMException("forbidden", "SecurityError");
    super(FAULT === 1 ? "/missing.js" : URL.createObjectURL(new Blob([""])));
  }
};
