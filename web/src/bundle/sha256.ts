/** SHA-256 of files. */

/** Return the SHA-256 in lower-case hexadecimal; the browser computes it in another thread. */
export async function sha256(data: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
