/** One progress shape for everything that takes long. */

/** Bytes while loading, steps while drawing. */
export interface ProgressEvent {
  stage: "library" | "pipelines" | "parameters" | "text" | "denoise" | "decode" | "self-test";
  file?: string;
  loaded: number;
  total: number;
  /** Which of several pictures, from 0. */
  image?: number;
  /** The predicted picture, a pixel a latent pixel, on the steps that `previewEvery` names. */
  preview?: ImageData;
}
export type OnProgress = (event: ProgressEvent) => void;

/** Turn increments of bytes into progress events. */
export function countProgress(
  report: OnProgress,
  stage: ProgressEvent["stage"],
  total: number,
  file?: string,
): (count: number) => void {
  let loaded = 0;
  return (count) => {
    loaded += count;
    report({ stage, loaded, total, ...(file === undefined ? {} : { file }) });
  };
}
