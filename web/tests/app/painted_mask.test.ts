/** A painted mask: what a brush covers, and what undo, redo, clear and invert leave. */

import fc from "fast-check";
import { expect, test } from "vitest";

import type { Point } from "../../src/app/mask/painted_mask";
import { PAINTED, PaintedMask } from "../../src/app/mask/painted_mask";

/** The mask as lines of text, `#` for what is painted. */
function shown({ width, height, bytes }: PaintedMask): string[] {
  return Array.from({ length: height }, (_, row) =>
    [...bytes.subarray(row * width, (row + 1) * width)]
      .map((byte) => (byte === PAINTED ? "#" : "."))
      .join(""),
  );
}

function paintStroke(mask: PaintedMask, places: Point[], radius: number, erase = false): void {
  mask.beginStroke();
  let [former] = places;
  for (const place of places) {
    mask.paint(former!, place, radius, erase);
    former = place;
  }
  mask.endStroke();
}

test("a brush paints a disc, and a line between two places", () => {
  const mask = new PaintedMask(9, 5);
  paintStroke(mask, [{ x: 4.5, y: 2.5 }], 1);
  expect(shown(mask)).toEqual([".........", "....#....", "...###...", "....#....", "........."]);
  paintStroke(mask, [{ x: 1.5, y: 2.5 }, { x: 7.5, y: 2.5 }], 0.5); // prettier-ignore
  expect(shown(mask)).toEqual([".........", "....#....", ".#######.", "....#....", "........."]);
  paintStroke(mask, [{ x: 4.5, y: 0 }, { x: 4.5, y: 5 }], 0.4, true); // prettier-ignore
  expect(shown(mask)).toEqual([".........", ".........", ".###.###.", ".........", "........."]);
});

test("the smallest brush paints the pixel below it, wherever in the pixel it is", () => {
  const mask = new PaintedMask(3, 3);
  paintStroke(mask, [{ x: 2, y: 2 }], 0);
  paintStroke(mask, [{ x: 0.01, y: 0.99 }], 0.1);
  expect(shown(mask)).toEqual(["#..", "...", "..#"]);
});

test("what is beside the picture paints nothing, and a brush at its edge paints what is inside", () => {
  const mask = new PaintedMask(4, 2);
  mask.beginStroke();
  expect(mask.paint({ x: -9, y: 1 }, { x: -5, y: 1 }, 2, false)).toBeUndefined();
  expect(mask.paint({ x: 0, y: -3 }, { x: 4, y: -3 }, 2.9, false)).toBeUndefined();
  expect(mask.paint({ x: -1, y: 1 }, { x: -1, y: 1 }, 1.9, false)).toMatchObject({ left: 0 });
  mask.endStroke();
  expect(shown(mask)).toEqual(["#...", "#..."]);
});

test("a stroke is undone and repeated at once, and a new one ends what can be repeated", () => {
  const mask = new PaintedMask(6, 3);
  expect([mask.isEmpty, mask.canUndo, mask.canRedo, mask.undo()]).toEqual([
    true,
    false,
    false,
    undefined,
  ]);
  paintStroke(mask, [{ x: 0.5, y: 1.5 }, { x: 3.5, y: 1.5 }, { x: 3.5, y: 2.5 }], 0.1); // prettier-ignore
  const first = shown(mask);
  paintStroke(mask, [{ x: 5.5, y: 0.5 }], 0.1);
  const both = shown(mask);
  expect(mask.undo()).toEqual({ left: 5, top: 0, width: 1, height: 1 });
  expect(shown(mask)).toEqual(first);
  mask.undo();
  expect([mask.isEmpty, mask.canUndo, mask.canRedo]).toEqual([true, false, true]);
  mask.redo();
  mask.redo();
  expect(shown(mask)).toEqual(both);
  mask.undo();
  mask.invert();
  expect(mask.redo()).toBeUndefined();
  mask.undo();
  expect(shown(mask)).toEqual(first);
});

test("clear and invert are undone; what changes nothing is not remembered", () => {
  const mask = new PaintedMask(2, 2);
  mask.clear();
  paintStroke(mask, [{ x: 0.5, y: 0.5 }], 0.1, true);
  expect(mask.canUndo).toBe(false);
  mask.invert();
  expect([shown(mask), mask.share]).toEqual([["##", "##"], 1]);
  mask.clear();
  mask.take(new Uint8Array([127, 128, 255, 0]));
  expect([shown(mask), mask.share]).toEqual([[".#", "#."], 0.5]);
  for (let count = 0; count < 3; count++) mask.undo();
  expect([mask.isEmpty, mask.canUndo]).toEqual([true, false]);
});

test("a stroke that became a movement of two fingers leaves nothing", () => {
  const mask = new PaintedMask(4, 4);
  paintStroke(mask, [{ x: 3.5, y: 3.5 }], 0.1);
  const before = shown(mask);
  mask.beginStroke();
  mask.paint({ x: 1, y: 1 }, { x: 2, y: 2 }, 1, false);
  expect(shown(mask)).not.toEqual(before);
  expect(mask.cancelStroke()).toEqual({ left: 0, top: 0, width: 4, height: 4 });
  expect(shown(mask)).toEqual(before);
  mask.undo();
  expect(mask.isEmpty).toBe(true);
});

test("the oldest changes are forgotten when there are too many", () => {
  // Each change of all pixels takes two copies of them.
  const mask = new PaintedMask(10, 10, 600);
  for (let count = 0; count < 5; count++) mask.invert();
  let undone = 0;
  while (mask.undo() !== undefined) undone += 1;
  expect(undone).toBe(3);
});

test("undo and redo bring back every state, whatever was painted", () => {
  const place = fc.record({
    x: fc.double({ min: -3, max: 15, noNaN: true }),
    y: fc.double({ min: -3, max: 12, noNaN: true }),
  });
  const stroke = fc.record({
    places: fc.array(place, { minLength: 1, maxLength: 4 }),
    radius: fc.double({ min: 0, max: 4, noNaN: true }),
    erase: fc.boolean(),
  });
  const action = fc.oneof(stroke, fc.constantFrom("clear" as const, "invert" as const));
  fc.assert(
    fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
      const mask = new PaintedMask(12, 9);
      const states = [shown(mask).join("\n")];
      for (const each of actions) {
        if (typeof each === "string") mask[each]();
        else paintStroke(mask, each.places, each.radius, each.erase);
        const state = shown(mask).join("\n");
        if (state !== states.at(-1)) states.push(state);
      }
      for (const state of [...states].reverse()) {
        expect(shown(mask).join("\n")).toBe(state);
        mask.undo();
      }
      expect([mask.isEmpty, mask.canUndo]).toEqual([true, false]);
      for (const state of states) {
        expect(shown(mask).join("\n")).toBe(state);
        mask.redo();
      }
      expect(mask.canRedo).toBe(false);
    }),
    { numRuns: 60 },
  );
});
