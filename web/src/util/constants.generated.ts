/**
 * Numbers and names that Python and TypeScript agree on.
 * Generated from Python, each from the module named above it: python -m tools.generate_types
 */

// wsd/spec/manifest.py
export const SCHEMA_VERSION = 2;

// wsd/spec/roles.py
export const ROLES = [
  "text_encoder",
  "denoiser",
  "guided_denoiser",
  "vae_decoder",
  "vae_decoder_tile",
  "image_to_rgba",
  "linear_combination",
] as const;
export const LINEAR_COMBINATION_TERMS = 5;

// wsd/spec/precision.py
export const PRECISIONS = ["f32", "f16", "w8a16"] as const;

// wsd/models/schedulers.py: the most steps of any scheduler, and their names
export const MAX_STEPS = 100;
export const SCHEDULERS = [
  "dpmpp_2m",
  "dpmpp_2m_karras",
  "pndm",
  "euler",
  "euler_a",
  "ddim",
  "lcm",
] as const;

// wsd/runtime/request.py: limits of a generation request
export const MIN_SEED = -9223372036854775808n;
export const MAX_SEED = 18446744073709551615n;
export const MAX_GUIDANCE = 50.0;
export const MAX_IMAGES = 16;

// wsd/kernels/variant.py: WebGPU features, and limits that every adapter has
export const F16 = "shader-f16";
export const SUBGROUPS = "subgroups";
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";
export const KERNEL_FEATURES = [
  "shader-f16",
  "subgroups",
  "chromium-experimental-subgroup-matrix",
] as const;
export const BASELINE_MAX_THREADS = 256;
export const BASELINE_MAX_SHARED_BYTES = 16384;

// wsd/kernels/registry.py: names of the kernel variants, the fastest of a problem first
export const VARIANT_NAMES = [
  "gemm_subgroup_matrix",
  "gemm_tiled_f16",
  "gemm_tiled_f32",
  "gemv_subgroups",
  "gemv_workgroup_sum",
  "attention_subgroup_matrix",
  "attention_flash",
  "norm_sums_subgroups",
  "norm_sums_workgroup",
] as const;

// wsd/kernels/choice.py: values of the option kernels, and what deprecated ones allow
export const AUTO = "auto";
export const GENERATED = "generated";
export const LEGACY_KERNEL_MODES = {
  tiled: ["gemm_tiled_f32", "gemv_workgroup_sum", "attention_flash", "norm_sums_workgroup"],
  subgroups: [
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
  halves: [
    "gemm_tiled_f16",
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
  matrix: [
    "gemm_subgroup_matrix",
    "gemm_tiled_f16",
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_subgroup_matrix",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
} as const;

// wsd/spec/tolerances.py: largest relative errors and least PSNR (dB)
export const STAGE_TOLERANCE = 0.002;
export const LATENTS_TOLERANCE = 0.001;
export const PICTURE_PSNR = 40.0;
export const ROUNDING_PSNR = { f32: 40.0, f16: 35.0, w8a16: 30.0 } as const;
export const SELF_TEST_TOLERANCE = { f32: 0.001, f16: 0.01, w8a16: 0.1 } as const;
