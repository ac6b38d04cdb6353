/**
 * Reads and writes the settings inside a PNG: a text chunk with the keyword `parameters`, as
 * other Stable Diffusion programs have it.
 *
 * Source: W3C, "Portable Network Graphics (PNG) Specification", third edition,
 * sections 5 and 11.3.3 (chunks, iTXt), annex D (CRC).
 */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "parameters";
const LONGEST_KEYWORD = 79;
/** Bytes of a chunk's length, type and CRC, which surround its data. */
const CHUNK_FRAME = 12;
const HEADER_CHUNK = 13;

interface Chunk {
  type: string;
  data: Uint8Array;
}

/** Return a copy of a PNG with the text in it, right after its header. */
export function writeText(png: Uint8Array, text: string): Uint8Array<ArrayBuffer> {
  const after = SIGNATURE.length + CHUNK_FRAME + HEADER_CHUNK;
  // The keyword, then: no compression, no language and no translated keyword.
  const data = new TextEncoder().encode(`${KEYWORD}\0\0\0\0\0${text}`);
  const chunk = new Uint8Array(CHUNK_FRAME + data.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(new TextEncoder().encode("iTXt"), 4);
  chunk.set(data, 8);
  view.setUint32(8 + data.length, crc32(chunk.subarray(4, 8 + data.length)));
  const out = new Uint8Array(png.length + chunk.length);
  out.set(png.subarray(0, after));
  out.set(chunk, after);
  out.set(png.subarray(after), after + chunk.length);
  return out;
}

/** Return the text of a PNG, written by this or another program; undefined if it has none. */
export function readText(png: Uint8Array): string | undefined {
  for (const { type, data } of chunks(png)) {
    const end = data.subarray(0, LONGEST_KEYWORD + 1).indexOf(0);
    if (end < 0 || latin1(data.subarray(0, end)) !== KEYWORD) continue;
    if (type === "tEXt") return latin1(data.subarray(end + 1));
    if (type === "iTXt" && data[end + 1] === 0) {
      const language = data.indexOf(0, end + 3);
      const translated = data.indexOf(0, language + 1);
      if (language > 0 && translated > 0) {
        return new TextDecoder().decode(data.subarray(translated + 1));
      }
    }
  }
  return undefined;
}

function* chunks(png: Uint8Array): Generator<Chunk> {
  if (!SIGNATURE.every((byte, index) => png[index] === byte)) return;
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

function latin1(bytes: Uint8Array): string {
  // One call for each byte: a chunk can have more bytes than a call takes arguments.
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
