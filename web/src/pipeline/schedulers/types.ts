/** Every scheduler as linear combinations of latents, which one GPU kernel computes. */

/** Weights of the tensors that a step can read. A weight that is absent is 0. */
export interface Combination {
  /** Weight of the current latents. */
  sample: number;
  /** Weight of the denoiser's prediction after guidance. */
  model: number;
  /** Weight of the latents that an earlier step kept. */
  kept?: number;
  /** Weights of what earlier steps remembered, newest first. */
  history?: number[];
}

/** The latents that follow a step, which may contain noise. */
export interface Next extends Combination {
  /** Factor on fresh noise; absent if none is drawn, 0 if it is drawn and unused. */
  noise?: number;
  /**
   * Two noise levels. The noise is then the Brownian path's increment between them, divided by
   * the root of their distance. Without it the noise comes from the request's generator.
   */
  brownian?: [number, number];
}

/** One evaluation of the denoiser, and what follows from it. */
export interface Step {
  /** The training timestep that the denoiser is given. */
  timestep: number;
  /** Factor on the latents that the denoiser is given. */
  inputScale: number;
  /** What the history gets as its newest entry, computed before `keep` and `next` take effect. */
  remember?: Combination;
  /** What the kept latents become, computed before `next` takes effect. */
  keep?: Combination;
  /** The next latents. They read the history and the kept latents as they were before this step. */
  next: Next;
  /** The predicted clean latents, for previews. */
  denoised: { sample: number; model: number };
}

/** All steps of one request's denoising. */
export interface Run {
  /** Factor on the initial noise. */
  initNoiseSigma: number;
  /** The least and the most noise level of the Brownian path, if a step draws from one. */
  brownian?: [number, number];
  steps: Step[];
}
