/** Which part of a picture the painter shows: fitted, zoomed and moved. */

import fc from "fast-check";
import { expect, test } from "vitest";

import { fitView, moveView, reveal, toBox, toPicture, zoomView } from "../../src/app/mask/view";

const PICTURE = { width: 200, height: 100 };
const BOX = { width: 400, height: 400 };

test("the whole picture is shown in the middle", () => {
  expect(fitView(PICTURE, BOX)).toEqual({ scale: 2, left: 0, top: 100 });
  expect(fitView({ width: 100, height: 200 }, BOX)).toEqual({ scale: 2, left: 100, top: 0 });
});

test("places of the picture and points of the box are each other's inverse", () => {
  const view = zoomView(fitView(PICTURE, BOX), 3, { x: 10, y: 300 }, PICTURE, BOX);
  const place = { x: 12.25, y: 99 };
  const again = toPicture(view, toBox(view, place));
  expect(again.x).toBeCloseTo(place.x, 9);
  expect(again.y).toBeCloseTo(place.y, 9);
});

test("zooming keeps the pixel below the pointer where it is", () => {
  const around = { x: 120, y: 180 };
  const before = fitView(PICTURE, BOX);
  const after = zoomView(before, 4, around, PICTURE, BOX);
  expect(after.scale).toBe(8);
  expect(toPicture(after, around)).toEqual(toPicture(before, around));
});

test("zooming ends at pixels of 32, and at half of the whole picture", () => {
  const start = fitView(PICTURE, BOX);
  const middle = { x: 200, y: 200 };
  expect(zoomView(start, 1e9, middle, PICTURE, BOX).scale).toBe(32);
  expect(zoomView(start, 1e-9, middle, PICTURE, BOX)).toEqual({ scale: 1, left: 100, top: 150 });
  // A picture of few pixels begins with larger ones.
  const tiny = { width: 4, height: 4 };
  expect(zoomView(fitView(tiny, BOX), 9, middle, tiny, BOX).scale).toBe(200);
});

test("a place is brought into sight, and what is in sight stays", () => {
  const view = zoomView(fitView(PICTURE, BOX), 8, { x: 0, y: 100 }, PICTURE, BOX);
  expect(reveal(view, { x: 1, y: 1 }, PICTURE, BOX)).toEqual(view);
  const moved = reveal(view, { x: 200, y: 100 }, PICTURE, BOX);
  expect(toBox(moved, { x: 200, y: 100 })).toEqual({ x: 400, y: 400 });
});

test("however it is zoomed and moved, the picture fills the box or lies in it", () => {
  const step = fc.record({
    factor: fc.double({ min: 0.1, max: 10, noNaN: true }),
    x: fc.double({ min: -900, max: 900, noNaN: true }),
    y: fc.double({ min: -900, max: 900, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      let view = fitView(PICTURE, BOX);
      for (const { factor, x, y } of steps) {
        view = zoomView(view, factor, { x: 200, y: 200 }, PICTURE, BOX);
        view = moveView(view, { x, y }, PICTURE, BOX);
      }
      for (const [start, size, room] of [
        [view.left, view.scale * PICTURE.width, BOX.width],
        [view.top, view.scale * PICTURE.height, BOX.height],
      ] as const) {
        const [least, most] = size < room ? [0, room - size] : [room - size, 0];
        expect(start).toBeGreaterThanOrEqual(least - 1e-9);
        expect(start).toBeLessThanOrEqual(most + 1e-9);
      }
    }),
    { numRuns: 100 },
  );
});
