/** Which part of a picture is in sight, and how large: fitting, zooming and moving. */

import type { Point } from "./painted_mask";

/** Width and height, in pixels of whatever it is of. */
export interface Extent {
  width: number;
  height: number;
}

/** A pixel (x, y) of the picture is shown at (left + scale * x, top + scale * y). */
export interface View {
  scale: number;
  left: number;
  top: number;
}

/** How many pixels of the screen a pixel of the picture has at most. */
const MOST_SCALE = 32;
/** How much of the fitted picture's size it keeps at least. */
const LEAST_SHARE = 0.5;

/** Show the whole picture in the middle of a box. */
export function fitView(picture: Extent, box: Extent): View {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  return {
    scale,
    left: (box.width - scale * picture.width) / 2,
    top: (box.height - scale * picture.height) / 2,
  };
}

/** Enlarge or shrink around a point of the box, which keeps showing the same pixel. */
export function zoomView(
  view: View,
  factor: number,
  around: Point,
  picture: Extent,
  box: Extent,
): View {
  const fitted = fitView(picture, box).scale;
  const least = LEAST_SHARE * fitted;
  // A picture of few pixels is larger than that at first.
  const most = Math.max(MOST_SCALE, fitted / LEAST_SHARE);
  const scale = Math.min(Math.max(view.scale * factor, least), most);
  const pixel = toPicture(view, around);
  const moved = { scale, left: around.x - scale * pixel.x, top: around.y - scale * pixel.y };
  return keepInSight(moved, picture, box);
}

/** Move the picture by pixels of the box. */
export function moveView(view: View, by: Point, picture: Extent, box: Extent): View {
  return keepInSight({ ...view, left: view.left + by.x, top: view.top + by.y }, picture, box);
}

/** Move the picture as little as is needed so that one of its places is in sight. */
export function reveal(view: View, place: Point, picture: Extent, box: Extent): View {
  const shown = toBox(view, place);
  const by = {
    x: Math.min(Math.max(shown.x, 0), box.width) - shown.x,
    y: Math.min(Math.max(shown.y, 0), box.height) - shown.y,
  };
  return moveView(view, by, picture, box);
}

/** Return the place of the picture that a point of the box shows. */
export function toPicture({ scale, left, top }: View, point: Point): Point {
  return { x: (point.x - left) / scale, y: (point.y - top) / scale };
}

/** Return the point of the box that shows a place of the picture. */
export function toBox({ scale, left, top }: View, place: Point): Point {
  return { x: left + scale * place.x, y: top + scale * place.y };
}

/** A picture that is smaller than the box stays in it, and a larger one fills it. */
function keepInSight(view: View, picture: Extent, box: Extent): View {
  const place = (start: number, size: number, room: number): number => {
    const [one, other] = [0, room - size];
    return Math.min(Math.max(start, Math.min(one, other)), Math.max(one, other));
  };
  return {
    scale: view.scale,
    left: place(view.left, view.scale * picture.width, box.width),
    top: place(view.top, view.scale * picture.height, box.height),
  };
}
