/**
 * Reads and writes the settings inside a PNG: a text with the keyword `parameters`, as other Stable
 * Diffusion programs have it, and the texts with keywords of their own that some programs write.
 *
 * Source: W3C, "Portable Network Graphics (PNG) Specification", third edition,
 * sections 5 and 11.3.3 (chunks, tEXt, zTXt, iTXt), annex D (CRC).
 */

import { OptionError } from "../util/errors";
import { requireBytes, requireString } from "../util/option_checks";

/** The bytes that every PNG begins with. */
export const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "parameters";
const LONGEST_KEYWORD = 79;
/** Bytes of a chunk's length, type and CRC, which surround its data. */
const CHUNK_FRAME = 12;
const HEADER_CHUNK = 13;

interface Chunk {
  type: string;
  data: Uint8Array;
}

/**
 * Return a copy of a PNG with the text in it, right after its header.
 *
 * @throws OptionError if these are not the bytes of a PNG, or the text is not a string.
 *
 * @example
 * ```ts
 * // A picture of your own, with the settings that it was drawn with.
 * const bytes = new Uint8Array(await file.arrayBuffer());
 * const written = writeText(bytes, formatSettings(result.settings));
 * console.log(readText(written)); // the same text
 * ```
 */
export function writeText(png: Uint8Array, text: string): Uint8Array<ArrayBuffer> {
  requireString("text", text);
  if (!isPng(png))
    throw new OptionError("png is not a PNG file", "give the bytes of a whole PNG file");
  const after = SIGNATURE.length + CHUNK_FRAME + HEADER_CHUNK;
  const written = textChunk(text);
  const out = new Uint8Array(png.length + written.length);
  out.set(png.subarray(0, after));
  out.set(written, after);
  out.set(png.subarray(after), after + written.length);
  return out;
}

/** Return the chunk of a PNG that holds a text as UTF-8, with the keyword `parameters`. */
export function textChunk(text: string): Uint8Array<ArrayBuffer> {
  // The keyword, then: no compression, no language and no translated keyword.
  return chunk("iTXt", new TextEncoder().encode(`${KEYWORD}\0\0\0\0\0${text}`));
}

/**
 * Return a chunk of a PNG.
 *
 * @param type four letters.
 */
export function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const framed = new Uint8Array(CHUNK_FRAME + data.length);
  const view = new DataView(framed.buffer);
  view.setUint32(0, data.length);
  framed.set(new TextEncoder().encode(type), 4);
  framed.set(data, 8);
  view.setUint32(8 + data.length, crc32(framed.subarray(4, 8 + data.length)));
  return framed;
}

/** Bytes of a text, unpacked; what is longer is left out. Large ComfyUI workflows have 2 MiB. */
const LONGEST_TEXT = 16 * 2 ** 20;
/** Bytes of all texts of a picture together. */
const MOST_TEXT = 2 * LONGEST_TEXT;
/** Programs write a handful of texts. */
const MOST_TEXTS = 64;

/** A text chunk, not unpacked yet. */
interface TextChunk {
  keyword: string;
  data: Uint8Array;
  compressed: boolean;
  encoding: "latin1" | "utf-8";
}

/**
 * Say whether these are the bytes of a PNG.
 *
 * @throws OptionError if the argument is not a Uint8Array.
 */
export function isPng(bytes: Uint8Array): boolean {
  requireBytes("bytes", bytes);
  return SIGNATURE.every((byte, index) => bytes[index] === byte);
}

/**
 * Return the settings' text of a PNG, written by this or another program; undefined if it has none.
 * Compressed texts are left out; `readSettings` unpacks them.
 */
export function readText(png: Uint8Array): string | undefined {
  for (const chunk of textChunks(png)) {
    if (chunk.keyword === KEYWORD && !chunk.compressed) return decode(chunk.data, chunk.encoding);
  }
  return undefined;
}

/**
 * Return every text of a PNG by its keyword; of several with one keyword, the first.
 *
 * Damaged texts are left out, and those that are too long or too many: 16 MiB for one, 32 MiB for
 * all, 64 texts.
 */
export async function readTexts(png: Uint8Array): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  let left = MOST_TEXT;
  let seen = 0;
  for (const { keyword, data, compressed, encoding } of textChunks(png)) {
    if (++seen > MOST_TEXTS) break;
    if (texts.has(keyword)) continue;
    const most = Math.min(left, LONGEST_TEXT);
    const bytes = compressed ? await inflate(data, most) : data;
    if (bytes === undefined || bytes.length > most) continue;
    left -= bytes.length;
    texts.set(keyword, decode(bytes, encoding));
  }
  return texts;
}

function* textChunks(png: Uint8Array): Generator<TextChunk> {
  for (const { type, data } of chunks(png)) {
    const end = data.subarray(0, LONGEST_KEYWORD + 1).indexOf(0);
    if (end < 0) continue;
    const keyword = latin1(data.subarray(0, end));
    if (type === "tEXt") {
      const chunk = { keyword, data: data.subarray(end + 1), compressed: false } as const;
      yield { ...chunk, encoding: "latin1" };
    }
    // After the keyword: the method of compression, of which there is one.
    if (type === "zTXt" && data[end + 1] === 0) {
      const chunk = { keyword, data: data.subarray(end + 2), compressed: true } as const;
      yield { ...chunk, encoding: "latin1" };
    }
    // After the keyword: whether it is compressed, the method, a language and a translated keyword.
    if (type === "iTXt" && data[end + 1]! <= 1 && data[end + 2] === 0) {
      const language = data.indexOf(0, end + 3);
      const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
      if (translated < 0) continue;
      const compressed = data[end + 1] === 1;
      yield { keyword, data: data.subarray(translated + 1), compressed, encoding: "utf-8" };
    }
  }
}

/** Unpack bytes; undefined if they are damaged, or more than `most` unpacked. */
async function inflate(data: Uint8Array, most: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    const packed = new Blob([data.slice()]).stream();
    const reader = packed.pipeThrough(new DecompressionStream("deflate")).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > most) {
        await reader.cancel();
        return undefined;
      }
      parts.push(value);
    }
  } catch {
    return undefined;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function* chunks(png: Uint8Array): Generator<Chunk> {
  if (!isPng(png)) return;
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  let at = SIGNATURE.length;
  while (at + CHUNK_FRAME <= png.length) {
    const length = view.getUint32(at);
    if (at + CHUNK_FRAME + length > png.length) return;
    const type = latin1(png.subarray(at + 4, at + 8));
    yield { type, data: png.subarray(at + 8, at + 8 + length) };
    at += CHUNK_FRAME + length;
  }
}

function decode(bytes: Uint8Array, encoding: TextChunk["encoding"]): string {
  return encoding === "latin1" ? latin1(bytes) : new TextDecoder().decode(bytes);
}

/** Bytes that one call turns into characters; a call takes a limited number of arguments. */
const CHUNK = 32768;

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return text;
}

/** The CRC of every byte, so that pictures of megabytes take milliseconds. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}
