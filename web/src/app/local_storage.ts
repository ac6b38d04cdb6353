/** Short texts that the page keeps for the next visit; some browsers keep nothing for some pages. */

/** Return the text that was kept under a key; null if there is none, or none can be read. */
export function readStored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keep a text under a key, where the browser lets the page do that. */
export function writeStored(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The next visit begins without it; that is no reason to disturb anybody.
  }
}
