/**
 * Reads what a picture's file says of itself before its pixels are decoded.
 *
 * A browser would decode 30000 by 30000 pixels, the first picture of an animation, or the inks of a
 * printer without a word.
 *
 * Sources: the specifications of PNG (W3C, third edition, sections 11.2.1 and 11.3.6 for animation),
 * JPEG (ITU-T T.81, annex B), GIF89a, WebP (RFC 9649), the ISO base media file format, in which
 * AVIF is (ISO/IEC 14496-12, 4.3), and BITMAPFILEHEADER and BITMAPINFOHEADER of Windows. Icons (ICO)
 * are not read: browsers bound their sides by 256.
 */

/** What the header of a picture's file says. */
export interface FileHeader {
  format: "PNG" | "JPEG" | "GIF" | "WebP" | "AVIF" | "BMP";
  /** Pixels as they are stored, before the orientation turns them; undefined if not said. */
  width: number | undefined;
  height: number | undefined;
  /** Whether the file has several pictures that are shown one after the other. */
  animated: boolean;
  /** Whether colours are stored as inks: cyan, magenta, yellow and black. */
  cmyk: boolean;
}

/** The first bytes of each format, and what reads its header; undefined if that is damaged. */
const FORMATS: [start: number[], at: number, (bytes: Uint8Array) => FileHeader | undefined][] = [
  [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], 0, readPng],
  [[0xff, 0xd8, 0xff], 0, readJpeg],
  [letters("GIF8"), 0, readGif],
  [letters("WEBP"), 8, readWebp],
  [letters("ftyp"), 4, readAvif],
  [letters("BM"), 0, readBmp],
];

/**
 * Read the header of a picture's file.
 *
 * @returns undefined for other formats, and for files that are damaged or end too early.
 */
export function readFileHeader(bytes: Uint8Array): FileHeader | undefined {
  for (const [start, at, read] of FORMATS) {
    if (!start.every((byte, index) => bytes[at + index] === byte)) continue;
    try {
      return read(bytes);
    } catch (error) {
      // The file ends before its header does.
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }
  return undefined;
}

function letters(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Return the four letters at a place. */
function nameAt(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((index) => view.getUint8(at + index)));
}

function readPng(bytes: Uint8Array): FileHeader {
  const view = viewOf(bytes);
  let animated = false;
  // A chunk is its length, its name, its data and 4 bytes of CRC. The pixels are in IDAT.
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) {
    const name = nameAt(view, at + 4);
    if (name === "IDAT") break;
    if (name === "acTL") animated = view.getUint32(at + 8) > 1;
  }
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  return { format: "PNG", width, height, animated, cmyk: false };
}

/** Markers of a JPEG that begin a frame: SOF0 to SOF15 without DHT, JPG and DAC. */
const isFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
const START_OF_SCAN = 0xda;
/** Markers without a length: a byte 0xff that was data, TEM, RST0 to RST7, and SOI. */
const isAlone = (marker: number): boolean => marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
/** Components of a picture in cyan, magenta, yellow and black. */
const INKS = 4;

function readJpeg(bytes: Uint8Array): FileHeader | undefined {
  const view = viewOf(bytes);
  let at = 2;
  for (;;) {
    // Decoders skip other bytes before a marker, and any number of bytes 0xff may stand there.
    while (view.getUint8(at) !== 0xff) at += 1;
    while (view.getUint8(at) === 0xff) at += 1;
    const marker = view.getUint8(at);
    if (isFrame(marker)) {
      const [height, width] = [view.getUint16(at + 4), view.getUint16(at + 6)];
      const cmyk = view.getUint8(at + 8) === INKS;
      return { format: "JPEG", width, height, animated: false, cmyk };
    }
    if (marker === START_OF_SCAN) return undefined;
    at += 1;
    if (!isAlone(marker)) at += view.getUint16(at);
  }
}

const GIF_IMAGE = 0x2c;
const GIF_EXTENSION = 0x21;

function readGif(bytes: Uint8Array): FileHeader {
  const view = viewOf(bytes);
  const [width, height] = [view.getUint16(6, true), view.getUint16(8, true)];
  const header = { format: "GIF", width, height, cmyk: false } as const;
  let at = 13 + paletteBytes(view.getUint8(10));
  let images = 0;
  while (at < view.byteLength && images < 2) {
    const kind = view.getUint8(at);
    if (kind === GIF_IMAGE) {
      images += 1;
      if (at + 10 >= view.byteLength) break;
      // A picture's place, its palette, and the size of its codes come before its blocks.
      at += 11 + paletteBytes(view.getUint8(at + 9));
    } else if (kind === GIF_EXTENSION) at += 2;
    else break;
    while (at < view.byteLength && view.getUint8(at) > 0) at += 1 + view.getUint8(at);
    at += 1;
  }
  return { ...header, animated: images > 1 };
}

/** Bytes of a GIF's palette, by the flags that say whether there is one. */
function paletteBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}

/** The flag of WebP's VP8X chunk that says that the file is animated. */
const WEBP_ANIMATION = 2;

function readWebp(bytes: Uint8Array): FileHeader {
  const view = viewOf(bytes);
  const header = { format: "WebP", animated: false, cmyk: false } as const;
  switch (nameAt(view, 12)) {
    case "VP8X": {
      // 24 bits each, one less than the length.
      const side = (at: number): number =>
        1 + view.getUint16(at, true) + view.getUint8(at + 2) * 2 ** 16;
      const animated = (view.getUint8(20) & WEBP_ANIMATION) !== 0;
      return { ...header, width: side(24), height: side(27), animated };
    }
    case "VP8L": {
      const sides = view.getUint32(21, true);
      return { ...header, width: 1 + (sides & 0x3fff), height: 1 + ((sides >>> 14) & 0x3fff) };
    }
    case "VP8 ": {
      const side = (at: number): number => view.getUint16(at, true) & 0x3fff;
      return { ...header, width: side(26), height: side(28) };
    }
    default:
      return { ...header, width: undefined, height: undefined };
  }
}

function readAvif(bytes: Uint8Array): FileHeader | undefined {
  const view = viewOf(bytes);
  const end = Math.min(view.getUint32(0), view.byteLength);
  const brands = [nameAt(view, 8)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(nameAt(view, at));
  if (!brands.includes("avif") && !brands.includes("avis")) return undefined;
  const animated = brands[0] === "avis";
  return { format: "AVIF", ...avifSize(view), animated, cmyk: false };
}

/** Return the sides of the largest picture of an AVIF file: it has a box `ispe` for each. */
function avifSize(view: DataView): { width: number | undefined; height: number | undefined } {
  let [width, height] = [0, 0];
  const end = Math.min(view.byteLength, AVIF_HEADER) - 16;
  for (let at = 0; at < end; at++) {
    if (view.getUint32(at) !== ISPE) continue;
    // After the name: version and flags, then both sides.
    width = Math.max(width, view.getUint32(at + 8));
    height = Math.max(height, view.getUint32(at + 12));
  }
  return width > 0 ? { width, height } : { width: undefined, height: undefined };
}

/** Bytes of the header of a BMP from Windows 3 on; older ones have sides of 16 bits. */
const BMP_HEADER = 40;

function readBmp(bytes: Uint8Array): FileHeader | undefined {
  const view = viewOf(bytes);
  if (view.getUint32(14, true) < BMP_HEADER) return undefined;
  // A negative height says that the first row is the uppermost one.
  const [width, height] = [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  return { format: "BMP", width, height, animated: false, cmyk: false };
}

/** The name `ispe`, of the box with a picture's sides, and how far it is looked for. */
const ISPE = 0x69737065;
const AVIF_HEADER = 65_536;
