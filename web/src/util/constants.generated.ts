/**
 * Numbers and names that Python and TypeScript agree on.
 * Generated from Python, each from the module named above it: python -m tools.generate_types
 */

// wsd/__init__.py
export const VERSION = "0.1.0";

// wsd/spec/manifest.py
export const SCHEMA_VERSION = 2;

// wsd/spec/kernel_choices.py
export const CHOICES_VERSION = 1;

// wsd/spec/paths.py: names of files in bundles
export const NAME_PATTERN = "^[A-Za-z0-9_@]([A-Za-z0-9._@+-]*[A-Za-z0-9_@+-])?$";
export const MAX_NAME = 200;
export const RESERVED_NAMES = [
  "con",
  "prn",
  "aux",
  "nul",
  "com0",
  "com1",
  "com2",
  "com3",
  "com4",
  "com5",
  "com6",
  "com7",
  "com8",
  "com9",
  "lpt0",
  "lpt1",
  "lpt2",
  "lpt3",
  "lpt4",
  "lpt5",
  "lpt6",
  "lpt7",
  "lpt8",
  "lpt9",
] as const;

// wsd/util/json_reader.py: most bytes of a JSON file
export const MAX_BYTES = 67108864;

// wsd/spec/roles.py
export const ROLES = [
  "text_encoder",
  "layered_text_encoder",
  "denoiser",
  "guided_denoiser",
  "chunked_denoiser",
  "guided_chunked_denoiser",
  "shallow_denoiser",
  "guided_shallow_denoiser",
  "vae_decoder",
  "vae_decoder_tile",
  "vae_encoder",
  "vae_encoder_tile",
  "safety_checker",
  "image_to_rgba",
  "rgba_to_image",
  "linear_combination",
  "masked_blend",
] as const;
export const LINEAR_COMBINATION_TERMS = 5;
export const TEXT_STATES = "text_embeddings";
export const BLOCK_SCALES = "block_scales";
export const DEEP_FEATURES = "deep_features";
export const GUIDANCE_EMBEDDING = "timestep_cond";
export const MOMENTS = "moments";

// wsd/spec/skip_layer_guidance.py
export const SKIP_LAYER_GUIDANCE = { scale: 2.8, start: 0.01, stop: 0.2 } as const;

// wsd/spec/precision.py
export const PRECISIONS = ["f32", "f16", "w8a16", "w4a16"] as const;

// wsd/spec/parameter.py: values of an int4 row that share a scale
export const INT4_GROUP = 32;

// wsd/models/schedulers.py: the most steps of any scheduler, and their names
export const MAX_STEPS = 100;
export const SCHEDULERS = [
  "dpmpp_2m",
  "dpmpp_2m_karras",
  "dpmpp_2m_exponential",
  "dpmpp_2m_beta",
  "dpmpp_2m_lu",
  "dpmpp_2m_flow",
  "dpmpp_2m_sde",
  "dpmpp_2m_sde_karras",
  "dpmpp_2m_sde_exponential",
  "dpmpp_2m_sde_beta",
  "dpmpp_2m_sde_lu",
  "dpmpp_2m_sde_flow",
  "dpm_2m",
  "dpm_2m_karras",
  "dpm_2m_exponential",
  "dpm_2m_beta",
  "dpm_2m_lu",
  "dpm_2m_sde",
  "dpm_2m_sde_karras",
  "dpm_2m_sde_exponential",
  "dpm_2m_sde_beta",
  "dpm_2m_sde_lu",
  "pndm",
  "euler",
  "euler_karras",
  "euler_exponential",
  "euler_beta",
  "euler_trailing",
  "euler_a",
  "euler_a_trailing",
  "ddim",
  "ddim_trailing",
  "unipc",
  "unipc_karras",
  "unipc_exponential",
  "unipc_beta",
  "unipc_flow",
  "deis",
  "deis_karras",
  "deis_exponential",
  "deis_beta",
  "deis_flow",
  "dpmpp_sde",
  "dpmpp_sde_karras",
  "dpmpp_sde_exponential",
  "dpmpp_sde_beta",
  "heun",
  "heun_karras",
  "heun_exponential",
  "heun_beta",
  "lms",
  "lms_karras",
  "lms_exponential",
  "lms_beta",
  "ddpm",
  "lcm",
  "tcd",
  "flow_euler",
  "flow_euler_karras",
  "flow_euler_exponential",
  "flow_euler_beta",
  "flow_heun",
] as const;

// wsd/models/schedulers.py: [program, sampler, scheduler] that draw as a scheduler does
export const SAMPLER_NAMES = {
  dpmpp_2m: [
    ["A1111", "DPM++ 2M", "Uniform"],
    ["A1111", "DPM++ 2M", "Normal"],
    ["A1111", "DPM++ 2M", ""],
    ["ComfyUI", "dpmpp_2m", "normal"],
    ["ComfyUI", "dpmpp_2m", "simple"],
    ["InvokeAI", "dpmpp_2m", ""],
    ["diffusers", "DPMSolverMultistepScheduler", ""],
  ],
  dpmpp_2m_karras: [
    ["A1111", "DPM++ 2M", "Karras"],
    ["A1111", "DPM++ 2M Karras", ""],
    ["A1111", "DPM++ 2M", "Automatic"],
    ["ComfyUI", "dpmpp_2m", "karras"],
    ["InvokeAI", "dpmpp_2m_k", ""],
  ],
  dpmpp_2m_exponential: [
    ["A1111", "DPM++ 2M", "Exponential"],
    ["A1111", "DPM++ 2M Exponential", ""],
    ["ComfyUI", "dpmpp_2m", "exponential"],
  ],
  dpmpp_2m_beta: [
    ["A1111", "DPM++ 2M", "Beta"],
    ["A1111", "DPM++ 2M Beta", ""],
    ["ComfyUI", "dpmpp_2m", "beta"],
  ],
  dpmpp_2m_lu: [],
  dpmpp_2m_flow: [],
  dpmpp_2m_sde: [
    ["A1111", "DPM++ 2M SDE", "Uniform"],
    ["A1111", "DPM++ 2M SDE", "Normal"],
    ["A1111", "DPM++ 2M SDE", ""],
    ["ComfyUI", "dpmpp_2m_sde", "normal"],
    ["ComfyUI", "dpmpp_2m_sde", "simple"],
    ["ComfyUI", "dpmpp_2m_sde_gpu", "normal"],
    ["ComfyUI", "dpmpp_2m_sde_gpu", "simple"],
    ["InvokeAI", "dpmpp_2m_sde", ""],
  ],
  dpmpp_2m_sde_karras: [
    ["A1111", "DPM++ 2M SDE", "Karras"],
    ["A1111", "DPM++ 2M SDE Karras", ""],
    ["ComfyUI", "dpmpp_2m_sde", "karras"],
    ["ComfyUI", "dpmpp_2m_sde_gpu", "karras"],
    ["InvokeAI", "dpmpp_2m_sde_k", ""],
  ],
  dpmpp_2m_sde_exponential: [
    ["A1111", "DPM++ 2M SDE", "Exponential"],
    ["A1111", "DPM++ 2M SDE Exponential", ""],
    ["A1111", "DPM++ 2M SDE", "Automatic"],
    ["ComfyUI", "dpmpp_2m_sde", "exponential"],
    ["ComfyUI", "dpmpp_2m_sde_gpu", "exponential"],
  ],
  dpmpp_2m_sde_beta: [
    ["A1111", "DPM++ 2M SDE", "Beta"],
    ["A1111", "DPM++ 2M SDE Beta", ""],
    ["ComfyUI", "dpmpp_2m_sde", "beta"],
    ["ComfyUI", "dpmpp_2m_sde_gpu", "beta"],
  ],
  dpmpp_2m_sde_lu: [],
  dpmpp_2m_sde_flow: [],
  dpm_2m: [],
  dpm_2m_karras: [],
  dpm_2m_exponential: [],
  dpm_2m_beta: [],
  dpm_2m_lu: [],
  dpm_2m_sde: [],
  dpm_2m_sde_karras: [],
  dpm_2m_sde_exponential: [],
  dpm_2m_sde_beta: [],
  dpm_2m_sde_lu: [],
  pndm: [
    ["A1111", "PLMS", ""],
    ["A1111", "PLMS", "Automatic"],
    ["InvokeAI", "pndm", ""],
    ["diffusers", "PNDMScheduler", ""],
  ],
  euler: [
    ["A1111", "Euler", "Uniform"],
    ["A1111", "Euler", "Normal"],
    ["A1111", "Euler", ""],
    ["A1111", "Euler", "Automatic"],
    ["ComfyUI", "euler", "normal"],
    ["ComfyUI", "euler", "simple"],
    ["InvokeAI", "euler", ""],
    ["diffusers", "EulerDiscreteScheduler", ""],
  ],
  euler_karras: [
    ["A1111", "Euler", "Karras"],
    ["A1111", "Euler Karras", ""],
    ["ComfyUI", "euler", "karras"],
    ["InvokeAI", "euler_k", ""],
  ],
  euler_exponential: [
    ["A1111", "Euler", "Exponential"],
    ["A1111", "Euler Exponential", ""],
    ["ComfyUI", "euler", "exponential"],
  ],
  euler_beta: [
    ["A1111", "Euler", "Beta"],
    ["A1111", "Euler Beta", ""],
    ["ComfyUI", "euler", "beta"],
  ],
  euler_trailing: [
    ["A1111", "Euler", "SGM Uniform"],
    ["ComfyUI", "euler", "sgm_uniform"],
  ],
  euler_a: [
    ["A1111", "Euler a", ""],
    ["A1111", "Euler a", "Automatic"],
    ["A1111", "Euler a", "Uniform"],
    ["A1111", "Euler a", "Normal"],
    ["ComfyUI", "euler_ancestral", "normal"],
    ["ComfyUI", "euler_ancestral", "simple"],
    ["InvokeAI", "euler_a", ""],
    ["diffusers", "EulerAncestralDiscreteScheduler", ""],
  ],
  euler_a_trailing: [
    ["A1111", "Euler a", "SGM Uniform"],
    ["ComfyUI", "euler_ancestral", "sgm_uniform"],
  ],
  ddim: [
    ["A1111", "DDIM", ""],
    ["A1111", "DDIM", "Automatic"],
    ["ComfyUI", "ddim", "ddim_uniform"],
    ["ComfyUI", "ddim", "normal"],
    ["ComfyUI", "ddim", "simple"],
    ["InvokeAI", "ddim", ""],
    ["diffusers", "DDIMScheduler", ""],
  ],
  ddim_trailing: [
    ["A1111", "DDIM", "SGM Uniform"],
    ["ComfyUI", "ddim", "sgm_uniform"],
  ],
  unipc: [
    ["A1111", "UniPC", "Uniform"],
    ["A1111", "UniPC", "Normal"],
    ["A1111", "UniPC", ""],
    ["A1111", "UniPC", "Automatic"],
    ["ComfyUI", "uni_pc_bh2", "normal"],
    ["ComfyUI", "uni_pc_bh2", "simple"],
    ["InvokeAI", "unipc", ""],
    ["diffusers", "UniPCMultistepScheduler", ""],
  ],
  unipc_karras: [
    ["A1111", "UniPC", "Karras"],
    ["A1111", "UniPC Karras", ""],
    ["ComfyUI", "uni_pc_bh2", "karras"],
    ["InvokeAI", "unipc_k", ""],
  ],
  unipc_exponential: [
    ["A1111", "UniPC", "Exponential"],
    ["A1111", "UniPC Exponential", ""],
    ["ComfyUI", "uni_pc_bh2", "exponential"],
  ],
  unipc_beta: [
    ["A1111", "UniPC", "Beta"],
    ["A1111", "UniPC Beta", ""],
    ["ComfyUI", "uni_pc_bh2", "beta"],
  ],
  unipc_flow: [],
  deis: [
    ["ComfyUI", "deis", "normal"],
    ["ComfyUI", "deis", "simple"],
    ["InvokeAI", "deis", ""],
    ["diffusers", "DEISMultistepScheduler", ""],
  ],
  deis_karras: [
    ["ComfyUI", "deis", "karras"],
    ["InvokeAI", "deis_k", ""],
  ],
  deis_exponential: [["ComfyUI", "deis", "exponential"]],
  deis_beta: [["ComfyUI", "deis", "beta"]],
  deis_flow: [],
  dpmpp_sde: [
    ["A1111", "DPM++ SDE", "Uniform"],
    ["A1111", "DPM++ SDE", "Normal"],
    ["A1111", "DPM++ SDE", ""],
    ["ComfyUI", "dpmpp_sde", "normal"],
    ["ComfyUI", "dpmpp_sde", "simple"],
    ["ComfyUI", "dpmpp_sde_gpu", "normal"],
    ["ComfyUI", "dpmpp_sde_gpu", "simple"],
    ["InvokeAI", "dpmpp_sde", ""],
    ["diffusers", "DPMSolverSDEScheduler", ""],
  ],
  dpmpp_sde_karras: [
    ["A1111", "DPM++ SDE", "Karras"],
    ["A1111", "DPM++ SDE Karras", ""],
    ["A1111", "DPM++ SDE", "Automatic"],
    ["ComfyUI", "dpmpp_sde", "karras"],
    ["ComfyUI", "dpmpp_sde_gpu", "karras"],
    ["InvokeAI", "dpmpp_sde_k", ""],
  ],
  dpmpp_sde_exponential: [
    ["A1111", "DPM++ SDE", "Exponential"],
    ["A1111", "DPM++ SDE Exponential", ""],
    ["ComfyUI", "dpmpp_sde", "exponential"],
    ["ComfyUI", "dpmpp_sde_gpu", "exponential"],
  ],
  dpmpp_sde_beta: [
    ["A1111", "DPM++ SDE", "Beta"],
    ["A1111", "DPM++ SDE Beta", ""],
    ["ComfyUI", "dpmpp_sde", "beta"],
    ["ComfyUI", "dpmpp_sde_gpu", "beta"],
  ],
  heun: [
    ["A1111", "Heun", "Uniform"],
    ["A1111", "Heun", "Normal"],
    ["A1111", "Heun", ""],
    ["A1111", "Heun", "Automatic"],
    ["ComfyUI", "heun", "normal"],
    ["ComfyUI", "heun", "simple"],
    ["InvokeAI", "heun", ""],
    ["diffusers", "HeunDiscreteScheduler", ""],
  ],
  heun_karras: [
    ["A1111", "Heun", "Karras"],
    ["A1111", "Heun Karras", ""],
    ["ComfyUI", "heun", "karras"],
    ["InvokeAI", "heun_k", ""],
  ],
  heun_exponential: [
    ["A1111", "Heun", "Exponential"],
    ["A1111", "Heun Exponential", ""],
    ["ComfyUI", "heun", "exponential"],
  ],
  heun_beta: [
    ["A1111", "Heun", "Beta"],
    ["A1111", "Heun Beta", ""],
    ["ComfyUI", "heun", "beta"],
  ],
  lms: [
    ["A1111", "LMS", "Uniform"],
    ["A1111", "LMS", "Normal"],
    ["A1111", "LMS", ""],
    ["A1111", "LMS", "Automatic"],
    ["ComfyUI", "lms", "normal"],
    ["ComfyUI", "lms", "simple"],
    ["InvokeAI", "lms", ""],
    ["diffusers", "LMSDiscreteScheduler", ""],
  ],
  lms_karras: [
    ["A1111", "LMS", "Karras"],
    ["A1111", "LMS Karras", ""],
    ["ComfyUI", "lms", "karras"],
    ["InvokeAI", "lms_k", ""],
  ],
  lms_exponential: [
    ["A1111", "LMS", "Exponential"],
    ["A1111", "LMS Exponential", ""],
    ["ComfyUI", "lms", "exponential"],
  ],
  lms_beta: [
    ["A1111", "LMS", "Beta"],
    ["A1111", "LMS Beta", ""],
    ["ComfyUI", "lms", "beta"],
  ],
  ddpm: [
    ["ComfyUI", "ddpm", "normal"],
    ["ComfyUI", "ddpm", "simple"],
    ["InvokeAI", "ddpm", ""],
    ["diffusers", "DDPMScheduler", ""],
  ],
  lcm: [
    ["A1111", "LCM", ""],
    ["A1111", "LCM", "Automatic"],
    ["ComfyUI", "lcm", "sgm_uniform"],
    ["ComfyUI", "lcm", "normal"],
    ["ComfyUI", "lcm", "simple"],
    ["InvokeAI", "lcm", ""],
    ["diffusers", "LCMScheduler", ""],
  ],
  tcd: [
    ["InvokeAI", "tcd", ""],
    ["diffusers", "TCDScheduler", ""],
  ],
  flow_euler: [
    ["ComfyUI", "euler", "normal"],
    ["ComfyUI", "euler", "simple"],
    ["diffusers", "FlowMatchEulerDiscreteScheduler", ""],
  ],
  flow_euler_karras: [["ComfyUI", "euler", "karras"]],
  flow_euler_exponential: [["ComfyUI", "euler", "exponential"]],
  flow_euler_beta: [["ComfyUI", "euler", "beta"]],
  flow_heun: [
    ["ComfyUI", "heun", "normal"],
    ["ComfyUI", "heun", "simple"],
    ["diffusers", "FlowMatchHeunDiscreteScheduler", ""],
  ],
} as const;

// wsd/models/fine_tunes.py: what a LoRA that was distilled for few steps needs, by name
export const FAST_VARIANTS = [
  {
    name: "lightning-2step",
    words: "\\blightning\\b.*\\b2 ?steps?\\b",
    architectures: ["stable-diffusion-xl"],
    scheduler: "euler_trailing",
    steps: 2,
    guidance: 0,
    eta: 0,
  },
  {
    name: "lightning-4step",
    words: "\\blightning\\b.*\\b4 ?steps?\\b",
    architectures: ["stable-diffusion-xl"],
    scheduler: "euler_trailing",
    steps: 4,
    guidance: 0,
    eta: 0,
  },
  {
    name: "lightning-8step",
    words: "\\blightning\\b.*\\b8 ?steps?\\b",
    architectures: ["stable-diffusion-xl"],
    scheduler: "euler_trailing",
    steps: 8,
    guidance: 0,
    eta: 0,
  },
  {
    name: "turbo",
    words: "\\bturbo\\b",
    architectures: ["stable-diffusion-xl"],
    scheduler: "euler_a_trailing",
    steps: 1,
    guidance: 0,
    eta: 0,
  },
  {
    name: "hyper-8step-cfg",
    words: "\\bhyper\\b.*\\b8 ?steps? cfg\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "ddim_trailing",
    steps: 8,
    guidance: 5,
    eta: 0,
  },
  {
    name: "hyper-12step-cfg",
    words: "\\bhyper\\b.*\\b12 ?steps? cfg\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "ddim_trailing",
    steps: 12,
    guidance: 5,
    eta: 0,
  },
  {
    name: "hyper-1step",
    words: "\\bhyper\\b.*\\b1 ?steps?\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "tcd",
    steps: 1,
    guidance: 0,
    eta: 1,
  },
  {
    name: "hyper-2step",
    words: "\\bhyper\\b.*\\b2 ?steps?\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "ddim_trailing",
    steps: 2,
    guidance: 0,
    eta: 0,
  },
  {
    name: "hyper-4step",
    words: "\\bhyper\\b.*\\b4 ?steps?\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "ddim_trailing",
    steps: 4,
    guidance: 0,
    eta: 0,
  },
  {
    name: "hyper-8step",
    words: "\\bhyper\\b.*\\b8 ?steps?\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "ddim_trailing",
    steps: 8,
    guidance: 0,
    eta: 0,
  },
  {
    name: "lcm-lora",
    words: "\\blcm\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "lcm",
    steps: 4,
    guidance: 1,
    eta: 0,
  },
  {
    name: "dmd2-4step",
    words: "\\bdmd2?\\b",
    architectures: ["stable-diffusion-xl"],
    scheduler: "lcm",
    steps: 4,
    guidance: 0,
    eta: 0,
  },
  {
    name: "tcd",
    words: "\\btcd\\b",
    architectures: ["stable-diffusion", "stable-diffusion-xl"],
    scheduler: "tcd",
    steps: 4,
    guidance: 0,
    eta: 0.3,
  },
] as const;
export const ADAPTER_TITLES = ["modelspec.title", "ss_output_name"] as const;
export const TRAINED_ON_PICTURES = [
  "ss_tag_frequency",
  "ss_dataset_dirs",
  "ss_num_train_images",
] as const;
export const TEXT_ENCODER_KEY = "(^|[._])(te\\d?|text_encoder(_\\d)?|clip_[lg])[._]";
export const RESIDUAL_KEY = "resnets[._]\\d+[._]conv|(^|[._])in_layers[._]";

// wsd/models/sd35/original_names.py: layers of a transformer in the original code
export const TRANSFORMER_TOP = {
  "x_embedder.proj": "pos_embed.proj",
  "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
  "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
  "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
  "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
  context_embedder: "context_embedder",
  "final_layer.linear": "proj_out",
  "final_layer.adaLN_modulation.1": "norm_out.linear",
} as const;
export const TRANSFORMER_LAYERS = {
  x: {
    "attn.proj": "attn.to_out.0",
    "attn.ln_q": "attn.norm_q",
    "attn.ln_k": "attn.norm_k",
    "attn2.proj": "attn2.to_out.0",
    "attn2.ln_q": "attn2.norm_q",
    "attn2.ln_k": "attn2.norm_k",
    "adaLN_modulation.1": "norm1.linear",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
  },
  context: {
    "attn.proj": "attn.to_add_out",
    "attn.ln_q": "attn.norm_added_q",
    "attn.ln_k": "attn.norm_added_k",
    "adaLN_modulation.1": "norm1_context.linear",
    "mlp.fc1": "ff_context.net.0.proj",
    "mlp.fc2": "ff_context.net.2",
  },
} as const;
export const TRANSFORMER_HEADS = {
  x: {
    "attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "attn2.qkv": ["attn2.to_q", "attn2.to_k", "attn2.to_v"],
  },
  context: { "attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"] },
} as const;
export const SWAPPED_TOP = "norm_out.linear";
export const SWAPPED_IN_LAST_BLOCK = "norm1_context.linear";

// wsd/spec/manifest.py: fields of SchedulerConfig that older manifests lack
export const SCHEDULER_DEFAULTS = {
  min_steps: 1,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_lu_lambdas: false,
  use_flow_sigmas: false,
  flow_shift: 1.0,
  final_sigmas_type: "zero",
  interpolation_type: "linear",
  timestep_type: "discrete",
  algorithm_type: "dpmsolver++",
  solver_order: 2,
  solver_type: "midpoint",
  lower_order_final: true,
  euler_at_final: false,
  round_timesteps: true,
  predict_x0: true,
  disable_corrector: [],
  skip_prk_steps: true,
  variance_type: "fixed_small",
} as const;

// wsd/spec/seed.py, inference_settings.py, wsd/runtime/request.py: limits of a request
export const MIN_SEED = -9223372036854775808n;
export const MAX_SEED = 18446744073709551615n;
export const MAX_GUIDANCE = 50.0;
export const MAX_IMAGES = 16;

// wsd/runtime/prompt_syntax.py: syntaxes of prompts, and their limits
export const PROMPT_SYNTAXES = ["plain", "a1111"] as const;
export const MOST_NESTED_BRACKETS = 100;
export const MOST_PROMPT_WEIGHT = 100;
export const COMMA_BACKTRACK = 20;

// wsd/runtime/given_picture.py: what a picture is drawn from with, where nobody says it
export const MASKED_FROM = 128;
export const DEFAULT_STRENGTH = 0.8;
export const DEFAULT_MASKED_STRENGTH = 1.0;

// wsd/spec/picture.py: how a given picture is fitted, and how large it may be in pixels
export const FITS = ["cover", "contain", "crop", "stretch"] as const;
export const LONGEST_SIDE = 16384;
export const MOST_PIXELS = 134217728;

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
  "conv_winograd_subgroup_matrix",
  "gemm_subgroup_matrix",
  "conv_winograd_f16",
  "gemm_tiled_f16",
  "conv_winograd_f32",
  "gemm_tiled_f32",
  "gemv_subgroups",
  "gemv_workgroup_sum",
  "attention_one_pass",
  "attention_subgroup_matrix",
  "attention_flash",
  "norm_sums_subgroups",
  "norm_sums_workgroup",
  "tuned",
] as const;

// wsd/kernels/choice.py: values of the option kernels, and what deprecated ones allow
export const AUTO = "auto";
export const GENERATED = "generated";
export const LEGACY_KERNEL_MODES = {
  tiled: [
    "conv_winograd_f32",
    "gemm_tiled_f32",
    "gemv_workgroup_sum",
    "attention_flash",
    "norm_sums_workgroup",
  ],
  subgroups: [
    "conv_winograd_f32",
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
  halves: [
    "conv_winograd_f16",
    "gemm_tiled_f16",
    "conv_winograd_f32",
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
  matrix: [
    "conv_winograd_subgroup_matrix",
    "gemm_subgroup_matrix",
    "conv_winograd_f16",
    "gemm_tiled_f16",
    "conv_winograd_f32",
    "gemm_tiled_f32",
    "gemv_subgroups",
    "gemv_workgroup_sum",
    "attention_one_pass",
    "attention_subgroup_matrix",
    "attention_flash",
    "norm_sums_subgroups",
    "norm_sums_workgroup",
  ],
} as const;

// wsd/spec/selection.py: rules for bundles without rules, and how conditions compare
export const SELECTION_TESTS = ["is", "below", "above", "lacks", "mentions"] as const;
export const SELECTION_RULES = {
  kernels: [
    {
      name: "fallback-adapter",
      reason: "the adapter computes on the processor, where written kernels are slower",
      when: [
        { fact: "adapter.fallback", test: "is", value: true },
        { fact: "candidate.tuned", test: "is", value: false },
        { fact: "asked.named", test: "is", value: false },
      ],
    },
    {
      name: "software-adapter",
      reason: "the adapter computes on the processor, where written kernels are slower",
      when: [
        {
          fact: "adapter.description",
          test: "mentions",
          value: ["swiftshader", "llvmpipe", "lavapipe"],
        },
        { fact: "candidate.tuned", test: "is", value: false },
        { fact: "asked.named", test: "is", value: false },
      ],
    },
    {
      name: "adapter-class",
      reason: "the variant's schedule was tuned on another class of adapters",
      when: [{ fact: "adapter.classes", test: "lacks", other: "candidate.adapter_classes" }],
    },
    {
      name: "kernel-features",
      reason: "the device lacks a WebGPU feature that the variant needs",
      when: [{ fact: "features", test: "lacks", other: "candidate.features" }],
    },
    {
      name: "workgroup-threads",
      reason: "a workgroup of the variant has more threads than the device allows",
      when: [
        {
          fact: "limits.maxComputeInvocationsPerWorkgroup",
          test: "below",
          other: "candidate.threads",
        },
      ],
    },
    {
      name: "shared-memory",
      reason: "a workgroup of the variant takes more shared memory than the device allows",
      when: [
        {
          fact: "limits.maxComputeWorkgroupStorageSize",
          test: "below",
          other: "candidate.shared_bytes",
        },
      ],
    },
    {
      name: "smallest-subgroup",
      reason: "subgroups may be smaller than the variant works with",
      when: [
        { fact: "adapter.subgroup_min_size", test: "below", other: "candidate.subgroup_min_size" },
      ],
    },
    {
      name: "largest-subgroup",
      reason: "subgroups may be larger than the variant works with",
      when: [
        { fact: "adapter.subgroup_max_size", test: "above", other: "candidate.subgroup_max_size" },
      ],
    },
    {
      name: "subgroup-matrix",
      reason: "the adapter has no subgroup matrix operation of the variant's size",
      when: [
        { fact: "adapter.subgroup_matrices", test: "lacks", other: "candidate.subgroup_matrices" },
      ],
    },
  ],
  precisions: [
    {
      name: "model-features",
      reason: "the adapter lacks a WebGPU feature that the model needs",
      when: [{ fact: "features", test: "lacks", other: "candidate.features" }],
    },
    {
      name: "model-limits",
      reason: "a limit of the adapter is below what the model needs",
      when: [{ fact: "limits", test: "below", other: "candidate.limits" }],
    },
    {
      name: "buffer-size",
      reason: "the adapter has no buffers for any picture size of the model",
      when: [{ fact: "limits.maxBufferSize", test: "below", other: "candidate.buffer_bytes" }],
    },
    {
      name: "binding-size",
      reason: "the adapter cannot bind buffers for any picture size of the model",
      when: [
        {
          fact: "limits.maxStorageBufferBindingSize",
          test: "below",
          other: "candidate.buffer_bytes",
        },
      ],
    },
  ],
} as const;

// wsd/spec/tolerances.py: largest relative errors and least PSNR (dB)
export const STAGE_TOLERANCE = 0.002;
export const LATENTS_TOLERANCE = 0.001;
export const PICTURE_PSNR = 40.0;
export const ROUNDING_PSNR = { f32: 40.0, f16: 35.0, w8a16: 30.0, w4a16: 24.0 } as const;
export const SELF_TEST_TOLERANCE = { f32: 0.001, f16: 0.01, w8a16: 0.1, w4a16: 0.3 } as const;
