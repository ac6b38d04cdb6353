/** A mask that is painted by hand: its bytes, its strokes, and what undoes and repeats them. */

import type { Rectangle } from "../../index";
import { clamp } from "../numbers";

/** A place on the picture, in its pixels; the middle of the first pixel is (0.5, 0.5). */
export interface Point {
  x: number;
  y: number;
}

/** What a pixel holds that is drawn anew; all others hold 0. */
export const PAINTED = 255;

/** A change that can be undone: the bytes of an area before and after it. */
interface Change {
  area: Rectangle;
  before: Uint8Array;
  after: Uint8Array;
}

/** Bytes of all changes that are remembered; of older ones the oldest are forgotten first. */
const REMEMBERED_BYTES = 64 * 2 ** 20;

/**
 * A mask of one byte a pixel, row by row. It has hard edges, because a model draws a pixel anew or
 * does not; a soft edge is made of it when a picture is drawn.
 */
export class PaintedMask {
  readonly bytes: Uint8Array;
  private readonly done: Change[] = [];
  private readonly undone: Change[] = [];
  /** The bytes before the stroke that is being painted, and what it has changed so far. */
  private stroke: { before: Uint8Array; area: Rectangle | undefined } | undefined;

  /**
   * @param width in pixels.
   * @param height in pixels.
   * @param limit bytes of the changes that are remembered.
   */
  constructor(
    readonly width: number,
    readonly height: number,
    private readonly limit = REMEMBERED_BYTES,
  ) {
    this.bytes = new Uint8Array(width * height);
  }

  /** The share of pixels that are drawn anew, 0 to 1. */
  get share(): number {
    let count = 0;
    for (const byte of this.bytes) if (byte === PAINTED) count += 1;
    return count / this.bytes.length;
  }

  /** Whether nothing is painted. */
  get isEmpty(): boolean {
    return !this.bytes.includes(PAINTED);
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Begin a stroke: all that is painted until {@link endStroke} is undone at once. */
  beginStroke(): void {
    this.endStroke();
    this.stroke = { before: this.bytes.slice(), area: undefined };
  }

  /**
   * Paint or erase with a round brush that is moved in a straight line.
   *
   * @param radius of the brush, in pixels; the pixel below the brush's middle is always painted.
   * @returns the area that may have changed; undefined if the line is beside the picture.
   */
  paint(from: Point, to: Point, radius: number, erase: boolean): Rectangle | undefined {
    const area = this.areaOf(from, to, radius);
    if (area === undefined) return undefined;
    const value = erase ? 0 : PAINTED;
    const most = Math.max(radius, 0) ** 2;
    const [lineX, lineY] = [to.x - from.x, to.y - from.y];
    const length = lineX ** 2 + lineY ** 2;
    for (let y = area.top; y < area.top + area.height; y++) {
      for (let x = area.left; x < area.left + area.width; x++) {
        const [pointX, pointY] = [x + 0.5 - from.x, y + 0.5 - from.y];
        // The nearest point of the line, as a share of its length.
        const along = length === 0 ? 0 : clamp((pointX * lineX + pointY * lineY) / length, 0, 1);
        const distance = (pointX - along * lineX) ** 2 + (pointY - along * lineY) ** 2;
        if (distance <= most) this.bytes[y * this.width + x] = value;
      }
    }
    for (const { x, y } of [from, to]) {
      const [column, row] = [Math.floor(x), Math.floor(y)];
      if (column >= 0 && row >= 0 && column < this.width && row < this.height)
        this.bytes[row * this.width + column] = value;
    }
    if (this.stroke !== undefined) this.stroke.area = union(this.stroke.area, area);
    return area;
  }

  /** End the stroke; one that changed nothing is not remembered. */
  endStroke(): void {
    const { stroke } = this;
    this.stroke = undefined;
    if (stroke?.area !== undefined) this.remember(stroke.before, stroke.area);
  }

  /** Take back the stroke that is being painted, as if it had not begun. */
  cancelStroke(): Rectangle | undefined {
    const { stroke } = this;
    this.stroke = undefined;
    if (stroke !== undefined) this.bytes.set(stroke.before);
    return stroke?.area;
  }

  /** Erase all. */
  clear(): void {
    this.change((bytes) => bytes.fill(0));
  }

  /** Draw anew what was to stay, and the other way round. */
  invert(): void {
    this.change((bytes) => {
      for (let index = 0; index < bytes.length; index++) bytes[index] = PAINTED - bytes[index]!;
    });
  }

  /** Take the bytes of another mask of the same size; what was painted before can be undone. */
  take(other: Uint8Array): void {
    this.change((bytes) => {
      for (let index = 0; index < bytes.length; index++)
        bytes[index] = other[index]! >= 128 ? PAINTED : 0;
    });
  }

  /**
   * Undo the last change.
   *
   * @returns the area that changed; undefined if there is nothing to undo.
   */
  undo(): Rectangle | undefined {
    this.endStroke();
    const last = this.done.pop();
    if (last === undefined) return undefined;
    this.write(last.area, last.before);
    this.undone.push(last);
    return last.area;
  }

  /** Repeat what was undone last. */
  redo(): Rectangle | undefined {
    this.endStroke();
    const next = this.undone.pop();
    if (next === undefined) return undefined;
    this.write(next.area, next.after);
    this.done.push(next);
    return next.area;
  }

  private change(work: (bytes: Uint8Array) => void): void {
    this.endStroke();
    const before = this.bytes.slice();
    work(this.bytes);
    this.remember(before, { left: 0, top: 0, width: this.width, height: this.height });
  }

  /** Remember what an area was before a change, unless it is the same. */
  private remember(former: Uint8Array, area: Rectangle): void {
    const [before, after] = [this.read(former, area), this.read(this.bytes, area)];
    if (before.every((byte, index) => byte === after[index])) return;
    this.undone.length = 0;
    this.done.push({ area, before, after });
    const size = ({ before: bytes }: Change): number => 2 * bytes.length;
    let held = this.done.reduce((sum, each) => sum + size(each), 0);
    while (held > this.limit && this.done.length > 1) held -= size(this.done.shift()!);
  }

  private read(bytes: Uint8Array, { left, top, width, height }: Rectangle): Uint8Array {
    const found = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      const start = (top + row) * this.width + left;
      found.set(bytes.subarray(start, start + width), row * width);
    }
    return found;
  }

  private write({ left, top, width, height }: Rectangle, bytes: Uint8Array): void {
    for (let row = 0; row < height; row++) {
      const part = bytes.subarray(row * width, (row + 1) * width);
      this.bytes.set(part, (top + row) * this.width + left);
    }
  }

  /** The pixels that a brush can reach on its way. */
  private areaOf(from: Point, to: Point, radius: number): Rectangle | undefined {
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
    const right = Math.min(this.width, Math.floor(Math.max(from.x, to.x) + radius) + 1);
    const bottom = Math.min(this.height, Math.floor(Math.max(from.y, to.y) + radius) + 1);
    if (!(right > left && bottom > top)) return undefined;
    return { left, top, width: right - left, height: bottom - top };
  }
}

function union(one: Rectangle | undefined, other: Rectangle): Rectangle {
  if (one === undefined) return other;
  const left = Math.min(one.left, other.left);
  const top = Math.min(one.top, other.top);
  const right = Math.max(one.left + one.width, other.left + other.width);
  const bottom = Math.max(one.top + one.height, other.top + other.height);
  return { left, top, width: right - left, height: bottom - top };
}
