/** The headers that a server sends now, whatever the browser keeps. */

/**
 * Ask a server for a file's headers.
 *
 * @param url - The file's address.
 * @returns Its answer, whose content is not to be read.
 * @throws TypeError - If the server cannot be reached.
 */
export async function fetchHeaders(url: string): Promise<Response> {
  const answer = await fetch(url, { method: "HEAD", cache: "no-store" });
  if (answer.ok) return answer;
  // Some servers refuse HEAD, as they may (405, 501, or what they think of).
  const whole = await fetch(url, { cache: "no-store" });
  await whole.body?.cancel();
  return whole;
}
