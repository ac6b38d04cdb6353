import { afterEach, expect, test, vi } from "vitest";

import { AbortError, FetchError, IntegrityError } from "../src/errors";
import { fetchVerified, sha256 } from "../src/integrity";

const bytes = new TextEncoder().encode("abc");
// FIPS 180-2, appendix B.1
const digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const entry = { file: "a.bin", bytes: 3, sha256: digest };

function serve(response: () => Response | Promise<Response>): void {
  vi.stubGlobal("fetch", response);
}
afterEach(() => vi.unstubAllGlobals());

test("sha256 agrees with the standard's example", async () => {
  expect(await sha256(bytes.buffer)).toBe(digest);
});

test("good bytes arrive, and are counted", async () => {
  serve(() => new Response(bytes));
  let counted = 0;
  const data = await fetchVerified("http://host/", entry, (count) => (counted += count));
  expect([new Uint8Array(data), counted]).toEqual([bytes, 3]);
});

test("a flipped byte is named", async () => {
  serve(() => new Response("abd"));
  await expect(fetchVerified("http://host/", entry, () => 0)).rejects.toThrow(IntegrityError);
  await expect(fetchVerified("http://host/", entry, () => 0)).rejects.toThrow(/a\.bin: sha256/);
});

test.each(["ab", "abcd"])("a wrong length is refused: %s", async (body) => {
  serve(() => new Response(body));
  await expect(fetchVerified("http://host/", entry, () => 0)).rejects.toThrow(/expected 3/);
});

test("an error status is a FetchError", async () => {
  serve(() => new Response("", { status: 404 }));
  await expect(fetchVerified("http://host/", entry, () => 0)).rejects.toThrow(FetchError);
});

test("a failing network is a FetchError, an aborted one an AbortError", async () => {
  serve(() => Promise.reject(new TypeError("failed")));
  await expect(fetchVerified("http://host/", entry, () => 0)).rejects.toThrow(FetchError);
  const aborted = AbortSignal.abort();
  await expect(fetchVerified("http://host/", entry, () => 0, aborted)).rejects.toThrow(AbortError);
});
