/** Which sizes of a model a picture of another size can be enlarged to. */

import type { PictureSize } from "../index";

/** The factors by which pictures of a size can be enlarged to sizes of the same shape. */
export function enlargements(
  sizes: readonly PictureSize[],
  [width, height]: PictureSize,
): number[] {
  const found = sizes
    .filter(([w, h]) => w > width && w * height === h * width)
    .map(([w]) => w / width);
  return found.sort((one, other) => one - other);
}
