/**
 * Reads JSON that programs in Python write into pictures: it may hold NaN and Infinity, which
 * JSON does not have, and seeds of 64 bits, which a JavaScript number would round.
 */

/** A value of JSON; whole numbers of 16 digits and more are texts. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

// eslint-disable-next-line security/detect-unsafe-regex -- each part is bounded by the next
const NUMBER_OR_NAME = /-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|NaN|-?Infinity/g;
const LONG_INTEGER = /^-?\d{16,}$/;

/** Graphs of nodes are nested a dozen levels deep; walking over deeper values fills the stack. */
const DEEPEST = 100;

/** Read a text as JSON; undefined if it is none, or nested too deeply. */
export function parseJson(text: string): Json | undefined {
  let depth = 0;
  let deepest = 0;
  const strict = outsideStrings(text, (part) => {
    for (const character of part) {
      if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
      else if (character === "]" || character === "}") depth -= 1;
    }
    return part.replace(NUMBER_OR_NAME, replaceNumber);
  });
  if (deepest > DEEPEST) return undefined;
  try {
    return JSON.parse(strict) as Json;
  } catch {
    return undefined;
  }
}

/** Read a text as a JSON object; undefined if it is none. */
export function parseObject(text: string | undefined): Record<string, Json> | undefined {
  if (!text?.trimStart().startsWith("{")) return undefined;
  return asObject(parseJson(text));
}

/** Return a value if it is an object. */
export function asObject(value: Json | undefined): Record<string, Json> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

/** Write a value of JSON as people would: texts as they are, the rest as JSON. */
export function asText(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function replaceNumber(found: string): string {
  if (found.endsWith("N") || found.endsWith("y")) return "null";
  return LONG_INTEGER.test(found) ? `"${found}"` : found;
}

/** Change what is outside of a JSON text's strings, in one pass. */
function outsideStrings(text: string, change: (part: string) => string): string {
  const parts: string[] = [];
  let at = 0;
  while (at < text.length) {
    let start = text.indexOf('"', at);
    if (start < 0) start = text.length;
    parts.push(change(text.slice(at, start)));
    let end = start + 1;
    while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    parts.push(text.slice(start, end + 1));
    at = end + 1;
  }
  return parts.join("");
}
