/**
 * Types of a bundle's JSON files: manifest.json, models/index.json and the self-test.
 * Generated from wsd/spec/manifest.py and wsd/spec/self_test.py: python -m tools.generate_types
 */

/** An adapter, such as a LoRA, that pages load while they run; its file lies beside it. */
export interface AdapterBundle {
  /** Version of this format. */
  version: 1;
  /** What people call it. */
  name: string;
  /** Name of the model family that it was checked against, as `wsd build --model` takes it. */
  family: string;
  /** Name of the `.safetensors` file, without a folder. */
  file: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
  /** Number of parameters that it changes. */
  layers: number;
  /** Words that it was trained with, as its metadata names them. */
  trigger_words: string[];
  /** Its licence as its metadata states it; empty if it states none. */
  license: string;
}

/** An adapter, such as a LoRA, that a build merged into the weights. */
export interface AdapterEntry {
  /** The file: its path on the hub and the commit, or its name. */
  source: string;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
  /** Factor on what it adds to the weights. */
  scale: number;
  /** Its licence as the file's metadata states it; empty if it states none. */
  license: string;
}

/** What was found for one `kernels.json` on one class of adapters. */
export interface ChoiceTable {
  /** Name of the model that was tuned; others that share its library have the same kernels. */
  model: string;
  /** Precision of that model. */
  dtype: string;
  /** SHA-256 of `kernels.json`. */
  kernels: string;
  /** SHA-256 of the library, whose generated kernels were timed too. */
  library: string;
  /** Vendor and architecture, as `adapter_class` of `wsd/kernels/variant.py` writes them. */
  adapter_class: string;
  /**
   * Vendor, architecture, device and description of the adapter, and its `features`.
   *
   * Features are those that variants may need, separated by spaces. Pages with others pass the
   * table over: what was lacking may be faster.
   */
  adapter: Record<string, string>;
  /** How many times as fast a picture of the model's default steps is, without the host's time. */
  gain: number;
  /** Whether all kernels were timed. */
  complete: boolean;
  /** Kernel to what was the fastest in it. */
  choices: Record<string, KernelChoice>;
}

/** Parameters of one component of the pipeline. */
export interface ComponentEntry {
  /** Folder in the diffusers layout that the weights came from; several entries may share it. */
  folder: string;
  /** What the component does in the pipeline. */
  role:
    | "text_encoder"
    | "layered_text_encoder"
    | "denoiser"
    | "guided_denoiser"
    | "chunked_denoiser"
    | "guided_chunked_denoiser"
    | "shallow_denoiser"
    | "guided_shallow_denoiser"
    | "vae_decoder"
    | "vae_decoder_tile"
    | "vae_encoder"
    | "vae_encoder_tile"
    | "safety_checker"
    | "image_to_rgba"
    | "rgba_to_image"
    | "linear_combination"
    | "masked_blend";
  /** Sum of the sizes of the shards in bytes. */
  bytes: number;
  /** Parameters in the order of the params tuple of the entry points. */
  records: ParameterRecord[];
  /** Files of the stream, in order. */
  shards: FileEntry[];
}

/** A comparison of a fact with a value or with another fact: exactly one of both is given. */
export interface Condition {
  /** What is compared, `adapter.vendor` for example. */
  fact: string;
  /**
   * `is`: both are equal. `below`, `above`: of numbers; of maps, any number of the second one.
   * `lacks`: a list has not all texts of the other. `mentions`: a text contains any of some texts,
   * in upper or lower case.
   */
  test: "is" | "below" | "above" | "lacks" | "mentions";
  /** What it is compared with. */
  value?: boolean | number | string | string[];
  /** The fact that it is compared with. */
  other?: string;
}

/** How prompts become what conditions the denoiser. */
export interface Conditioning {
  /** Ids of the text encoders, in the order in which they run. */
  encoders: string[];
  /**
   * How their outputs are joined: along the feature axis, or those of the last encoder behind the
   * others'.
   */
  join: "features" | "sequence";
  /** What a missing negative prompt means: the encoding of the empty text, or zeros. */
  empty_negative: "encode" | "zeros";
  /**
   * Ids of the text encoders that a page can leave out: where the states of one would be, the
   * denoiser gets zeros. Absent if all are needed.
   */
  optional?: string[];
}

/** Options of a picture where the caller gives none. */
export interface Defaults {
  /** Number of denoising steps. */
  steps: number;
  /** Scale of classifier-free guidance; up to 1 means none. */
  guidance_scale: number;
  /** Width and height in pixels. */
  size: readonly [number, number];
  /** Share of DDPM's noise that DDIM and TCD add at each step. */
  eta: number;
}

/**
 * How far the noise levels of flow matching are shifted for a picture, in diffusers' terms.
 *
 * The shift is linear in the picture's number of tokens in the denoiser.
 */
export interface DynamicShift {
  /** Shift for `base_image_seq_len` tokens. */
  base_shift: number;
  /** Shift for `max_image_seq_len` tokens. */
  max_shift: number;
  /** Tokens of a small picture. */
  base_image_seq_len: number;
  /** Tokens of a large picture. */
  max_image_seq_len: number;
  /** Whether the shift's exponential moves the noise levels, or the shift itself. */
  time_shift_type: "exponential" | "linear";
}

/** One compiled function of the library. */
export interface EntryPoint {
  /** Name by which the browser looks the function up. */
  name: string;
  /** What the function does in the pipeline. */
  role:
    | "text_encoder"
    | "layered_text_encoder"
    | "denoiser"
    | "guided_denoiser"
    | "chunked_denoiser"
    | "guided_chunked_denoiser"
    | "shallow_denoiser"
    | "guided_shallow_denoiser"
    | "vae_decoder"
    | "vae_decoder_tile"
    | "vae_encoder"
    | "vae_encoder_tile"
    | "safety_checker"
    | "image_to_rgba"
    | "rgba_to_image"
    | "linear_combination"
    | "masked_blend";
  /** Id of the component whose parameters it takes as its last argument, or null. */
  component: string | null;
  /** Width and height in pixels of the picture that it is for; null where any size will do. */
  size: readonly [number, number] | null;
  /** Tensors that it takes, in order, without the parameters. */
  inputs: TensorSpec[];
  /** Tensors that it returns, in order. */
  outputs: TensorSpec[];
  /** Names of the shaders that it runs. */
  kernels: string[];
  /** Bytes of GPU memory that one call works in, outputs included. */
  workspace_bytes: number;
  /** Bytes of the largest buffer that one call works in. */
  largest_buffer_bytes: number;
  /** Number of shaders that one call dispatches. */
  dispatches: number;
  /** Floating-point operations of one call, as TVM counts them. */
  operations: number;
}

/** A LoRA that the page offers with the model, as a safetensors file. */
export interface ExampleLora {
  /** Name of the file, without a folder. */
  file: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
  /** What people call it. */
  name: string;
  /** Number of parameters that it changes. */
  layers: number;
  /** Words that it was trained with, as its metadata names them. */
  trigger_words: string[];
  /** Its licence as its metadata states it; empty if it states none. */
  license: string;
}

/** A small picture of one of the examples, as a WebP file, and the settings that drew it. */
export interface ExamplePicture {
  /** Name of the file, without a folder. */
  file: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
  /** The example that it is of. */
  prompt: string;
  /** Everything that decided the picture, as the text of its PNG had it. */
  settings: string;
}

/** What is kept of one result: samples, and the root mean square of every block. */
export interface ExpectedOutput {
  /** A sample is taken every so many values, in row-major order. */
  stride: number;
  /** Values 0, stride, 2 stride and so on. */
  samples: number[];
  /** Number of values in a block. */
  block: number;
  /** Root mean square of each block; the last block may be shorter. */
  rms: number[];
}

/** One call of one entry point. */
export interface ExpectedStage {
  /** Name of the compiled function. */
  entry_point: string;
  /** Name of the input to its values. */
  inputs: Record<string, SeededInput | GivenInput>;
  /** Name of the output to what it must be close to. */
  outputs: Record<string, ExpectedOutput>;
}

/** One file beside the manifest. */
export interface FileEntry {
  /** Name of the file, without a folder. */
  file: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
}

/** How a scheduler of flow matching places its noise levels. */
export interface FlowLevels {
  /** Least noise level of the training, as diffusers has shifted it. */
  sigma_min: number;
  /** Most noise level of the training, likewise. */
  sigma_max: number;
  /** Shift of the levels between these two towards more noise, Esser et al. 2024, eq. 23. */
  shift: number;
  /** Shift by the picture's size, which then takes the place of `shift`; absent for none. */
  dynamic?: DynamicShift;
  /** Last noise level before 0, to which all of them are stretched; absent for none. */
  terminal?: number;
  /** Whether a step goes to the clean latents that are predicted, and adds fresh noise to them. */
  stochastic: boolean;
}

/** A tensor whose values are listed. */
export interface GivenInput {
  /** The values in row-major order. */
  values: number[];
}

/**
 * One model of a bundle's `models/index.json`, in weights of one precision.
 *
 * Entries that share a name are one model; the page takes the first that fits the GPU.
 */
export interface IndexEntry {
  /** Name of the model. */
  name: string;
  /** One line for people. */
  title: string;
  /** How the weights are stored. */
  dtype: "f32" | "f16" | "w8a16" | "w4a16";
  /** Folder of the manifest relative to the index, with a slash at its end. */
  manifest: string;
  /** Digest of the manifest, as `SRI.json` has it; absent in bundles of older versions. */
  integrity?: string;
  /**
   * True if the page checks finished pictures with the model's safety checker, and blurs those that
   * are flagged; absent if it does not.
   */
  safety_checker?: true;
}

/** What runs in a kernel. */
export interface KernelChoice {
  /** Name of a variant, or `generated` for the kernel that TVM generated. */
  variant: string;
  /** Which of the kernel's variants of that name it is, from 0. */
  index: number;
  /** What a workgroup of it computes at a time, in words; missing for variants without. */
  tile?: string;
}

/** The whole file. */
export interface KernelChoices {
  /** Version of this format. */
  version: 1;
  /** Sorted by model, precision, class of adapters and digest; in a bundle one for each class. */
  tables: ChoiceTable[];
}

/** Colour of a pixel of the latents, from -1 to 1: weights times latents plus bias. */
export interface LatentPreview {
  /** Rows for red, green and blue, one factor for each channel of the latents. */
  weights: readonly [number[], number[], number[]];
  /** Red, green and blue of zero latents. */
  bias: readonly [number, number, number];
}

/** The space that the denoiser works in and the VAE decodes. */
export interface LatentSpace {
  /** Channels of the latents that the VAE decodes. */
  channels: number;
  /** Pixels of the image per pixel of the latents, each way. */
  scale_factor: number;
  /** Factor on the VAE's latents that gives the denoiser's; the decoder divides by it. */
  scaling_factor: number;
  /** Subtracted from the VAE's latents before they are scaled; the decoder adds it. */
  shift_factor: number;
  /**
   * Mean of each channel of the VAE's latents, which is subtracted from what the encoder gives;
   * absent where the model does not normalise channels. The decoder adds it.
   */
  mean?: number[];
  /**
   * Standard deviation of each channel, by which what the encoder gives is divided; absent
   * likewise.
   */
  std?: number[];
  /** Edge in latent pixels of what is one token of the denoiser; absent where that is one. */
  patch_size?: number;
}

/**
 * Everything that a page needs to draw with one model.
 *
 * Files lie beside the manifest, and nothing is inferred from their names.
 */
export interface Manifest {
  /** Version of this format. */
  schema_version: 2;
  model: ModelEntry;
  /** Key of the browser's registry of pipelines, `text-to-image` for example. */
  pipeline: string;
  /** The compiled functions: one WebAssembly module. */
  library: FileEntry;
  entry_points: EntryPoint[];
  /** Component id to its parameters. */
  components: Record<string, ComponentEntry>;
  conditioning: Conditioning;
  /** Component id of a text encoder to its tokenizer. */
  tokenizers: Record<string, TokenizerEntry>;
  latent_space: LatentSpace;
  noise_schedule: NoiseSchedule;
  schedulers: Schedulers;
  defaults: Defaults;
  /** Prompts to offer. */
  examples: string[];
  preview: LatentPreview;
  requires: Requirements;
  /** One entry for each picture size and way of drawing it from text. */
  peak_bytes: PeakMemory[];
  /** Tool to the version that made the library. */
  toolchain: Record<string, string>;
  /** Hand-written variants of the library's shaders; absent if there are none. */
  kernels?: FileEntry;
  /**
   * Which variant was the fastest in each kernel on some classes of adapters; absent if it was
   * built without.
   */
  kernel_choices?: FileEntry;
  /** What each stage must give, for the self-test page; absent if it was not built with them. */
  self_test?: FileEntry;
  /**
   * As `peak_bytes`, where a picture is given and the VAE encodes it first; absent for a model
   * without an encoder.
   */
  image_peak_bytes?: PeakMemory[];
  /** How pictures are prepared for the safety checker; absent for a model without one. */
  safety_checker?: SafetyChecker;
  /** The checkpoint's card, licences and notices, as texts for people. */
  documents: FileEntry[];
  /** Pictures of the examples, as far as they have one. */
  example_pictures: ExamplePicture[];
  /** LoRAs that the page offers with the model; absent if there are none. */
  example_loras?: ExampleLora[];
  /**
   * Which kernel variants and which precision run; absent in bundles of earlier versions, which the
   * page's own rules are for.
   */
  selection?: SelectionRules;
}

/** What the model is, for people and for tools. */
export interface ModelEntry {
  /** Name on the page: `wsd build --name`, or that of the family. */
  name: string;
  /** One line for people. */
  title: string;
  /** Class of diffusers that draws the same pictures. */
  pipeline: string;
  /** How the weights are stored; sums are float32 in every precision. */
  dtype: "f32" | "f16" | "w8a16" | "w4a16";
  /** The checkpoint: a hub id and commit, or the name of a file or folder. */
  source: string;
  /** What was said of the checkpoint where it was built: option of `wsd build` to value. */
  options: Record<string, string>;
  /** Licence of the weights as the checkpoint states it; empty if it states none. */
  license: string;
  /** Component id to the SHA-256 of each file that its weights were read from. */
  weights: Record<string, string[]>;
  /** Name of the model family, as `wsd build --model` takes it; empty if it is `name`. */
  family: string;
  /**
   * Adapters that are merged into the weights, in the order in which they were applied; absent if
   * there are none.
   */
  adapters?: AdapterEntry[];
}

/** The noise that the model was trained with. */
export interface NoiseSchedule {
  /**
   * A variance-preserving process with noise levels at whole timesteps, Ho et al. 2020, or flow
   * matching: clean latents times (1 - level) and noise times a level from 1 to 0, Esser et al.
   * 2024.
   */
  kind: "discrete" | "flow";
  /** What the denoiser predicts: noise, velocity, clean latents, or the flow to them. */
  prediction_type: "epsilon" | "v_prediction" | "sample" | "flow_prediction";
  /** Number of timesteps. */
  num_train_timesteps: number;
  /**
   * Product of (1 - beta) up to each timestep, as diffusers computes it in float32; empty for flow
   * matching.
   */
  alphas_cumprod: number[];
}

/** Place of one parameter in its component's stream, which is its shards laid end to end. */
export interface ParameterRecord {
  /** Name in the state dict; the scales of int8 and int4 weights follow them, `<name>.scale`. */
  name: string;
  /** Shape in which the values are stored: a convolution's is (out, height, width, in). */
  shape: number[];
  /** How values are stored: all but float32 are packed, low bits first, into uint32 words. */
  dtype: "float32" | "float16" | "int8" | "int4";
  /** Where in the stream it begins, in bytes. */
  offset: number;
  /** Its size in bytes, padded to a multiple of 4. */
  bytes: number;
}

/** The most GPU memory that drawing one picture takes, as the compiler planned it. */
export interface PeakMemory {
  /** Width and height of the picture in pixels. */
  size: readonly [number, number];
  /** Whether the parameters of only one stage at a time are on the GPU. */
  offload: boolean;
  /** Whether the picture is decoded in tiles, and one that is given is encoded in tiles. */
  tiling: boolean;
  /** The most GPU memory at one time, in bytes. */
  bytes: number;
}

/** What WebGPU must offer for any picture; what a size needs beyond is in its entry points. */
export interface Requirements {
  /** Names of WebGPU features. */
  features: string[];
  /** Name of a WebGPU limit to the least value that will do. */
  limits: Record<string, number>;
}

/** A rule that refuses a candidate if all of its conditions hold. */
export interface Rule {
  /** By which reports and the option `ignoredRules` know it. */
  name: string;
  /** Why the candidate does not run then, for people. */
  reason: string;
  /** All of them must hold. */
  when: Condition[];
}

/**
 * The component that looks at finished pictures, where a page asks for it.
 *
 * A picture is prepared as transformers' `CLIPImageProcessor` does: resized bicubically, the middle
 * cut out, and normalised.
 */
export interface SafetyChecker {
  /** Pixels of the shorter edge after resizing. */
  resize: number;
  /** Subtracted from red, green and blue, of values from 0 to 1. */
  mean: readonly [number, number, number];
  /** What red, green and blue are divided by afterwards. */
  std: readonly [number, number, number];
  /** Where it comes from: a hub id and commit, or the name of a folder. */
  source: string;
  /** Its licence as its card states it; empty if it states none. */
  license: string;
}

/** Configuration of one scheduler, in diffusers' terms. */
export interface SchedulerConfig {
  /** Key of the browser's registry of schedulers, `web/src/pipeline/schedulers/index.ts`. */
  algorithm: string;
  /** Name for people. */
  title: string;
  /** Most steps that it can take. */
  max_steps: number;
  /** How timesteps are spaced, Table 2 of Lin et al. 2023. */
  timestep_spacing: "linspace" | "leading" | "trailing";
  /** Added to timesteps of leading spacing. */
  steps_offset: number;
  /** Whether noise levels follow eq. 5 of Karras et al. 2022. */
  use_karras_sigmas: boolean;
  /** Value that stands for `alphas_cumprod` before the first timestep. */
  final_alpha_cumprod: number;
  /** Steps of the schedule that a consistency model was distilled from. */
  original_inference_steps: number;
  /** Factor on the timestep in a consistency model's boundary conditions. */
  timestep_scaling: number;
  /** Fewest steps that it can take. */
  min_steps: number;
  /**
   * Last value of `alphas_cumprod` where this scheduler's differs from the noise schedule's: with
   * zero terminal SNR some keep it above 0.
   */
  terminal_alpha_cumprod?: number;
  /**
   * Largest noise level of the training in float32, where torch's differs in its last bit from the
   * nearest value.
   */
  largest_sigma?: number;
  /**
   * Its logarithm, where numpy's differs likewise. Both decide whether a multistep solver's first
   * timestep is rounded down to the one before.
   */
  largest_log_sigma?: number;
  /** Whether noise levels are spaced evenly in their logarithm. */
  use_exponential_sigmas: boolean;
  /** Whether noise levels follow a beta distribution, Lee et al. 2024. */
  use_beta_sigmas: boolean;
  /** Whether noise levels are spaced evenly in their logarithm, at whole timesteps. */
  use_lu_lambdas: boolean;
  /** Whether noise levels are those of flow matching, which go from 1 to 0. */
  use_flow_sigmas: boolean;
  /** Shift of flow matching's noise levels towards more noise. */
  flow_shift: number;
  /** Smallest noise level of Karras, exponential, beta spacing; absent for the timesteps' own. */
  sigma_min?: number;
  /** Largest noise level of Karras, exponential, beta spacing; absent for the timesteps' own. */
  sigma_max?: number;
  /** Noise level after the last step: none, or the least of the training. */
  final_sigmas_type: "zero" | "sigma_min";
  /** How Euler's method finds noise levels between two timesteps. */
  interpolation_type: "linear" | "log_linear";
  /**
   * Whether the denoiser is given the timestep, or with velocities a quarter of the noise level's
   * logarithm.
   */
  timestep_type: "discrete" | "continuous";
  /** Which of the DPM solvers: noise or data prediction, of the ODE or the SDE. */
  algorithm_type: "dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++";
  /** Order of a multistep solver. */
  solver_order: number;
  /** Variant of a multistep solver's update: of DPM-Solver, UniPC or DEIS. */
  solver_type: "midpoint" | "heun" | "bh1" | "bh2" | "logrho";
  /** Whether the last steps of a multistep solver take lower orders. */
  lower_order_final: boolean;
  /** Whether the last step of DPM-Solver is Euler's. */
  euler_at_final: boolean;
  /** Number of timesteps that DPM-Solver uses, where `lambda_min_clipped` leaves some out. */
  last_timestep?: number;
  /** Whether DPM-Solver rounds the timesteps of Karras' noise levels. */
  round_timesteps: boolean;
  /** Whether UniPC works with clean latents rather than with noise. */
  predict_x0: boolean;
  /** Steps after which UniPC corrects nothing. */
  disable_corrector: number[];
  /** Whether PNDM starts without Runge-Kutta steps. */
  skip_prk_steps: boolean;
  /** How much noise DDPM draws in a step. */
  variance_type: "fixed_small" | "fixed_small_log" | "fixed_large";
  /** Noise levels of flow matching; absent for schedulers of other models. */
  flow?: FlowLevels;
}

/**
 * Everything about one scheduler of a model that decides a run, but for the run's options.
 *
 * It is a file of its own beside the manifest, whose `schedulers.constants` names it.
 */
export interface SchedulerConstants {
  /** Name of the scheduler, as the manifest has it. */
  name: string;
  /** Its configuration, which the manifest has too. */
  config: SchedulerConfig;
  /** The noise that the model was trained with, which the manifest has too. */
  noise_schedule: NoiseSchedule;
}

/** The schedulers that can draw with the model. */
export interface Schedulers {
  /** Name of the one that the checkpoint means. */
  default: string;
  /** Name to configuration. */
  available: Record<string, SchedulerConfig>;
  /**
   * Name to the file of its constants, which a page draws with; absent in bundles of older
   * versions, whose pages take them from the manifest.
   */
  constants?: Record<string, FileEntry>;
}

/** A tensor of normal noise. */
export interface SeededInput {
  /** Seed of `torch.Generator().manual_seed`; the browser draws the same numbers. */
  seed: number;
}

/** Which candidates do not run; the first one that no rule refuses is taken. */
export interface SelectionRules {
  /** For the variants of a kernel; the generated kernel runs where all of them are refused. */
  kernels: Rule[];
  /** For a model in weights of one precision. */
  precisions: Rule[];
}

/** The self-test file of a bundle. */
export interface SelfTest {
  stages: ExpectedStage[];
}

/**
 * One tensor that an entry point takes or returns.
 *
 * Attributes:     name: by which callers pass it or find it.     shape: length of each axis.
 * dtype: type of its values.
 */
export interface TensorSpec {
  name: string;
  shape: number[];
  dtype: "float32" | "int32";
}

/** A tokenizer: `tokenizer.json` of Hugging Face's tokenizers, and how to pad. */
export interface TokenizerEntry {
  /** Name of the file, without a folder. */
  file: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** SHA-256 of the file in lower-case hexadecimal. */
  sha256: string;
  /** Number of tokens that a text is cut or padded to. */
  max_length: number;
  /** Token that begins a text; absent where none does, as with T5. */
  bos_token_id?: number;
  /** Token that ends a text. */
  eos_token_id: number;
  /** Token that fills a text up to `max_length`. */
  pad_token_id: number;
}
