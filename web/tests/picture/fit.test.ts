import { expect, test } from "vitest";

import type { PictureSize } from "../../src/api/types";
import { nearestSize } from "../../src/picture/fit";
import { OptionError } from "../../src/util/errors";

const SIZES: PictureSize[] = [
  [512, 512],
  [768, 512],
  [512, 768],
  [1024, 1024],
];

test.each<[PictureSize, PictureSize]>([
  [
    [700, 500],
    [768, 512],
  ],
  [
    [513, 512],
    [512, 512],
  ],
  [
    [900, 900],
    [1024, 1024],
  ],
  [
    [64, 4096],
    [512, 768],
  ],
])(
  "the size for a picture of %j has the nearest shape, and of those the nearest area",
  (given, size) => {
    expect(nearestSize(given, SIZES)).toEqual(size);
    // The order of the sizes decides nothing.
    expect(nearestSize(given, [...SIZES].reverse())).toEqual(size);
  },
);

test.each<[unknown, unknown]>([
  [[0, 512], SIZES],
  [[512.5, 512], SIZES],
  [[512, 512], []],
  [[512, 512], [[512, 0]]],
])("of %j, and the sizes %j, none is chosen", (given, sizes) => {
  const choose = (): unknown => nearestSize(given as PictureSize, sizes as PictureSize[]);
  expect(choose).toThrow(OptionError);
});
