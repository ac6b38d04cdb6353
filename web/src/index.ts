/** The public API: everything that the package and the page's client.js export. */

export { StableDiffusionPipeline } from "./api/client";
export {
  AbortError,
  DeviceLostError,
  ERROR_CLASSES,
  FetchError,
  IntegrityError,
  OptionError,
  OutOfMemoryError,
  throwIfAborted,
  UnsupportedError,
  WsdError,
} from "./api/errors";
export { chooseVariant, listModels } from "./api/model_index";
export type { Choice, ListedModel, Variant } from "./api/model_index";
export type { GenerateOptions } from "./api/options";
export type { FoundSettings } from "./settings/found_settings";
export { isPng, readText, writeText } from "./settings/png";
export { preflight } from "./api/preflight";
export type { Preflight } from "./api/preflight";
export type { OnProgress, ProgressEvent } from "./api/progress";
export { readSettings } from "./settings/read_settings";
export { findScheduler } from "./settings/sampler_names";
export type { KnownSampler } from "./settings/sampler_names";
export { parseSeed } from "./settings/seed";
export type { Seed } from "./settings/seed";
export { formatSettings, parseSettings } from "./settings/infotext";
export type { Settings } from "./settings/infotext";
export type {
  DrawOptions,
  Generated,
  IntegrityOptions,
  LoadOptions,
  OnNotice,
  StageReport,
  Timings,
  Usage,
} from "./api/types";
export { compiledSizes, selfTestProblem } from "./bundle/manifest";
export type { Manifest } from "./bundle/manifest";
