/** Progress of loading, drawing and testing. */

/** What all events have; those that other events have besides can be read from all of them. */
interface Amount {
  /** How much of the stage is done: bytes, pipelines, steps or stages of the test. */
  loaded: number;
  /** How much the stage has to do. */
  total: number;
  file?: string;
  image?: number;
  images?: number;
  preview?: ImageData;
  /** 2 in a second pass; absent in the first. */
  pass?: 2;
}

/** The compiled model is fetched; amounts are bytes. */
export interface LibraryStage extends Amount {
  stage: "library";
  /** Name of the file. */
  file: string;
}
/** GPU pipelines are compiled; amounts are pipelines. */
export interface PipelinesStage extends Amount {
  stage: "pipelines";
}
/** The weights are fetched and brought to the GPU; amounts are bytes. */
export interface ParametersStage extends Amount {
  stage: "parameters";
}
/** A LoRA's file is read; amounts are bytes. The weights that it changes follow as `parameters`. */
export interface LoraStage extends Amount {
  stage: "lora";
}
/** The pictures that are given are encoded; amounts are pictures, 0 when that begins. */
export interface EncodeStage extends Amount {
  stage: "encode";
  /** How many pictures the call draws. */
  images: number;
}
/** The prompts are encoded: 0 when that begins. */
export interface TextStage extends Amount {
  stage: "text";
  /** How many pictures the call draws. */
  images: number;
}
/** The latents of a picture are denoised; amounts are steps, 0 when that begins. */
export interface DenoiseStage extends Amount {
  stage: "denoise";
  /** Index of the picture among those that the call draws. */
  image: number;
  /** How many pictures the call draws. */
  images: number;
  /** The predicted picture, one pixel for each latent pixel, every `previewEvery` steps. */
  preview?: ImageData;
}
/** A picture is decoded: 0 of 1 when that begins, 1 of 1 when it is done. */
export interface DecodeStage extends Amount {
  stage: "decode";
  /** Index of the picture among those that the call draws. */
  image: number;
  /** How many pictures the call draws. */
  images: number;
}
/** A finished picture is checked: 0 of 1 when that begins, 1 of 1 when it is done. */
export interface SafetyStage extends Amount {
  stage: "safety";
  /** Index of the picture among those that the call draws. */
  image: number;
  /** How many pictures the call draws. */
  images: number;
}
/** The self-test runs; amounts are compiled functions. */
export interface SelfTestStage extends Amount {
  stage: "self-test";
}

/** Kernels are timed; amounts are milliseconds of the time that this may take. */
export interface TuneStage extends Amount {
  stage: "tune";
}

/** How far one stage of a call is; each has its own amounts. */
export type StageEvent =
  | LibraryStage
  | PipelinesStage
  | ParametersStage
  | LoraStage
  | EncodeStage
  | TextStage
  | DenoiseStage
  | DecodeStage
  | SafetyStage
  | SelfTestStage
  | TuneStage;

/** How far a whole call is. */
export interface OverallProgress {
  /**
   * Share of the whole call that is done, from 0 to 1. It never falls within a call, not even
   * where the model is loaded again meanwhile.
   */
  overall: number;
  /** Estimate of the time that the call still takes, in milliseconds; null while unknown. */
  remainingMs: number | null;
}

/** What a call reports: how far its current stage is, and how far all of it. */
export type ProgressEvent = StageEvent & OverallProgress;

/** Called with the progress of a call. */
export type OnProgress = (event: ProgressEvent) => void;

/** Called with the progress of single stages, by code that does not know the whole call. */
export type OnStage = (event: StageEvent) => void;

/** How often an amount that grows in small steps is reported at most, about. */
const MOST_REPORTS = 500;

/**
 * Make a callback that adds up increments and reports the sum. Bytes arrive in tens of thousands of
 * pieces, and a report goes from one thread to another: increments of less than 1/500 of all are
 * reported together.
 */
export function countProgress(
  report: (loaded: number, total: number) => void,
  total: number,
): (count: number) => void {
  const thinned = thinProgress(report);
  let loaded = 0;
  return (count) => {
    loaded += count;
    thinned(loaded, total);
  };
}

/** Make a callback that reports sums: the first one, the whole, and those that differ enough. */
export function thinProgress(
  report: (loaded: number, total: number) => void,
): (loaded: number, total: number) => void {
  let last: number | undefined;
  return (loaded, total) => {
    const differs = last === undefined || Math.abs(loaded - last) >= total / MOST_REPORTS;
    if (!differs && loaded !== total) return;
    last = loaded;
    report(loaded, total);
  };
}

/** The share of a call that loading the model again takes, where the call's own work follows. */
export const LOADING_SHARE = 0.5;

/**
 * Joins the progress of the phases of one call, such as loading a model again and then drawing
 * with it, into one share that never falls.
 */
export class CallProgress {
  private overall = 0;

  constructor(private readonly report: OnProgress) {}

  /**
   * Begin a phase.
   *
   * @param share of what is left of the call, how much the phase is; less than 1 if others follow.
   * @returns what is called with the progress of the phase, whose `overall` begins at 0 again.
   */
  phase(share = 1): OnProgress {
    const start = this.overall;
    return (event) => {
      const reached = start + (1 - start) * share * event.overall;
      this.overall = Math.min(1, Math.max(this.overall, reached));
      const remainingMs = share < 1 ? null : event.remainingMs;
      this.report({ ...event, overall: this.overall, remainingMs });
    };
  }
}
