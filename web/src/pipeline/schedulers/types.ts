/** What every scheduler is made of: linear combinations of latents. */

/**
 * One denoising step as coefficients; all arithmetic on tensors is the GPU's.
 *
 * Tensors: `sample` is the current latents, `model` what the UNet predicted after
 * guidance, `history` what earlier steps remembered, newest first.
 */
export interface Step {
  /** The training timestep that the UNet is told. */
  timestep: number;
  /** Factor on the latents before the UNet sees them. */
  inputScale: number;
  /** What to add to the history, before the sample moves on. */
  remember?: { sample: number; model: number };
  /** Whether a later step starts again from this step's sample. */
  keepSample?: boolean;
  /** The next latents. */
  next: {
    /** Start from the sample that was kept, not from the current one. */
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

export interface Run {
  /** Factor on the initial noise. */
  initNoiseSigma: number;
  steps: Step[];
}
