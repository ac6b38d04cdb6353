/** Paints a mask on a picture, in a dialog: with a mouse, a pen, fingers, or the keyboard alone. */

import type { Rectangle } from "../../index";
import { make, makeButton } from "../gallery/elements";
import type { Strings } from "../strings";
import { onLanguage, text } from "../strings";
import type { PaintedMask, Point } from "./painted_mask";
import { PAINTED } from "./painted_mask";
import type { Extent, View } from "./view";
import { fitView, moveView, reveal, toBox, toPicture, zoomView } from "./view";

/** A picture that can be painted on. */
export type PaintedPicture = ImageBitmap | HTMLCanvasElement;

/** The brush's diameter in percent of the picture's longer edge: least, most, and at first. */
const BRUSH = { least: 1, most: 50, first: 10 };
/** How much larger or smaller one press of a key, or one step of the wheel, makes things. */
const ZOOM_STEP = 1.25;
const BRUSH_STEP = 1.25;
/** Stripes of the mask in sight: it has so many across the picture. */
const STRIPES = 48;
/** What is painted is striped in two colours, so that it is seen on every picture: RGBA. */
const [DARK, LIGHT] = [
  [0, 105, 95, 190],
  [255, 255, 255, 150],
] as const;
/** A pen's eraser, as a bit of `PointerEvent.buttons`. */
const PEN_ERASER = 32;
/** The wheel of a mouse, as `PointerEvent.button`. */
const WHEEL_BUTTON = 1;

/** Icons of 24 by 24: the buttons of a phone have no room for words. */
const ICONS = {
  brush: "M4 20c3 1 6 0 6-3a2.5 2.5 0 0 0-5 0c0 1-.4 2-1 3ZM10 14l8-10 2 2-9 9",
  eraser: "M9 20 3.5 14.5 13.5 4.500l6 6L11 19h9M8.500 9.500l6 6",
  undo: "M9 6 4 11l5 5M4 11h10a5 5 0 0 1 0 10h-2",
  redo: "M15 6l5 5-5 5M20 11H10a5 5 0 0 0 0 10h2",
} as const;

export class MaskEditor {
  readonly dialog = make("dialog", { class: "painter", "aria-labelledby": "painter-title" });
  private readonly title = make("h2", { id: "painter-title" });
  private readonly doneButton = makeButton("", () => this.dialog.close(), { class: "primary" });
  private readonly canvas = make("canvas", {
    tabindex: "0",
    role: "application",
    "aria-describedby": "painter-keys",
  });
  private readonly brush = iconButton(ICONS.brush, () => this.choose(false));
  private readonly eraser = iconButton(ICONS.eraser, () => this.choose(true));
  private readonly size = make("input", {
    id: "painter-size",
    type: "range",
    min: String(BRUSH.least),
    max: String(BRUSH.most),
    value: String(BRUSH.first),
  });
  private readonly sizeLabel = make("label", { for: "painter-size" });
  private readonly undoButton = iconButton(ICONS.undo, () => this.step("undo"), "icon mirrored");
  private readonly redoButton = iconButton(ICONS.redo, () => this.step("redo"), "icon mirrored");
  private readonly clearButton = makeButton("", () => this.changeAll("clear"));
  private readonly invertButton = makeButton("", () => this.changeAll("invert"));
  private readonly smaller = makeButton("−", () => this.zoom(1 / ZOOM_STEP));
  private readonly larger = makeButton("+", () => this.zoom(ZOOM_STEP));
  private readonly whole = makeButton("", () => this.showWhole());
  private readonly tools = make("div", { class: "tools", role: "group" });
  private readonly said = make("p", { class: "hint", role: "status" });
  private readonly keys = make("small", { id: "painter-keys" });
  /** The mask as it is seen; it is as large as the mask. */
  private readonly stripes = document.createElement("canvas");

  private picture: PaintedPicture | undefined;
  private mask: PaintedMask | undefined;
  private view: View = { scale: 1, left: 0, top: 0 };
  /** Whether the whole picture is shown, also after the window has changed. */
  private isWhole = true;
  private erases = false;
  /** Where the brush is, on the picture, and whether it is shown. */
  private cursor: Point = { x: 0, y: 0 };
  private showsCursor = false;
  /** Whether the keyboard's brush is down: then the arrow keys paint. */
  private isDown = false;
  /** The places of pointers that are pressed, in pixels of the box. */
  private readonly pointers = new Map<number, Point>();
  /** What the pressed pointers do. */
  private gesture: "none" | "paint" | "move" = "none";
  private erasesNow = false;
  private frame = 0;

  /** @param changed called when the mask has been changed, and the dialog is closed. */
  constructor(private readonly changed: () => void) {
    const { dialog, title, doneButton, canvas, tools, said, keys } = this;
    const { brush, eraser, size, sizeLabel, undoButton, redoButton } = this;
    const { clearButton, invertButton, smaller, larger, whole } = this;
    tools.append(
      make("span", { class: "joined" }, brush, eraser),
      make("span", { class: "brush-size" }, sizeLabel, size),
      make("span", { class: "joined" }, undoButton, redoButton),
      clearButton,
      invertButton,
      make("span", { class: "joined" }, smaller, whole, larger),
    );
    dialog.append(make("header", {}, title, doneButton), canvas, tools, said, keys);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    onLanguage(() => this.rewrite());
    this.rewrite();
  }

  /**
   * Open the dialog. All ways to close it keep what was painted; undoing it is possible afterwards.
   *
   * @param picture what is painted on; the mask may have other pixels, and has the same shape.
   */
  open(picture: PaintedPicture, mask: PaintedMask): void {
    [this.picture, this.mask] = [picture, mask];
    [this.isDown, this.showsCursor, this.isWhole] = [false, false, true];
    this.cursor = { x: mask.width / 2, y: mask.height / 2 };
    [this.stripes.width, this.stripes.height] = [mask.width, mask.height];
    this.writeStripes({ left: 0, top: 0, width: mask.width, height: mask.height });
    this.dialog.showModal();
    this.canvas.focus();
    this.resize();
    this.update();
  }

  private listen(): void {
    const { canvas, dialog } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(type, (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => {
      if (this.pointers.size > 0) return;
      this.showsCursor = document.activeElement === canvas && this.isDown;
      this.redraw();
    });
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, this.pointOf(event));
    };
    canvas.addEventListener("wheel", onWheel, { passive: false });
    canvas.addEventListener("keydown", (event) => this.followKey(event));
    canvas.addEventListener("blur", () => this.lift());
    dialog.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      this.step(key === "y" || event.shiftKey ? "redo" : "undo");
    });
    this.size.addEventListener("input", () => this.redraw());
    dialog.addEventListener("close", () => {
      this.lift();
      this.mask?.endStroke();
      this.pointers.clear();
      this.gesture = "none";
      this.changed();
    });
  }

  // Pointers.

  private press(event: PointerEvent): void {
    event.preventDefault();
    this.canvas.focus();
    this.lift();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.pointOf(event));
    const { mask } = this;
    if (mask === undefined) return;
    if (this.pointers.size > 1) {
      // The first of two fingers meant to move the picture, and not to paint.
      const area = this.gesture === "paint" ? mask.cancelStroke() : undefined;
      if (area !== undefined) this.writeStripes(area);
      this.gesture = "move";
    } else if (event.button === WHEEL_BUTTON) this.gesture = "move";
    else if (event.button === 0 || event.buttons === PEN_ERASER) {
      this.gesture = "paint";
      this.erasesNow = this.erases || event.buttons === PEN_ERASER;
      mask.beginStroke();
      this.cursor = this.placeOf(this.pointOf(event));
      this.paintTo(this.cursor);
    }
    this.redraw();
  }

  private move(event: PointerEvent): void {
    const point = this.pointOf(event);
    const former = this.pointers.get(event.pointerId);
    this.showsCursor = event.pointerType !== "touch" || this.gesture === "paint";
    if (this.gesture === "paint" && former !== undefined) {
      // Browsers join the places between two frames into one event.
      const all = event.getCoalescedEvents();
      for (const each of all.length === 0 ? [event] : all)
        this.paintTo(this.placeOf(this.pointOf(each)));
    } else if (this.gesture === "move" && former !== undefined) {
      this.moveWith(event.pointerId, former, point);
    } else if (!this.isDown) this.cursor = this.placeOf(point);
    if (former !== undefined) this.pointers.set(event.pointerId, point);
    this.redraw();
  }

  /** Move the picture with one pointer, or move and zoom it with two fingers. */
  private moveWith(id: number, former: Point, point: Point): void {
    const { picture, box } = this;
    const others = [...this.pointers].filter(([each]) => each !== id);
    this.isWhole = false;
    const [other] = others.map(([, place]) => place);
    if (other === undefined) {
      const by = { x: point.x - former.x, y: point.y - former.y };
      this.view = moveView(this.view, by, this.extent, box);
      return;
    }
    if (picture === undefined) return;
    const distance = (from: Point): number =>
      Math.max(1, Math.hypot(from.x - other.x, from.y - other.y));
    const middle = (from: Point): Point => ({
      x: (from.x + other.x) / 2,
      y: (from.y + other.y) / 2,
    });
    const [before, after] = [middle(former), middle(point)];
    const by = { x: after.x - before.x, y: after.y - before.y };
    const moved = moveView(this.view, by, this.extent, box);
    this.view = zoomView(moved, distance(point) / distance(former), after, this.extent, box);
  }

  private release(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    if (this.gesture === "paint") {
      this.mask?.endStroke();
      this.update();
    }
    // The finger that stays does not paint.
    this.gesture = this.pointers.size > 0 && this.gesture === "move" ? "move" : "none";
    if (event.pointerType === "touch") this.showsCursor = false;
    this.redraw();
  }

  // The keyboard.

  private followKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const [x, y] = ARROWS[event.key] ?? [0, 0];
    const actions: Record<string, () => void> = {
      " ": () => this.pressOrLift(),
      Enter: () => this.pressOrLift(),
      "[": () => this.resizeBrush(1 / BRUSH_STEP),
      "]": () => this.resizeBrush(BRUSH_STEP),
      "+": () => this.zoom(ZOOM_STEP, toBox(this.view, this.cursor)),
      "=": () => this.zoom(ZOOM_STEP, toBox(this.view, this.cursor)),
      "-": () => this.zoom(1 / ZOOM_STEP, toBox(this.view, this.cursor)),
      "0": () => this.showWhole(),
      b: () => this.choose(false),
      e: () => this.choose(true),
    };
    if (x !== 0 || y !== 0) this.moveCursor(x, y, event.shiftKey);
    else if (Object.hasOwn(actions, event.key)) actions[event.key]!();
    else return;
    event.preventDefault();
    this.showsCursor = true;
    this.redraw();
  }

  /** Put the keyboard's brush down, which paints where it is; or lift it. */
  private pressOrLift(): void {
    if (this.isDown) {
      this.lift();
      return;
    }
    this.isDown = true;
    this.erasesNow = this.erases;
    this.mask?.beginStroke();
    this.paintTo(this.cursor);
    this.announce(text().mask.brushDown);
  }

  private lift(): void {
    if (!this.isDown) return;
    this.isDown = false;
    this.mask?.endStroke();
    this.update();
  }

  private moveCursor(x: number, y: number, finely: boolean): void {
    const { width, height } = this.extent;
    const step = finely ? 1 : Math.max(1, this.radius / 2);
    const next = {
      x: Math.min(Math.max(this.cursor.x + step * x, 0), width - 0.5),
      y: Math.min(Math.max(this.cursor.y + step * y, 0), height - 0.5),
    };
    if (this.isDown) this.paintTo(next);
    else this.cursor = next;
    this.view = reveal(this.view, next, this.extent, this.box);
  }

  // What tools do.

  private choose(erases: boolean): void {
    this.lift();
    this.erases = erases;
    this.update();
  }

  private resizeBrush(factor: number): void {
    const value = this.size.valueAsNumber;
    // At least one step, so that the smallest brush can grow.
    const next =
      factor > 1 ? Math.max(value + 1, value * factor) : Math.min(value - 1, value * factor);
    this.size.value = String(Math.round(next));
    this.announce(text().mask.brushSize(this.size.valueAsNumber / 100));
  }

  private step(way: "undo" | "redo"): void {
    this.lift();
    const area = this.mask?.[way]();
    if (area !== undefined) this.writeStripes(area);
    this.update();
  }

  private changeAll(way: "clear" | "invert"): void {
    const { mask } = this;
    if (mask === undefined) return;
    mask[way]();
    this.writeStripes({ left: 0, top: 0, width: mask.width, height: mask.height });
    this.update();
  }

  private zoom(factor: number, around?: Point): void {
    const { box } = this;
    this.isWhole = false;
    const middle = { x: box.width / 2, y: box.height / 2 };
    this.view = zoomView(this.view, factor, around ?? middle, this.extent, box);
    this.redraw();
  }

  private showWhole(): void {
    this.isWhole = true;
    this.view = fitView(this.extent, this.box);
    this.redraw();
  }

  private paintTo(place: Point): void {
    const area = this.mask?.paint(this.cursor, place, this.radius, this.erasesNow);
    this.cursor = place;
    if (area !== undefined) this.writeStripes(area);
  }

  // What is in sight.

  /** The size of the mask: places are counted in its pixels. */
  private get extent(): Extent {
    return { width: this.mask?.width ?? 1, height: this.mask?.height ?? 1 };
  }

  private get box(): Extent {
    return { width: this.canvas.clientWidth || 1, height: this.canvas.clientHeight || 1 };
  }

  /** Of the brush, in pixels of the mask. */
  private get radius(): number {
    const { width, height } = this.extent;
    return (this.size.valueAsNumber / 200) * Math.max(width, height);
  }

  private pointOf(event: MouseEvent): Point {
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  private placeOf(point: Point): Point {
    return toPicture(this.view, point);
  }

  private resize(): void {
    if (!this.dialog.open) return;
    const { width, height } = this.box;
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    // Also keeps in sight what a smaller window would hide.
    if (this.isWhole) this.showWhole();
    else this.zoom(1);
  }

  private writeStripes({ left, top, width, height }: Rectangle): void {
    const { mask } = this;
    if (mask === undefined) return;
    const shown = new ImageData(width, height);
    const stripe = Math.max(1, Math.round(Math.max(mask.width, mask.height) / STRIPES));
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [x, y] = [left + column, top + row];
        if (mask.bytes[y * mask.width + x] !== PAINTED) continue;
        const colour = Math.floor((x + y) / stripe) % 2 === 0 ? DARK : LIGHT;
        shown.data.set(colour, 4 * (row * width + column));
      }
    }
    this.stripes.getContext("2d")!.putImageData(shown, left, top);
    this.redraw();
  }

  /** Draw what is in sight, once before the browser shows it. */
  private redraw(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    const { picture, canvas, view, stripes } = this;
    const context = canvas.getContext("2d")!;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (picture === undefined || !this.dialog.open) return;
    const { scale, left, top } = view;
    const [width, height] = [scale * stripes.width, scale * stripes.height];
    // The pixels of what is much enlarged are squares, as everywhere on the page.
    context.imageSmoothingEnabled = scale < 2;
    context.drawImage(picture, left, top, width, height);
    context.drawImage(stripes, left, top, width, height);
    if (!this.showsCursor) return;
    const { x, y } = toBox(view, this.cursor);
    context.beginPath();
    context.arc(x, y, Math.max(2, this.radius * scale), 0, 2 * Math.PI);
    // Two rings, of which one is seen on every picture.
    for (const [colour, thickness] of [
      ["#000", this.isDown ? 5 : 3],
      ["#fff", this.isDown ? 3 : 1],
    ] as const) {
      [context.strokeStyle, context.lineWidth] = [colour, thickness];
      context.stroke();
    }
  }

  // Words.

  private update(): void {
    const { mask } = this;
    if (mask === undefined) return;
    this.brush.setAttribute("aria-pressed", String(!this.erases));
    this.eraser.setAttribute("aria-pressed", String(this.erases));
    // A button that is disabled would lose the focus.
    this.undoButton.setAttribute("aria-disabled", String(!mask.canUndo));
    this.redoButton.setAttribute("aria-disabled", String(!mask.canRedo));
    this.announce(mask.isEmpty ? text().mask.nothing : text().mask.share(mask.share));
    this.redraw();
  }

  private announce(words: string): void {
    this.said.textContent = words;
  }

  private rewrite(): void {
    const strings: Strings["mask"] = text().mask;
    this.title.textContent = strings.title;
    this.doneButton.textContent = strings.done;
    this.canvas.setAttribute("aria-label", strings.canvas);
    this.tools.setAttribute("aria-label", strings.tools);
    this.sizeLabel.textContent = strings.size;
    this.clearButton.textContent = strings.clear;
    this.invertButton.textContent = strings.invert;
    this.whole.textContent = strings.whole;
    for (const [button, label] of [
      [this.brush, strings.brush],
      [this.eraser, strings.eraser],
      [this.undoButton, strings.undo],
      [this.redoButton, strings.redo],
      [this.smaller, strings.zoomOut],
      [this.larger, strings.zoomIn],
    ] as const) {
      button.setAttribute("aria-label", label);
      button.title = label;
    }
    this.keys.textContent = strings.keys;
    this.update();
  }
}

/** Which way each key moves the brush. */
const ARROWS: Partial<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function iconButton(path: string, onclick: () => void, style = "icon"): HTMLButtonElement {
  const button = makeButton("", onclick, { class: style });
  const namespace = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(namespace, "svg");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS(namespace, "path");
  drawn.setAttribute("d", path);
  icon.append(drawn);
  button.append(icon);
  return button;
}
