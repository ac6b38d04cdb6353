/** Parts the pictures that the safety checker takes for unsuitable from those that are shown. */

import type { Generated } from "../index";

/** What the page does with the pictures of a call. */
export interface Parted {
  /** What is shown in the frame: the pictures that are kept, or the last one, to be blurred. */
  shown: ImageData[];
  /** What goes to the gallery. */
  kept: Pick<Generated, "images" | "imageSettings" | "toBlob">;
  /** How many pictures are hidden. */
  hidden: number;
}

/** Part the pictures of a call; nothing is hidden where nothing was checked. */
export function partFlagged({
  images,
  imageSettings,
  toBlob,
  safety = [],
}: Pick<Generated, "images" | "imageSettings" | "toBlob" | "safety">): Parted {
  const places = [...images.keys()].filter((index) => safety[index]?.flagged !== true);
  const kept = {
    images: places.map((index) => images[index]!),
    imageSettings: places.map((index) => imageSettings[index]!),
    toBlob: (index = 0) => toBlob(places[index]),
  };
  const hidden = images.length - places.length;
  return { shown: places.length > 0 ? kept.images : images.slice(-1), kept, hidden };
}
