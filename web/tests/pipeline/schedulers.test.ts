import { describe, expect, test } from "vitest";

import type { NoiseSchedule, SchedulerConfig } from "../../src/bundle/manifest";
import type { Combination, Run } from "../../src/pipeline/schedulers";
import { layOutRun } from "../../src/pipeline/schedulers";
import { SCHEDULER_DEFAULTS } from "../../src/util/constants.generated";

// Python's tests hold every scheduler to diffusers; these hold it to what it solves. If the
// model always knows the noise, the sample stays on the straight way to the clean latents.

const TRAIN = 1000;
// Rombach et al. 2022: square roots of beta evenly spaced.
const roots = Array.from(
  { length: TRAIN },
  (_, t) => Math.sqrt(0.00085) + ((Math.sqrt(0.012) - Math.sqrt(0.00085)) * t) / (TRAIN - 1),
);
let product = 1;
const alphas = roots.map((root) => (product *= 1 - root * root));

const CLEAN = 0.7;
const START = 1.3;

function layOut(
  algorithm: string,
  more: Partial<SchedulerConfig>,
  count: number,
  eta: number,
  prediction_type: NoiseSchedule["prediction_type"] = "epsilon",
): Run {
  const config: SchedulerConfig = {
    ...SCHEDULER_DEFAULTS,
    disable_corrector: [],
    algorithm,
    title: algorithm,
    max_steps: 100,
    timestep_spacing: "leading",
    steps_offset: 1,
    use_karras_sigmas: false,
    final_alpha_cumprod: 1,
    original_inference_steps: 50,
    timestep_scaling: 10,
    ...more,
  };
  const schedule: NoiseSchedule = {
    kind: "discrete",
    num_train_timesteps: TRAIN,
    prediction_type,
    alphas_cumprod: alphas,
  };
  return layOutRun(schedule, config, count, eta);
}

/** Follow a run with a model that knows the noise; fresh noise is zero. */
function follow(run: Run): { end: number; previews: number[] } {
  let sample = START * run.initNoiseSigma;
  let kept = sample;
  let noise: number | undefined;
  const history: number[] = [];
  const previews: number[] = [];
  for (const step of run.steps) {
    const sigma = Math.sqrt(Math.max(0, 1 / step.inputScale ** 2 - 1));
    if (noise === undefined) {
      // In terms of sigma, or of signal and noise that keep the variance.
      const signal = Math.sqrt(alphas[Math.round(step.timestep)]!);
      noise =
        sigma > 0
          ? (sample - CLEAN) / sigma
          : (sample - signal * CLEAN) / Math.sqrt(1 - signal * signal);
    }
    previews.push(sample * step.denoised.sample + noise * step.denoised.model);
    const [now, model] = [{ sample, kept, history: [...history] }, noise];
    const add = (weights: Combination): number =>
      now.sample * weights.sample +
      model * weights.model +
      now.kept * (weights.kept ?? 0) +
      (weights.history ?? []).reduce((sum, weight, i) => sum + weight * (now.history[i] ?? 0), 0);
    if (step.remember !== undefined) history.unshift(add(step.remember));
    if (step.keep !== undefined) kept = add(step.keep);
    sample = add(step.next);
  }
  return { end: sample, previews };
}

describe.each([1, 2, 5, 20, 50])("%i steps", (count) => {
  test.each<[string, string, Partial<SchedulerConfig>]>([
    ["DDIM", "ddim", {}],
    ["DDIM, trailing", "ddim", { timestep_spacing: "trailing" }],
    ["DPM-Solver++ 2M", "dpmpp2m", { timestep_spacing: "linspace" }],
    ["DPM-Solver++ 2M, Karras", "dpmpp2m", { use_karras_sigmas: true }],
    ["Euler", "euler", { timestep_spacing: "linspace" }],
    ["Euler, leading", "euler", {}],
    ["PNDM", "pndm", {}],
    ["Heun", "heun", { timestep_spacing: "linspace" }],
    ["Heun, Karras", "heun", { use_karras_sigmas: true }],
    ["LMS", "lms", { timestep_spacing: "trailing" }],
  ])("%s ends at the clean latents", (_, algorithm, more) => {
    const { end, previews } = follow(layOut(algorithm, more, count, 0));
    expect(end).toBeCloseTo(CLEAN, 4);
    for (const preview of previews) expect(preview).toBeCloseTo(CLEAN, 3);
  });
});

test("PNDM's Runge-Kutta start ends at the clean latents", () => {
  const run = layOut("pndm", { skip_prk_steps: false }, 20, 0);
  expect(run.steps.length).toBe(29);
  const { end, previews } = follow(run);
  expect(end).toBeCloseTo(CLEAN, 4);
  for (const preview of previews) expect(preview).toBeCloseTo(CLEAN, 3);
});

test.each(["heun", "dpmpp_sde"])(
  "%s evaluates the denoiser twice in every step but the last",
  (name) => {
    const { steps, brownian } = layOut(name, { timestep_spacing: "linspace" }, 20, 0);
    expect(steps.length).toBe(39);
    const noises = steps.filter(({ next }) => next.noise !== undefined);
    expect(noises.length).toBe(name === "heun" ? 0 : 38);
    for (const { next } of noises) {
      for (const level of next.brownian!) {
        expect(level).toBeGreaterThan(brownian![0] * (1 - 1e-6));
        expect(level).toBeLessThan(brownian![1] * (1 + 1e-6));
      }
    }
  },
);

test.each(["euler_ancestral", "lcm", "ddim", "tcd"])(
  "%s draws noise on every step but the last",
  (algorithm) => {
    const { steps } = layOut(algorithm, {}, 8, 0.5);
    expect(steps.length).toBe(8);
    for (const step of steps.slice(0, -1)) expect(step.next.noise).toBeGreaterThan(0);
    expect(steps.at(-1)!.next.noise ?? 0).toBeCloseTo(0, 6);
  },
);

test("velocity and noise are two ways to say the same", () => {
  // v = signal * noise - sigma * clean (Salimans and Ho 2022), at one timestep.
  for (const algorithm of ["ddim", "euler", "dpmpp2m", "lcm", "euler_ancestral", "pndm"] as const) {
    const [noise, velocity] = (["epsilon", "v_prediction"] as const).map(
      (type) => layOut(algorithm, {}, 10, 0, type).steps[3]!,
    );
    const scale = noise!.inputScale;
    const signal = scale === 1 ? Math.sqrt(alphas[Math.round(noise!.timestep)]!) : scale;
    const sigma = Math.sqrt(1 - signal * signal);
    const [clean, drawn] = [0.4, -0.9];
    const sample = (signal * clean + sigma * drawn) / scale;
    const told = signal * drawn - sigma * clean;
    const [byNoise, byVelocity] = [
      sample * noise!.denoised.sample + drawn * noise!.denoised.model,
      sample * velocity!.denoised.sample + told * velocity!.denoised.model,
    ];
    expect(byVelocity).toBeCloseTo(byNoise, 4);
    expect(byNoise).toBeCloseTo(clean, 3);
  }
});
