/**
 * Checks files against texts such as `sha384-…`, as `integrity` attributes and a bundle's SRI.json
 * have them; https://www.w3.org/TR/SRI/. Browsers check scripts and styles so, but nothing that a
 * program fetches and keeps.
 */

import { OptionError } from "../util/errors";

/** Digests that Web Crypto and SRI both have, the weakest first. */
const ALGORITHMS = ["sha256", "sha384", "sha512"] as const;
const DIGEST = /^(sha256|sha384|sha512)-([A-Za-z0-9+/]{43,86}={0,2})$/;

/** The digests of which a file must have one, and their algorithm. */
export interface Integrity {
  algorithm: (typeof ALGORITHMS)[number];
  /** The digests that are accepted, in base64. */
  digests: string[];
}

/**
 * Read an integrity text: digests with spaces between them, of which those of the strongest
 * algorithm count, as in browsers. Unlike browsers, this refuses what it cannot read.
 *
 * @throws OptionError if there is something in it that is not a digest, or nothing.
 */
export function parseIntegrity(text: string): Integrity {
  const found = text
    .trim()
    .split(/\s+/)
    .map((token) => DIGEST.exec(token));
  const strongest = [...ALGORITHMS].reverse().find((name) => found.some((f) => f?.[1] === name));
  if (strongest === undefined || found.includes(null)) {
    throw new OptionError(
      `integrity is ${JSON.stringify(text.slice(0, 100))}`,
      "give a digest such as sha384-…, as the bundle's SRI.json lists it",
    );
  }
  const digests = found.filter((f) => f![1] === strongest).map((f) => f![2]!);
  return { algorithm: strongest, digests };
}

/** Return the digest of bytes by the integrity's algorithm, in the form of an integrity text. */
export async function digestAs({ algorithm }: Integrity, data: ArrayBuffer): Promise<string> {
  const digest = await crypto.subtle.digest(algorithm.replace("sha", "SHA-"), data);
  return `${algorithm}-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
}

/** Whether a digest of {@link digestAs} is one of those that are accepted. */
export function accepts({ algorithm, digests }: Integrity, found: string): boolean {
  return digests.some((digest) => found === `${algorithm}-${digest}`);
}
