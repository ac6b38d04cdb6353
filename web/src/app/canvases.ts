/** Canvases that show a picture: whole, or a smaller copy. */

/** Put a picture on a canvas of its size. */
export function canvasOf(pixels: ImageData): HTMLCanvasElement {
  const canvas = makeCanvas(pixels.width, pixels.height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * Draw a smaller copy of a canvas.
 *
 * @param longest pixels of the copy's longer side, at most; a smaller canvas is copied as it is.
 */
export function shrinkCanvas(whole: HTMLCanvasElement, longest: number): HTMLCanvasElement {
  const scale = Math.min(1, longest / Math.max(whole.width, whole.height));
  const side = (pixels: number): number => Math.max(1, Math.round(pixels * scale));
  const small = makeCanvas(side(whole.width), side(whole.height));
  const context = small.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, small.width, small.height);
  return small;
}

function makeCanvas(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}
