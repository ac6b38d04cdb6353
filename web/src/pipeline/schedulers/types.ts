/** Every scheduler as linear combinations of latents, which one GPU kernel computes. */

/**
 * One denoising step as coefficients of three kinds of tensors: `sample`, the current latents;
 * `model`, the denoiser's prediction after guidance; `history`, what earlier steps remembered,
 * newest first.
 */
export interface Step {
  /** The training timestep that the denoiser is given. */
  timestep: number;
  /** Factor on the latents that the denoiser is given. */
  inputScale: number;
  /** What the history gets, computed before the sample changes. */
  remember?: { sample: number; model: number };
  /** Whether a later step starts again from this step's sample. */
  keepSample?: boolean;
  /** The next latents. */
  next: {
    /** Start from the kept sample in place of the current one. */
    fromKept?: boolean;
    sample: number;
    model: number;
    history: number[];
    /** Factor on fresh noise; absent if none is drawn, 0 if it is drawn and unused. */
    noise?: number;
  };
  /** The predicted clean latents, for previews. */
  denoised: { sample: number; model: number };
}

/** All steps of one request's denoising. */
export interface Run {
  /** Factor on the initial noise. */
  initNoiseSigma: number;
  steps: Step[];
}
