/**
 * Decodes pictures that are given: upright, without transparency, in sRGB. Pixels in sRGB are taken
 * as they are; the browser decodes the rest.
 */

import type { ImageInput } from "../api/options";
import { LARGEST_PICTURE_FILE, LONGEST_SIDE, MOST_PIXELS } from "../util/option_values";
import { show } from "../util/option_checks";
import { OptionError, UnsupportedError } from "../util/errors";
import { readFileHeader } from "./file_header";
import type { Pixels } from "./pixels";

/** What lies behind the transparent parts of a picture; masks lie on black. */
export type Background = "white" | "black";

const KINDS =
  "a Blob or File, ImageData, an ImageBitmap, a canvas or an img element; of an address, give " +
  "await (await fetch(address)).blob()";
const READABLE = "give a PNG, JPEG, WebP or AVIF file that the browser shows";

/** Of a canvas, so many pixels are read at once: browsers bound how large a canvas is. */
const STRIP_PIXELS = 2 ** 22;

/**
 * Decode a picture. What a page may change later, such as a canvas, is read before this returns.
 *
 * @param name of the option, for errors.
 * @throws OptionError if it is no picture, does not decode, is empty, too large, animated, or stored
 *   as CMYK; or if the page may not read it.
 * @throws UnsupportedError if the browser has no canvas for workers.
 */
export async function decodePicture(
  name: string,
  input: ImageInput,
  background: Background,
): Promise<Pixels> {
  const picture = readNow(name, input, background);
  return picture ?? decodeFile(name, input as Blob, background);
}

/** Return the pixels of all but files; undefined of a file. */
function readNow(name: string, input: ImageInput, background: Background): Pixels | undefined {
  if (isBlob(input)) return undefined;
  if (isImageData(input)) {
    checkSize(name, input.width, input.height);
    if (isPlain(input)) return flatten(input, background);
    return readImageData(name, input, background);
  }
  if (!isDrawable(input)) throw new OptionError(`${name} is ${show(input)}`, `it must be ${KINDS}`);
  const [width, height] = sidesOf(input);
  checkSize(name, width, height);
  return readDrawable(name, input, [width, height], background);
}

function isBlob(value: unknown): value is Blob {
  // Of any realm: an iframe's File is of another class.
  return ["[object Blob]", "[object File]"].includes(Object.prototype.toString.call(value));
}

/** Whether a value has what ImageData has; of any realm, and in Node.js, which has no such class. */
function isImageData(value: unknown): value is ImageData {
  if (typeof value !== "object" || value === null) return false;
  const { width, height, data } = value as Partial<ImageData>;
  if (typeof width !== "number" || typeof height !== "number") return false;
  return ArrayBuffer.isView(data) && (data as Uint8ClampedArray).length === 4 * width * height;
}

/** Whether pixels are bytes in sRGB, which need no conversion. */
function isPlain({ data, colorSpace }: ImageData): boolean {
  // Node.js' pixels have no colour space.
  const space = colorSpace as PredefinedColorSpace | undefined;
  return data.BYTES_PER_ELEMENT === 1 && (space ?? "srgb") === "srgb";
}

type Drawable = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | HTMLImageElement;

function isDrawable(value: unknown): value is Drawable {
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  return ["ImageBitmap", "HTMLCanvasElement", "OffscreenCanvas", "HTMLImageElement"].includes(kind);
}

function sidesOf(source: Drawable): [number, number] {
  // An img element may be shown in another size than its picture has.
  return "naturalWidth" in source
    ? [source.naturalWidth, source.naturalHeight]
    : [source.width, source.height];
}

/** @throws OptionError if a picture has no pixels, or too many. */
function checkSize(name: string, width: number, height: number): void {
  if (!(width > 0 && height > 0)) {
    throw new OptionError(
      `${name} is ${width} by ${height} pixels`,
      "give a picture that is loaded and not closed, with at least one pixel",
    );
  }
  if (Math.max(width, height) > LONGEST_SIDE || width * height > MOST_PIXELS) {
    throw new OptionError(
      `${name} is ${width} by ${height} pixels, which is too large`,
      `a side has at most ${LONGEST_SIDE} pixels, and a picture ${MOST_PIXELS}; ` +
        "make it smaller, because no model draws more than some thousand pixels a side",
    );
  }
}

async function decodeFile(name: string, file: Blob, background: Background): Promise<Pixels> {
  if (file.size === 0) throw new OptionError(`${name} is an empty file`, READABLE);
  if (file.size > LARGEST_PICTURE_FILE) {
    throw new OptionError(
      `${name} is a file of ${file.size} bytes, which is too large`,
      `a picture's file has at most ${LARGEST_PICTURE_FILE} bytes`,
    );
  }
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch (cause) {
    const hint = "choose the file again: it may have been changed, moved or removed";
    throw new OptionError(`${name} cannot be read`, hint, { cause });
  }
  checkHeader(name, bytes);
  if (typeof createImageBitmap === "undefined") throw noCanvas();
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>]), {
      imageOrientation: "from-image",
      colorSpaceConversion: "default",
      premultiplyAlpha: "none",
    });
  } catch (cause) {
    const kind = file.type === "" ? "" : ` (${file.type.slice(0, 40)})`;
    throw new OptionError(`${name} is no picture that this browser decodes${kind}`, READABLE, {
      cause,
    });
  }
  try {
    checkSize(name, bitmap.width, bitmap.height);
    return readDrawable(name, bitmap, [bitmap.width, bitmap.height], background);
  } finally {
    bitmap.close();
  }
}

/** @throws OptionError if a file's header says that its picture is not taken. */
function checkHeader(name: string, bytes: Uint8Array): void {
  const header = readFileHeader(bytes);
  if (header === undefined) return;
  const { format, width, height, animated, cmyk } = header;
  if (width !== undefined && height !== undefined) checkSize(name, width, height);
  if (animated) {
    throw new OptionError(
      `${name} is an animated ${format}`,
      "save one of its pictures to a file of its own",
    );
  }
  if (cmyk) {
    throw new OptionError(
      `${name} is a ${format} in CMYK, the inks of a printer`,
      "save it in RGB; programs show inks by different rules",
    );
  }
}

/** Lay pixels on a background, rounded as Pillow's `alpha_composite` does. */
function flatten({ width, height, data }: ImageData, background: Background): Pixels {
  const behind = background === "white" ? 255 : 0;
  const flat = new Uint8ClampedArray(data);
  for (let at = 3; at < flat.length; at += 4) {
    const alpha = flat[at]!;
    if (alpha === 255) continue;
    for (let channel = at - 3; channel < at; channel++) {
      flat[channel] = (flat[channel]! * alpha + behind * (255 - alpha)) / 255;
    }
    flat[at] = 255;
  }
  return { width, height, data: flat };
}

/** Read pixels of another colour space or depth: the browser converts them. */
function readImageData(name: string, image: ImageData, background: Background): Pixels {
  const { width, height, colorSpace } = image;
  const canvas = makeCanvas(width, height);
  contextOf(canvas, colorSpace).putImageData(image, 0, 0);
  return readDrawable(name, canvas, [width, height], background);
}

function readDrawable(
  name: string,
  source: Drawable,
  [width, height]: [number, number],
  background: Background,
): Pixels {
  const data = new Uint8ClampedArray(4 * width * height);
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const canvas = makeCanvas(width, rows);
  const context = contextOf(canvas, "srgb");
  context.fillStyle = background;
  try {
    for (let top = 0; top < height; top += rows) {
      context.fillRect(0, 0, width, rows);
      context.drawImage(source, 0, -top, width, height);
      const count = Math.min(rows, height - top);
      data.set(context.getImageData(0, 0, width, count).data, 4 * top * width);
    }
  } catch (cause) {
    if (!(cause instanceof DOMException) || cause.name !== "SecurityError") throw cause;
    throw new OptionError(
      `${name} shows a picture of another origin, which the page may not read`,
      'load it with crossorigin="anonymous" from a server that allows that, or give its file',
      { cause },
    );
  }
  return { width, height, data };
}

function makeCanvas(width: number, height: number): OffscreenCanvas {
  if (typeof OffscreenCanvas === "undefined") throw noCanvas();
  return new OffscreenCanvas(width, height);
}

function contextOf(
  canvas: OffscreenCanvas,
  colorSpace: PredefinedColorSpace,
): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace });
  if (context === null) throw noCanvas();
  return context;
}

function noCanvas(): UnsupportedError {
  return new UnsupportedError(
    "this browser cannot read pictures: it lacks createImageBitmap or OffscreenCanvas",
    "update the browser, or give the picture as ImageData in sRGB",
  );
}
