/** What every scheduler is made of: linear combinations of latents. */

/** One denoising step as coefficients; all arithmetic on tensors is the GPU's. */
export interface Step {
  /** The training timestep that the UNet is told. */
  timestep: number;
  /** The predicted clean latents: `sample * s + noise * n`. */
  denoised: { sample: number; noise: number };
  /** The next latents: `sample * s + denoised * d + previousDenoised * p`. */
  next: { sample: number; denoised: number; previousDenoised: number };
}
