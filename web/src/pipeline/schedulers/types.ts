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

/** Factors of clean latents and of noise in latents that are as noisy as those of a step. */
export interface NoiseLevel {
  signal: number;
  noise: number;
}

/** One evaluation of the denoiser, and what follows from it. */
export interface Step {
  /** The training timestep that the denoiser is given. */
  timestep: number;
  /** How noisy the latents are before this step: what diffusers' `add_noise` makes of clean ones. */
  level: NoiseLevel;
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

/** How one run differs from others of the same scheduler. */
export interface RunOptions {
  /** Denoising steps of the whole schedule. */
  count: number;
  /** DDIM's share of DDPM's noise, 0 to 1; TCD's gamma. */
  eta: number;
  /** Tokens of the picture in the denoiser, by which flow matching may shift its noise levels. */
  tokens: number;
  /**
   * The evaluation of the denoiser that is the first, counted from 0: those before it are left out,
   * and nothing is known from them. diffusers calls it the scheduler's begin index.
   */
  begin: number;
}

/** All steps of one request's denoising. */
export interface Run {
  /** Factor on noise that denoising begins with; a picture takes its first step's `level`. */
  initNoiseSigma: number;
  /** The least and the most noise level of the Brownian path, if a step draws from one. */
  brownian?: [number, number];
  steps: Step[];
}
