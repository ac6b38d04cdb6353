/** The public API: everything that the package and the page's client.js export. */

export { StableDiffusionPipeline } from "./api/client";
export type { CallOptions } from "./api/client";
export {
  AbortError,
  BusyError,
  DeviceLostError,
  FetchError,
  IntegrityError,
  LoraError,
  OptionError,
  OutOfMemoryError,
  UnloadedError,
  UnsupportedError,
  WsdError,
} from "./util/errors";
export { isKept, listKept, purge, purgeAll, purgeFile } from "./api/kept_models";
export type { KeptModel } from "./api/kept_models";
export type {
  AppliedLora,
  LoadedLora,
  LoraOptions,
  LoraSource,
  SuggestedSettings,
} from "./api/lora";
export type {
  FetchFunction,
  FetchOptions,
  LogLevel,
  LogOptions,
  WorkerOptions,
} from "./api/load_options";
export { chooseVariant, listModels } from "./api/model_index";
export type { Choice, ChooseOptions, ListedModel, ListOptions, Variant } from "./api/model_index";
export type {
  Fit,
  GenerateOptions,
  ImageInput,
  MaskedContent,
  Outpaint,
  OutputName,
  OutputTypes,
  PageElement,
  PictureOptions,
  Posterior,
  ConditionSize,
  CropCorner,
  Prompt,
  PromptEmbeddings,
  PromptOptions,
  PromptSyntax,
  Scheduler,
  SecondPass,
  SizeConditions,
  Upscale,
} from "./api/options";
export type { FoundPicture, FoundSettings } from "./settings/found_settings";
export { hasSyntax, splitTags } from "./settings/prompt_syntax";
export type { SplitPrompt } from "./settings/prompt_syntax";
export { isPng, readText, writeText } from "./settings/png";
export { suggestSettings } from "./adapters/fast_variants";
export type { InversionOptions, LoadedInversion } from "./api/inversion";
export type { Complete, MergedSettings, SettingsLayer } from "./bundle/inference_settings";
export { tileSizes } from "./bundle/tiles";
export type {
  DecodeSettings,
  DiffusionSettings,
  LatentSettings,
  QuantizationSettings,
  SchedulerSettings,
  SwapperSettings,
  TextEncoderSettings,
  TilingSettings,
} from "./util/settings_schema.generated";
export { preflight } from "./api/preflight";
export type { Preflight, PreflightOptions } from "./api/preflight";
export type {
  DecodeStage,
  DenoiseStage,
  EncodeStage,
  LibraryStage,
  LoraStage,
  OnProgress,
  OverallProgress,
  ParametersStage,
  PipelinesStage,
  ProgressEvent,
  SafetyStage,
  SelfTestStage,
  StageEvent,
  TextStage,
  TuneStage,
} from "./api/progress";
export type { TunedFunction, TuneOptions, TuneReport, Tuning, VariantChoice } from "./api/tuning";
export { formatLink, parseLink } from "./settings/link";
export { isLoraName, readLoraTags, writeLoraTags } from "./settings/lora_tags";
export type { TaggedLoras } from "./settings/lora_tags";
export type { LinkName, LinkValues } from "./settings/link";
export { readSettings, readSettingsText } from "./settings/read_settings";
export { findScheduler } from "./settings/sampler_names";
export type { DiffusersScheduler, KnownSampler } from "./settings/sampler_names";
export { parseSeed } from "./settings/seed";
export type { Seed } from "./settings/seed";
export { formatSettings, parseSettings } from "./settings/infotext";
export type { PictureSettings, SecondPassSettings, Settings } from "./settings/infotext";
export { DEFAULT_MASKED_STRENGTH, DEFAULT_STRENGTH } from "./util/constants.generated";
export {
  DEFAULT_MASKED_PADDING,
  DEFAULT_SECOND_SCALE,
  DEFAULT_SECOND_STRENGTH,
  FITS,
  MASKED_CONTENTS,
  PROMPT_SYNTAXES,
  UPSCALES,
} from "./util/option_values";
export type {
  Concurrency,
  CountOptions,
  DrawOptions,
  EncodedImage,
  EncodeImageOptions,
  EncodeOptions,
  Generated,
  GenerationResult,
  IntegrityOptions,
  LoadOptions,
  LoadTimes,
  OnNotice,
  PictureReport,
  PictureSize,
  Rectangle,
  SafetyReport,
  StageReport,
  Timings,
  TokenCount,
  Usage,
} from "./api/types";
export {
  compiledSizes,
  guidanceLayers,
  hasDeepCache,
  hasEncoder,
  hasSafetyChecker,
  maxClipSkip,
  selfTestProblem,
} from "./bundle/manifest";
export { describeFit, nearestSize } from "./picture/fit";
export type { Fitting } from "./picture/fit";
export { readPicture } from "./picture/read_picture";
export { needsMask } from "./pipeline/generation_request";
// A manifest, and all that it is made of.
export type {
  AdapterEntry,
  ComponentEntry,
  Condition,
  Conditioning,
  Defaults,
  DynamicShift,
  EntryPoint,
  ExampleLora,
  ExamplePicture,
  FileEntry,
  FlowLevels,
  LatentPreview,
  LatentSpace,
  Manifest,
  ModelEntry,
  NoiseSchedule,
  ParameterRecord,
  PeakMemory,
  Requirements,
  Rule,
  SafetyChecker,
  SchedulerConfig,
  Schedulers,
  SelectionRules,
  Size,
  TensorSpec,
  TokenizerEntry,
} from "./bundle/manifest";
