/** Progress of loading, drawing and testing. */

/** Progress in bytes or pipelines while loading, in steps while drawing. */
export interface ProgressEvent {
  stage: "library" | "pipelines" | "parameters" | "text" | "denoise" | "decode" | "self-test";
  file?: string;
  loaded: number;
  total: number;
  /** Index of the picture, where several are drawn. */
  image?: number;
  /** The predicted picture, one pixel for each latent pixel, every `previewEvery` steps. */
  preview?: ImageData;
}
export type OnProgress = (event: ProgressEvent) => void;

/** Make a callback that adds up increments of bytes and reports the sum. */
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
